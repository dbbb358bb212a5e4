"""Child runs: a log and an id of their own, one completion whatever dies when, and nothing lost with a parent's process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

import durum
from durum import StepError, Workflow
from durum.engine.attempts import child_run_id
from tests.engine.crashes import RUN, opened
from tests.engine.families import Number, child_of, doubling, filmed, meanings, rows, starting, three_deep

if TYPE_CHECKING:
    from pathlib import Path

    from durum.workflow.options import StepOptions

CHILD = child_run_id(RUN, "parent.given.spawn")


class Left(TypedDict):
    """What a child left, as a step asks for it."""

    n: int
    read: int
    doubled: float


def test_cut_off_after_any_write_a_family_ends_as_one_that_was_not() -> None:
    """Same runs under the same ids, same snapshots and digests, each state completed and each fact recorded once."""
    flow = three_deep()
    uncut, film = filmed(flow, RUN, {"n": 3})
    assert len(uncut) == 5
    assert len(film) > 40
    for left in film[1:]:  # before the first event there is no run to go on with
        service = opened(left)
        if not rows(service, RUN):
            continue
        service.resume(RUN, flow)
        assert meanings(service) == uncut
        for run_id in uncut:
            assert service.verify(run_id).first_bad is None
            done = [event["state_id"] for event in rows(service, run_id, "state.completed")]
            keys = [event["key"] for event in rows(service, run_id, "fact.recorded")]
            ended = [event["child_run_id"] for event in rows(service, run_id, "child.completed")]
            assert (len(done), len(keys), len(ended)) == (len(set(done)), len(set(keys)), len(set(ended)))


def test_nothing_of_a_child_is_durable_before_its_parents_word() -> None:
    """A step that says something else when it is tried again cannot leave a child that began from other inputs."""
    told: list[int] = []
    flow = Workflow("parent", inputs=Number)

    @flow.step(child=doubling(), result="doubled")
    def given(n: int) -> Number:
        told.append(n)
        return {"n": len(told)}

    _, film = filmed(flow, RUN, {"n": 0})
    seen = 0
    for left in film:
        service = opened(left)
        if CHILD in left.runs:
            seen += 1
            assert child_of(service, RUN) == CHILD
    assert seen
    for left in film[2:]:
        service = opened(left)
        service.resume(RUN, flow)
        (spawned,) = rows(service, RUN, "child.spawned")
        child: Any = service.context(CHILD)
        assert service.artifact(spawned["inputs_id"]) == b'{"n":%d}' % child["n"]
        assert service.context(RUN, "given") == 2 * child["n"]


def test_the_result_is_a_key_or_all_of_the_context() -> None:
    """What the child left goes on, converted to what the next step asks for; a key it did not leave fails the step."""
    with durum.open("memory://") as service:
        everything = starting(doubling(), result=None)

        @everything.step
        def typed(given: Left) -> str:
            return f"{type(given['doubled']).__name__} {given['doubled']}"

        whole = service.start(everything, {"n": 4})
        assert service.context(str(whole["run_id"]), "end") == {"n": 4, "read": 4, "doubled": 8}
        assert service.context(str(whole["run_id"]), "typed") == "float 8.0"
        missing = service.start(starting(doubling(), result="tripled"), {"n": 4})
        error: Any = missing["error"]
        assert (error["code"], error["state_id"]) == ("child_result_missing", "parent.given.main")
        assert "'tripled'" in error["message"]


def test_a_child_that_fails_fails_the_step_and_is_named() -> None:
    """The message says which run and why; what does not depend on it goes on."""
    kid = Workflow("kid", inputs=Number)

    @kid.step
    def doubled(n: int) -> int:
        raise StepError(f"{n} is too many")

    flow = starting(kid)

    @flow.step
    def aside(n: int) -> int:
        return n

    with durum.open("memory://") as service:
        summary: Any = service.start(flow, {"n": 5})
        child = child_of(service, summary["run_id"])
        said = f"child run {child} failed (5 is too many); look with: durum show {child}"
        assert (summary["status"], summary["error"]["code"], summary["error"]["message"]) == ("failed", "child_failed", said)
        assert service.context(summary["run_id"]) == {"n": 5, "aside": 5}
        assert service.show(child)["status"] == "failed"


def test_a_child_that_fails_among_others_fails_its_item_only() -> None:
    """The other items' children complete, the step after them is skipped."""
    kid = Workflow("kid", inputs=Number)

    @kid.step
    def doubled(n: int) -> int:
        if n == 4:
            raise StepError("unlucky")
        return n * 2

    middle = starting(kid, "middle")
    flow = Workflow("top", inputs=Number)

    @flow.step
    def numbers(n: int) -> list[int]:
        return [n, n + 1, n + 2]

    @flow.step(each="numbers", child=middle, result="end", writes="many", max_concurrency=1)
    def spread(item: int) -> Number:
        return {"n": item}

    @flow.step
    def total(many: list[int]) -> int:
        return sum(many)

    with durum.open("memory://") as service:
        summary: Any = service.start(flow, {"n": 3})
        ended = [event["status"] for event in rows(service, summary["run_id"], "child.completed")]
        found = {str(row["state_id"]).split(".", 1)[1]: row["status"] for row in service.states(summary["run_id"])}
    assert ended == ["completed", "failed", "completed"]
    assert [found[name] for name in ("spread.i0", "spread.i1", "spread.i2", "total.main")] == [
        "completed",
        "failed",
        "completed",
        "skipped",
    ]


def counting_down() -> Workflow:
    """Return a workflow that starts itself for each of no or one item."""
    flow = Workflow("down", inputs=Number)

    @flow.step
    def rest(n: int) -> list[int]:
        return [n - 1] if n else []

    @flow.step(each="rest", child=flow, result="added", writes="below")
    def deeper(item: int) -> Number:
        return {"n": item}

    @flow.step
    def added(n: int, below: list[int]) -> int:
        return n + sum(below)

    return flow


def test_a_workflow_may_start_itself_sixteen_deep() -> None:
    """No item, no child: that is how it ends. One deeper is refused, and all above it fail."""
    flow = counting_down()
    with durum.open("memory://") as service:
        summary: Any = service.start(flow, {"n": 16})
        assert (summary["status"], service.context(summary["run_id"], "added"), len(service.runs())) == ("completed", 136, 17)
    with durum.open("memory://") as service:
        summary = service.start(flow, {"n": 17})
        failed: list[Any] = service.runs()
        assert {run["status"] for run in failed} == {"failed"}
        assert sorted(run["error"]["code"] for run in failed) == ["child_failed"] * 16 + ["child_too_deep"]


def test_a_hundred_children_side_by_side(tmp_path: Path) -> None:
    """They come together in item order; with a limit no more of them are open than that."""

    def many(limit: int | None) -> Workflow:
        flow = Workflow("wide", inputs=Number)
        options: StepOptions = {"each": "numbers", "child": doubling(), "result": "doubled", "writes": "all"}
        if limit is not None:
            options["max_concurrency"] = limit

        @flow.step
        def numbers(n: int) -> list[int]:
            return list(range(n))

        @flow.step(**options)
        def spread(item: int) -> Number:
            return {"n": item}

        return flow

    with durum.open(f"sqlite:///{tmp_path}/durum.db") as service:
        summary: Any = service.start(many(None), {"n": 100})
        assert service.context(summary["run_id"], "all") == [number * 2 for number in range(100)]
        assert len(service.runs()) == 101
        limited: Any = service.start(many(3), {"n": 20})
        open_now, most_open = 0, 0
        for event in rows(service, limited["run_id"], "child.spawned", "child.completed"):
            open_now += 1 if event["kind"] == "child.spawned" else -1
            most_open = max(most_open, open_now)
        assert (service.context(limited["run_id"], "all"), most_open) == ([number * 2 for number in range(20)], 3)


def test_inputs_are_converted_once() -> None:
    """A declaration that changes what it is given changes it at the spawn, not again when the child begins."""
    from pydantic import BaseModel, field_validator

    class Counted(BaseModel):
        n: int

        @field_validator("n")
        @classmethod
        def one_more(cls, n: int) -> int:
            return n + 1

    kid = Workflow("kid", inputs=Counted)

    @kid.step
    def doubled(n: int) -> int:
        return n

    with durum.open("memory://") as service:
        summary = service.start(starting(kid), {"n": 5})
        assert service.context(str(summary["run_id"]), "end") == 6
