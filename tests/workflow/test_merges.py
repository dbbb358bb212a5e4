"""How keys with several writers are declared, and what is refused at once."""

from __future__ import annotations

import operator
from functools import partial
from typing import Any, TypedDict

import pytest

from durum import Workflow
from durum.core.merges import NAMED
from durum.workflow.code_digest import code_digest
from tests.workflow.refusals import refused


def flow_of(merge: Any, **options: Any) -> Workflow:
    """Return a workflow with two steps that write the key ``n``."""
    flow = Workflow("flow", **options)
    flow.key("n", merge=merge)
    for name in ("one", "two"):
        flow.step(name=name, writes="n")(lambda: 1)
    return flow


class Given(TypedDict):
    """An input of the same name."""

    n: int


def bigger(old: int | None, new: int) -> int:
    """Return the greater one."""
    return new if old is None else max(old, new)


def other(old: int | None, new: int) -> int:
    """Return the lesser one."""
    return new if old is None else min(old, new)


class Weighing:
    """A merge that is an object."""

    def __call__(self, old: object, new: object) -> object:
        """Weigh."""
        return [old, new]


@pytest.mark.parametrize("merge", ["append", *NAMED])
def test_a_merge_by_name_lets_several_steps_write_a_key(merge: str) -> None:
    """The plan stores the name; an input may be what it begins with."""
    assert flow_of(merge).plan().shape.merges == {"n": merge}
    assert flow_of(merge, inputs=Given).plan().shape.merges == {"n": merge}


@pytest.mark.parametrize(
    ("merge", "name"),
    [
        (bigger, "bigger"),
        (lambda old, new: [old, new], "<lambda>"),
        (partial(lambda scale, old, new: [scale, old, new], 2), "<lambda>"),
        (operator.add, "add"),
        (Weighing(), "Weighing"),
        (Weighing().__call__, "__call__"),
    ],
)
def test_a_function_is_stored_by_its_name_and_the_digest_of_its_code(merge: Any, name: str) -> None:
    """The code itself is never stored; a builtin has no digest."""
    shape = flow_of(merge).plan().shape
    assert shape.merges == {"n": f"reducer:{name}"}
    assert shape.reducers == ({} if code_digest(merge) is None else {"n": code_digest(merge)})
    assert flow_of(bigger).plan().shape.reducers != flow_of(other).plan().shape.reducers


async def later(old: int, new: int) -> int:
    """Take its time."""
    return old + new


@pytest.mark.parametrize(
    ("merge", "reason"),
    [
        ("add", "key n cannot merge by 'add'; use 'append', 'sum', 'min', 'max', 'union', 'last', 'error' or a function of"),
        (3, "key n cannot merge by 3; use"),
        (None, "key n cannot merge by None; use"),
        (["sum"], "key n cannot merge by ['sum']; use"),
        (max, "key n cannot merge by the builtin max, which knows no absent value; use 'max'"),
        (sum, "key n cannot merge by the builtin sum, which knows no absent value; use 'sum'"),
        (later, "key n merges by later, which is async; a merge is a plain function of the old value and the new one"),
        (lambda new: new, "key n merges by <lambda>, which does not take two arguments; it is called with the old value and"),
        (lambda old, new, more: [old, new, more], "key n merges by <lambda>, which does not take two arguments"),
    ],
)
def test_what_is_no_merge_is_refused(merge: Any, reason: str) -> None:
    """When it is declared, in one sentence that says what to write."""
    assert reason in refused(lambda: Workflow("flow").key("n", merge=merge))


def test_a_key_has_one_merge() -> None:
    """The same one again is fine, by name and by function; another one is not; a key nobody can name is none."""
    for merge, another in (("sum", "last"), (bigger, other), (bigger, "max"), ("error", bigger)):
        flow = Workflow("flow")
        flow.key("n", merge=merge)  # type: ignore[arg-type]
        flow.key("n", merge=merge)  # type: ignore[arg-type]
        assert "key 'n' is declared twice, with different merges; keep one" in refused(lambda: flow.key("n", merge=another))  # type: ignore[arg-type] # noqa: B023 - called at once
    assert "is no context key" in refused(lambda: Workflow("flow").key("a b", merge=bigger))


def test_a_writer_that_reads_its_key_waits_for_those_before_it() -> None:
    """As with lists: it sees what was given before, and gives its part."""
    flow = flow_of(bigger)
    flow.step(name="three", writes="n")(lambda n: n + 1)
    flow.step(name="end")(lambda n: n)
    edges = {(edge.from_id.split(".")[1], edge.to_id.split(".")[1]) for edge in flow.plan().edges}
    assert edges == {("one", "three"), ("two", "three"), ("one", "end"), ("two", "end"), ("three", "end")}
