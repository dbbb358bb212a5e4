"""Replay makes every join again where a reducer is the author's own, for only the code can tell what it comes to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from durum.stores.memory import MemoryBackend
from tests.engine.crashes import RUN, cut, opened
from tests.engine.runs import Ran, run
from tests.engine.states import Does, plan_of, writes

if TYPE_CHECKING:
    from durum import ExecutionPlan


def joining(merge: Any, *, last: bool) -> ExecutionPlan:
    """Return a plan whose contributions meet in a last state, or at the end of the run."""
    states = {"left": writes(k=1, own="l"), "right": writes(k=2), "beside": writes(b=1)}
    edges = {}
    if last:
        states["last"] = Does(lambda _c, _i, _r: None)
        edges["last"] = "left right"
    return plan_of(states, edges, {"k": merge, "own": "max"})


def left_first(old: int | None, new: int) -> int:
    """Tell the order of two contributions."""
    return new if old is None else 10 * old + new


def right_first(old: int | None, new: int) -> int:
    """Make the same of one contribution, and another thing of two."""
    return new if old is None else 10 * new + old


@pytest.mark.parametrize("last", [True, False])
def test_a_reducer_that_makes_something_else_of_branches_is_found(last: bool) -> None:  # noqa: FBT001
    """No state does anything else than before: what differs is where the branches meet."""
    ran = run(joining(left_first, last=last)).sound()
    assert ran.context["k"] == 12
    found = ran.service.replay(ran.id, "reproduce", joining(right_first, last=last)).divergence
    assert found is not None
    assert (found.what, found.state_id) == ("join", "p.last.main" if last else None)
    assert found.message == f"k comes together in another way {'before p.last.main' if last else 'at the end of the run'}"


def test_another_merge_than_the_record_s_is_found() -> None:
    """Before anything is executed, and whether or not it would come to the same."""
    ran = run(joining("max", last=True)).sound()
    found = ran.service.replay(ran.id, "reproduce", joining("last", last=True)).divergence
    assert found is not None
    assert (found.what, found.expected, found.got) == ("plan", "max", "last")
    assert found.message == "context key 'k' merges in another way now"


def test_a_run_cancelled_without_its_code_is_whole() -> None:
    """Whoever ends it cannot run the reducer and leaves the key as the first branch has it; neither check calls it a fault."""
    backend = MemoryBackend()
    service = opened(backend)
    plan = joining(left_first, last=False)
    (end,) = Ran(service, plan, service.start(plan, run_id=RUN)).events("run.completed")
    left = opened(cut(backend, end["seq"] - 1))
    left.cancel(RUN)
    assert left.show(RUN)["status"] == "cancelled"
    assert left.context(RUN) == {"k": 1, "own": "l", "b": 1}
    assert left.verify(RUN).first_bad is None
    assert left.replay(RUN, "reproduce", plan).divergence is None
