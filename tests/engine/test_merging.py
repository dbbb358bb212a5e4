"""Contributions brought into a context: in a row and at joins, in replay and without the code, and what comes of a bad one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from durum import RunConfig, StepError, Workflow
from durum.core.config import FixedBackoff, RetryPolicy
from durum.errors import PlanChangedError
from durum.stores.memory import MemoryBackend
from tests.engine.crashes import RUN, cut, opened
from tests.engine.runs import Ran, run
from tests.engine.states import Does, deletes, plan_of, writes

if TYPE_CHECKING:
    from collections.abc import Callable

    from durum.core.state import DynContext

AT_ONCE = RunConfig(retry_policy=RetryPolicy(3, FixedBackoff(0), 0.0))


def gives(**values: object) -> Does:
    """Return a state that contributes to keys."""
    return writes(**values)


def chained(old: Any, new: Any) -> Any:
    """Show in what order contributions came."""
    return f"{old or ''}<{new}>"


def test_contributions_meet_in_the_order_of_the_plan() -> None:
    """Whoever finished first, over an input, in nested joins; each is counted once however many ways lead to it."""
    merges = {"n": "sum", "seen": "union", "trace": chained}
    steps = {name: gives(n=1, seen=[name, "all"], trace=name) for name in ("a", "b", "c", "d", "e")}
    edges = {"c": "a b", "d": "a", "e": "b c d"}
    ran = run(plan_of(steps, edges, merges), {"n": 10, "trace": "given"}).sound()
    assert ran.context == {"n": 15, "seen": ["a", "all", "b", "c", "d", "e"], "trace": "given<a><b><c><d><e>"}


def test_a_state_sees_the_value_and_gives_only_its_part() -> None:
    """Before and after it contributed; contributing again replaces its part; the log holds what it gave."""
    seen: list[Any] = []

    def act(ctx: DynContext, io: object, rec: object) -> None:
        del io, rec
        seen.append((ctx.has("n"), ctx.read("n")))
        ctx.write("n", 100)
        seen.append(ctx.read("n"))
        ctx.write("n", 5)
        seen.extend([ctx.has("n"), ctx.read("n"), ctx.dump()])

    ran = run(plan_of({"one": gives(n=2), "two": Does(act)}, {"two": "one"}, {"n": "sum"})).sound()
    assert seen[:5] == seen[5:] == [(True, 2), 102, True, 7, {"n": 7}]  # the second time in replay
    assert [row["event"]["writes"] for row in ran.events("state.completed")] == [[["n", [2], "reduce"]], [["n", [5], "reduce"]]]


def test_what_several_add_to_is_not_deleted_by_one() -> None:
    """Nor does a failed attempt leave its part, nor a retry give it twice."""
    tries: list[int] = []

    def act(ctx: DynContext, io: object, rec: object) -> None:
        del io, rec
        ctx.write("n", 1)
        tries.append(1)
        if len(tries) < 3:
            raise StepError("again", retryable=True)

    ran = run(plan_of({"one": gives(n=1), "two": Does(act)}, {}, {"n": "sum"}), config=AT_ONCE)
    assert (ran.context, ran.attempts("two"), len(tries)) == ({"n": 2}, ["step_failed", "step_failed", "completed"], 3)
    assert ran.service.verify(ran.id).first_bad is None
    ran = run(plan_of({"one": deletes("n")}, {}, {"n": "sum"})).sound()
    assert "context key 'n' merges by sum; it cannot be deleted" in ran.error["message"]


def picky(old: Any, new: Any) -> Any:
    """Take what comes, but not two of it side by side: a start is a list."""
    if old is not None and old != "seed":
        raise LookupError("no second one")
    return new


@pytest.mark.parametrize(
    ("merge", "left", "right", "reason"),
    [
        (picky, 1, 2, "reducer:own: it raised LookupError: no second one"),
        (lambda old, new: new if old in {None, "seed"} else {new}, 1, 2, r"reducer:own: its result is not JSON"),
        (lambda old, new: sys.exit(3) if old == 1 else new, 1, 2, "reducer:own: it raised SystemExit: 3"),
        ("min", 1, "1", "min: it compares numbers or texts, not a number with a text"),
    ],
)
def test_contributions_that_do_not_come_together_fail_the_state_they_meet_in(
    merge: Any, left: Any, right: Any, reason: str
) -> None:
    """Like a conflict: the state is never executed, others go on; at the end of the run it is the run's own error."""
    executed: list[bool] = []
    join = Does(lambda _c, _i, _r: executed.append(True))
    states = {"left": gives(k=left), "right": gives(k=right), "join": join, "beside": writes(b=1)}
    ran = run(plan_of(states, {"join": "left right", "beside": "left"}, {"k": merge})).sound()
    assert (ran.status, ran.attempts("join"), executed) == ("failed", ["merge_failed"], [])
    (failed,) = ran.events("state.failed")
    assert f"context key 'k' cannot be merged by {reason}" in failed["event"]["error"]["info"]["message"]
    assert (ran.statuses()["beside"], ran.context["b"]) == ("completed", 1)
    ran = run(plan_of({"left": gives(k=left), "right": gives(k=right)}, {}, {"k": merge})).sound()
    assert (ran.status, ran.error["code"], ran.error["state_id"]) == ("failed", "merge_failed", None)


def test_values_of_any_size_come_together() -> None:
    """Contributions and values that are trees of their own, in a row and at a join."""
    parts = {f"p{number}": gives(rows=[f"{number}-{row}" * 9 for row in range(200)]) for number in range(4)}
    ran = run(plan_of(parts, {"p2": "p0", "p3": "p1 p2"}, {"rows": "union"})).sound()
    assert ran.context["rows"] == [f"{number}-{row}" * 9 for number in (1, 0, 2, 3) for row in range(200)]


@pytest.mark.parametrize(("merge", "given"), [("sum", "ten"), (chained, 1), ("append", 5)])
def test_a_contribution_that_does_not_fit_fails_its_own_state(merge: Any, given: Any) -> None:
    """Whatever the step catches; the context stays as it was, and the failure is the run's."""

    def own(old: Any, new: Any) -> Any:
        raise LookupError(chained(old, new))

    def act(ctx: DynContext, io: object, rec: object) -> None:
        del io, rec
        if merge == "append":
            ctx.append("k", [1])
        else:
            ctx.write("k", 1)
        try:
            ctx.read("k")
        except Exception:  # noqa: BLE001 - a hostile step catches everything
            ctx.write("caught", 1)

    ran = run(plan_of({"one": Does(act)}, {}, {"k": own if callable(merge) else merge}), {"k": given})
    assert (ran.status, ran.attempts("one"), ran.service.context(ran.id)) == ("failed", ["merge_failed"], {"k": given})
    assert "context key 'k' cannot be merged by" in ran.error["message"]
    assert ran.sound().service.replay(ran.id, "reproduce", ran.code).passed_over == 1


# --- authored workflows and changed code ------------------------------------------------------------------------------------


def counted(own: Callable[[Any, Any], object] | str, start: int = 1) -> Workflow:
    """Return a workflow whose branches contribute to keys, and a last step that reads them and contributes too."""
    flow = Workflow("counts")
    flow.key("score", merge=own)  # type: ignore[arg-type]
    flow.key("seen", merge="union")
    for number in range(start, start + 3):
        flow.step(name=f"branch_{number}", writes="score")(lambda number=number: number)
        flow.step(name=f"look_{number}", writes="seen", after=[f"branch_{number}"])(lambda number=number: [number, 0])
    flow.step(name="more", writes="score")(lambda score: score)
    flow.step(name="result")(lambda score, seen: [score, seen])
    return flow


def best(old: int | None, new: int) -> int:
    """Add up."""
    return (old or 0) + new


def worst(old: int | None, new: int) -> int:
    """Add up, another way."""
    return (old or 0) - new


def renamed(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Give a function another one's name, as an edit of its body does."""
    function.__name__ = name
    return function


def test_steps_return_their_part_and_read_the_whole() -> None:
    """A step that gives to the key it reads sees what those before it gave."""
    ran = run(counted(best)).sound()
    assert ran.context == {"score": 12, "seen": [1, 0, 2, 3], "result": [12, [1, 0, 2, 3]]}


def test_each_item_of_a_list_contributes_in_its_order() -> None:
    """Items come into the plan while it runs, and come together as declared states do; a key without a merge holds the list."""
    flow = Workflow("items")
    flow.key("total", merge="sum")
    flow.key("trace", merge=chained)
    flow.step(name="numbers")(lambda: [3, 1, 2])
    flow.step(name="add", each="numbers", writes="total")(lambda item: item)
    flow.step(name="show", each="numbers", writes="trace")(lambda item, index: item * 10 + index)
    flow.step(name="plain", each="numbers")(lambda item: item)
    flow.step(name="end")(lambda total, trace, plain: [total, trace, plain])
    assert run(flow).sound().context["end"] == [6, "<30><11><22>", [3, 1, 2]]


def started() -> tuple[MemoryBackend, Ran]:
    """Run the workflow in a store that can be cut."""
    backend = MemoryBackend()
    service = opened(backend)
    return backend, Ran(service, counted(best), service.start(counted(best), run_id=RUN))


def test_a_crash_after_any_event_counts_no_contribution_twice() -> None:
    """Wherever the owner died, the run resumed from there ends with the same snapshot."""
    backend, ran = started()
    for events in range(1, len(ran.events())):
        service = opened(cut(backend, events))
        again = Ran(service, counted(best), service.resume(RUN, counted(best)))
        assert (again.status, again.summary["final_snapshot_id"]) == ("completed", ran.summary["final_snapshot_id"]), events
        assert again.sound().events("code.changed") == []


def test_a_changed_reducer_is_recorded_and_the_run_goes_on_under_it() -> None:
    """As if those who write the key had changed: what was made stays, what comes is made by the new one; once is enough."""
    backend, ran = started()
    (more,) = [row["seq"] for row in ran.events("state.entered") if row["event"]["state_id"] == "counts.more.main"]
    left = cut(backend, more)
    service = opened(left)
    changed = counted(renamed(worst, "best"))
    again = Ran(service, changed, service.resume(RUN, changed))
    writers = [f"counts.{name}.main" for name in ("branch_1", "branch_2", "branch_3", "more")]
    assert [row["event"]["steps"] for row in again.events("code.changed")] == [writers]
    assert again.context["score"] == 0
    assert service.verify(RUN).first_bad is None
    third = opened(cut(left, len(again.events()) - 1))
    third.resume(RUN, changed)
    assert len(Ran(third, changed, third.show(RUN)).events("code.changed")) == 1


@pytest.mark.parametrize("merge", [worst, "sum"])
def test_another_merge_is_refused(merge: Any) -> None:
    """What is in the log was made by the old one; nothing is written."""
    backend, ran = started()
    left = cut(backend, len(ran.events()) - 4)
    with pytest.raises(PlanChangedError, match="'score' merges in another way now"):
        opened(left).resume(RUN, counted(renamed(worst, "worst") if callable(merge) else merge))
    assert len(left.runs[RUN].events) == len(ran.events()) - 4
    assert ran.service.replay(RUN, "reproduce", counted("sum")).divergence.message == (  # type: ignore[union-attr]
        "context key 'score' merges in another way now"
    )
