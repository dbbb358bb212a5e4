"""The context as a state sees it, and what a failed or retried attempt leaves of it: nothing."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from durum import RunConfig, StepError
from durum.core.config import FixedBackoff, RetryPolicy
from tests.engine.runs import run
from tests.engine.states import Does, appends, deletes, plan_of, writes

if TYPE_CHECKING:
    from durum.core.state import DynContext

AT_ONCE = RunConfig(retry_policy=RetryPolicy(3, FixedBackoff(0), 0.0))


def seen_by(act: Any, inputs: dict[str, object] | None = None, merges: dict[str, str] | None = None) -> Any:
    """Return what a state's function returns, and check its run."""
    found: list[Any] = []
    ran = run(plan_of({"one": Does(lambda ctx, _io, _rec: found.append(act(ctx)))}, merges=merges), inputs).sound()
    assert ran.status == "completed", ran.error
    return found[0]


def test_a_state_reads_its_own_writes() -> None:
    """Reads fall through to the base; a staged write, append or delete hides it."""

    def act(ctx: DynContext) -> list[Any]:
        first = [ctx.read("a"), ctx.has("a"), ctx.read("none"), ctx.has("none")]
        ctx.write("a", 2)
        ctx.delete("b")
        ctx.append("list", ["y"])
        ctx.append("list", ["z"])
        return [first, ctx.read("a"), ctx.has("b"), ctx.read("b"), ctx.read("list"), ctx.dump()]

    given: dict[str, object] = {"a": 1, "b": 1, "list": ["x"]}
    assert seen_by(act, given, {"list": "append"}) == [
        [1, True, None, False],
        2,
        False,
        None,
        ["x", "y", "z"],
        {"a": 2, "list": ["x", "y", "z"]},
    ]


def test_what_is_written_is_fixed_at_that_moment() -> None:
    """Neither what was written nor what was read is the object in the context."""

    def act(ctx: DynContext) -> list[Any]:
        mine: list[object] = [1, (2, 3)]
        ctx.write("mine", mine)
        mine.append(4)
        read = ctx.read("mine")
        assert isinstance(read, list)
        read.append(5)
        base = ctx.read("base")
        assert isinstance(base, dict)
        base["x"] = 0
        return [ctx.read("mine"), ctx.read("base")]

    assert seen_by(act, {"base": {"x": 1}}) == [[1, [2, 3]], {"x": 1}]


@pytest.mark.parametrize("large", [False, True])
def test_a_delete_and_a_write_again_are_seen_downstream(large: bool) -> None:  # noqa: FBT001
    """A deleted key is gone for every later state until someone writes it; values of any size."""
    value: Any = {"k": "v" * 100_000, "list": list(range(5_000))} if large else 1
    found: list[Any] = []

    def look(ctx: DynContext, io: object, rec: object) -> None:
        del io, rec
        found.append((ctx.has("a"), ctx.read("a")))

    write, see = writes(a=value), Does(look)
    states = {"w1": write, "l1": see, "d": deletes("a"), "l2": see, "w2": write, "l3": see}
    edges = {after: before for before, after in pairwise(states)}
    ran = run(plan_of(states, edges)).sound()
    assert found[:3] == [(True, value), (False, None), (True, value)]
    assert ran.context == {"a": value}


def test_a_failed_attempt_leaves_no_write_and_a_retry_begins_from_the_same_base() -> None:
    """Writes before the failure are gone, in the retry and for those who come after."""
    found: list[Any] = []

    async def act(ctx: DynContext, io: Any, rec: Any) -> None:
        del io
        found.append(ctx.dump())
        ctx.write("half", 1)
        ctx.delete("a")
        rec.emit("tried", {"n": len(found)})
        if len(found) == 1:
            raise StepError("again", retryable=True)

    ran = run(plan_of({"one": Does(act), "two": writes(b=1)}, {"two": "one"}), {"a": 1}, config=AT_ONCE)
    assert found == [{"a": 1}, {"a": 1}]
    assert ran.context == {"b": 1, "half": 1}
    entered = [row["event"]["base_snapshot_id"] for row in ran.events("state.entered")]
    assert entered[0] == entered[1] != entered[2]
    assert [row["attempt"] for row in ran.events("domain")] == [0, 1]


@pytest.mark.parametrize(
    ("act", "code"),
    [
        (lambda ctx: ctx.write("bad key", 1), "invalid_id"),
        (lambda ctx: ctx.write("", 1), "invalid_id"),
        (lambda ctx: ctx.write(5, 1), "invalid_id"),
        (lambda ctx: ctx.read("bad key"), "invalid_id"),
        (lambda ctx: ctx.has("\ud800"), "invalid_id"),
        (lambda ctx: ctx.delete("x" * 256), "invalid_id"),
        (lambda ctx: ctx.write("grows", []), "invalid_config"),
        (lambda ctx: ctx.delete("grows"), "invalid_config"),
        (lambda ctx: ctx.append("plain", [1]), "invalid_config"),
        (lambda ctx: ctx.write("a", {"api_key": "0123456789abcdef0123"}), "secrets_detected"),
        (lambda ctx: ctx.append("grows", [object()]), "not_canonical_json"),
    ],
)
def test_what_the_context_does_not_take_fails_the_attempt(act: Any, code: str) -> None:
    """The error names what is wrong; the log stays readable and the context as it was."""
    plan = plan_of({"one": Does(lambda ctx, _io, _rec: act(ctx))}, merges={"grows": "append"})
    ran = run(plan, {"kept": 1}).sound()
    assert (ran.error["code"], ran.service.context(ran.id)) in [
        (code, {"kept": 1}),
        ("context_serialization" if code == "not_canonical_json" else code, {"kept": 1}),
    ]


def test_an_append_to_what_is_no_list_fails_the_attempt() -> None:
    """A key that merges by appending must hold a list; the run's record says so."""
    ran = run(plan_of({"one": appends("k", 1)}, merges={"k": "append"}), {"k": 5}).sound()
    assert (ran.status, ran.error["code"]) == ("failed", "merge_failed")
    assert "context key 'k' cannot be merged by append: it adds to a list, and the key holds none" in ran.error["message"]


def test_more_keys_than_an_event_lists_are_kept_beside_it() -> None:
    """A hundred keys written and read go to artifacts; resume, verify and replay find them."""
    values = {f"k{number}": number for number in range(100)}
    found: list[Any] = []
    ran = run(
        plan_of(
            {"many": writes(**values), "beside": writes(other=1), "reads": Does(lambda ctx, _i, _r: found.append(ctx.dump()))},
            {"reads": "many beside"},
        )
    ).sound()
    assert ran.context == {**values, "other": 1}
    completed = [row["event"] for row in ran.events("state.completed")]
    assert [event.get("writes", ()) is None for event in completed].count(True) == 1
    assert found[0] == ran.context
