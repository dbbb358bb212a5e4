"""Cancelling, pausing and parking: a family stops together, whoever drives it, and each of its logs says so."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

import durum
from durum import Durum, Io, Retry, StepError, TransportError, Workflow
from durum.engine.artifacts import ArtifactReader
from durum.engine.attempts import child_run_id
from durum.engine.inbox import Steer, message
from durum.engine.stop import Stop
from durum.stores.memory import MemoryBackend, MemoryStore
from tests.engine.crashes import RUN, opened
from tests.engine.doubles import Scripted
from tests.engine.families import Driven, Number, Slow, child_of, doubling, filmed, rows, starting, statuses, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from durum.core.canonical import JsonObject
    from durum.ports import Head

CHILD = child_run_id(RUN, "parent.given.spawn")
ANSWERED = {"happened": True, "result": 21}


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Durum, Durum]]:
    """Two workers on one store."""
    with durum.open(f"sqlite:///{tmp_path}/durum.db") as one, durum.open(f"sqlite:///{tmp_path}/durum.db") as other:
        yield one, other


def asking() -> Workflow:
    """Return a child whose only effect has an outcome nobody knows."""

    def lost(request: JsonObject, call: object) -> int:
        del request, call
        raise TransportError("lost", code="http_timeout", retryable=True)

    kid = Workflow("asking", inputs=Number, transports={"fake": lambda: Scripted(lost)})

    @kid.step(effects="apply_side_effect", retry=Retry(attempts=2, delay=timedelta(0), jitter=0))
    async def doubled(n: int, io: Io) -> int:
        return await io.call("fake", {"n": n}, read=False)  # type: ignore[return-value]  # as a person answers

    return kid


def hanging(name: str = "hanging") -> Workflow:
    """Return a child with a step that does not end."""
    kid = Workflow(name, inputs=Number)

    @kid.step
    async def doubled(n: int) -> int:
        await asyncio.Event().wait()
        return n

    return kid


def retrying() -> Workflow:
    """Return a child that waits an hour for its next attempt."""
    kid = Workflow("retrying", inputs=Number)

    @kid.step(retry=Retry(attempts=2, backoff="fixed", delay=timedelta(hours=1), jitter=0))
    def doubled(n: int) -> int:
        raise StepError(f"not yet {n}", retryable=True)

    return kid


def large_family() -> Workflow:
    """Return a workflow whose children run, park, wait and have a child themselves."""
    flow = Workflow("parent", inputs=Number)
    for kid in (hanging(), asking(), retrying(), starting(starting(hanging("deepest"), "below"), "above", result="end")):

        def given(n: int) -> Number:
            return {"n": n}

        flow.step(name=f"start_{kid.name}", child=kid)(given)
    return flow


BUSY = {
    "parent": {"waiting"},
    "hanging": {"running"},
    "asking": {"paused"},
    "retrying": {"waiting"},
    "above": {"waiting"},
    "below": {"waiting"},
    "deepest": {"running"},
}


def busy(service: Durum) -> bool:
    """Tell whether every run of the family stands where it stays."""
    found = statuses(service)
    return found.keys() == BUSY.keys() and all(found[name] in BUSY[name] for name in BUSY)


def check_cancelled(service: Durum) -> None:
    """Hold every log against what cancelling promises."""
    assert set(statuses(service).values()) == {"cancelled"}
    for run in service.runs():
        run_id = str(run["run_id"])
        last = rows(service, run_id)[-1]
        assert (last["kind"], last["status"]) == ("run.completed", "cancelled")
        assert service.verify(run_id).first_bad is None
        assert service.replay(run_id, "verify").divergence is None


def test_cancelling_from_another_process_ends_the_whole_family(pair: tuple[Durum, Durum]) -> None:
    """Children that run, are parked, wait for a retry or have children: all end as cancelled, children before parents."""
    one, other = pair
    driven = Driven(lambda: one.start(large_family(), {"n": 1}, run_id=RUN))
    until(lambda: busy(other))
    other.cancel(RUN, actor="ada")
    assert driven.ended()["status"] == "cancelled"
    check_cancelled(other)
    last = {str(run["op_id"]): int(str(run["updated_ms"])) for run in other.runs()}
    assert max(last.values()) == last["parent"]
    (heard,) = rows(other, child_run_id(RUN, "parent.start_hanging.spawn"), "cancel.requested")
    assert (heard["actor"], heard["reason"]) == (f"run {RUN}", "its parent was cancelled")


def test_cancelling_a_family_nobody_drives_ends_it_at_once(pair: tuple[Durum, Durum]) -> None:
    """No code is needed: who cancels closes every log."""
    one, other = pair
    stop = Stop()
    driven = Driven(lambda: one.start(large_family(), {"n": 1}, run_id=RUN, stop=stop))
    until(lambda: busy(other))
    stop.now()
    assert driven.ended()["status"] == "interrupted"
    assert other.cancel(RUN)["status"] == "cancelled"
    check_cancelled(other)


def test_a_child_that_has_not_begun_never_does() -> None:
    """The parent is cancelled between its word and the child's first event: there is no child, and nothing waits for one."""
    _, film = filmed(starting(doubling()), RUN, {"n": 1})
    left = next(left for left in film if rows(opened(left), RUN, "child.spawned") and CHILD not in left.runs)
    service = opened(left)
    assert service.cancel(RUN)["status"] == "cancelled"
    assert list(left.runs) == [RUN]


class Far(MemoryStore):
    """A store that takes its time over a child's first claim, and says when it began."""

    def __init__(self) -> None:
        super().__init__(MemoryBackend())
        self.asked = threading.Event()
        self.free = threading.Event()

    async def claim(self, run_id: str, *, create: bool = False, now_ms: int = 0) -> Head:
        """Claim once it may."""
        while run_id == CHILD and not self.free.is_set():
            self.asked.set()
            await asyncio.sleep(0.01)
        return await super().claim(run_id, create=create, now_ms=now_ms)


def test_a_child_that_is_just_beginning_hears_of_it_as_soon_as_it_has() -> None:
    """It has no inbox yet when its parent is cancelled; it does not run to its end all the same."""
    store = Far()
    service = Durum("memory://")
    service._store = store
    service._reader = ArtifactReader(store)
    driven = Driven(lambda: service.start(starting(hanging()), {"n": 1}, run_id=RUN))
    assert store.asked.wait(30)
    service.cancel(RUN)
    until(lambda: bool(rows(service, RUN, "cancel.requested")))
    threading.Event().wait(0.3)  # by now there was nobody to tell
    store.free.set()
    assert driven.ended()["status"] == "cancelled"
    assert service.show(CHILD)["status"] == "cancelled"


def test_wherever_it_stands_a_cancelled_family_is_cancelled_when_it_is_resumed() -> None:
    """Cut off after any write, then told to cancel while nobody drives it: every run that began ends as cancelled or over."""
    flow = starting(starting(doubling(), "middle"), "parent", result="end")
    _, film = filmed(flow, RUN, {"n": 1})
    for left in film[2:]:
        service = opened(left)
        if service.show(RUN)["status"] == "completed":
            continue
        service.cancel(RUN)
        assert service.show(RUN)["status"] == "cancelled"
        assert {run["status"] for run in service.runs()} <= {"cancelled", "completed"}


def test_a_child_cancelled_alone_fails_the_step(pair: tuple[Durum, Durum]) -> None:
    """Somebody cancels only the child, from another process: its parent goes on, and what needed it fails."""
    one, other = pair
    driven = Driven(lambda: one.start(starting(hanging()), {"n": 1}, run_id=RUN))
    until(lambda: statuses(other).get("hanging") == "running")
    other.cancel(CHILD)
    summary = driven.ended()
    assert (summary["status"], summary["error"]["code"]) == ("failed", "child_cancelled")
    assert summary["error"]["message"] == f"child run {CHILD} was cancelled; look with: durum show {CHILD}"


def test_a_parked_child_cancelled_alone_is_reported_at_once(pair: tuple[Durum, Durum]) -> None:
    """Nobody drives it, its parent lives: who cancels it also tells the parent."""
    one, other = pair
    slow, flow = Slow(), starting(asking())

    @flow.step(child=slow.flow, result="doubled")
    def beside(n: int) -> Number:
        return {"n": n}

    driven = Driven(lambda: one.start(flow, {"n": 1}, run_id=RUN))
    until(lambda: statuses(other).get("asking") == "paused" and slow.entered.is_set())
    other.cancel(CHILD)
    until(lambda: bool(rows(other, RUN, "child.completed")))
    assert driven.under_way
    slow.free.set()
    assert driven.ended()["error"]["code"] == "child_cancelled"


def test_pausing_pauses_all_and_resuming_resumes_all(pair: tuple[Durum, Durum]) -> None:
    """Each of the logs says so; what was under way came to its end first."""
    one, other = pair
    slow = Slow()

    @slow.flow.step
    def after(doubled: int) -> int:
        return doubled

    flow = starting(starting(slow.flow, "middle", result="after"), result="end")
    driven = Driven(lambda: one.start(flow, {"n": 2}, run_id=RUN))
    assert slow.entered.wait(30)
    other.pause(RUN)
    until(lambda: all(rows(other, str(run["run_id"]), "run.paused") for run in other.runs()))
    slow.free.set()
    assert driven.ended()["status"] == "paused"
    assert set(statuses(other).values()) == {"paused"}
    assert other.resume(RUN, flow)["status"] == "completed"
    assert set(statuses(other).values()) == {"completed"}
    assert (other.context(RUN, "end"), len(slow.ran)) == (4, 1)


def test_a_pause_its_child_has_not_heard_of_does_not_outlive_it(pair: tuple[Durum, Durum]) -> None:
    """The parent is paused while its child is parked; resumed, both go on."""
    one, other = pair
    flow = starting(asking())
    one.start(flow, {"n": 2}, run_id=RUN)
    other.pause(RUN)
    (gate,) = other.gates(CHILD)
    other.answer(CHILD, str(gate["gate"]), ANSWERED)
    assert other.resume(RUN, flow)["status"] == "completed"
    assert [len(rows(other, CHILD, kind)) for kind in ("run.paused", "run.resumed")] == [1, 1]


def test_pausing_a_parent_nobody_drives_reaches_its_children(pair: tuple[Durum, Durum]) -> None:
    """Its process let go, and somebody drives only the lowest child: the word goes down to it, one by one."""
    one, other = pair
    slow, stop = Slow(), Stop()

    @slow.flow.step
    def after(doubled: int) -> int:
        return doubled

    middle = starting(slow.flow, "middle", result="after")
    flow = starting(middle, result="end")
    driven = Driven(lambda: one.start(flow, {"n": 2}, run_id=RUN, stop=stop))
    assert slow.entered.wait(30)
    stop.now()
    slow.free.set()
    assert driven.ended()["status"] == "interrupted"
    below = child_of(one, CHILD)
    slow.entered.clear()
    slow.free.clear()
    driven = Driven(lambda: one.resume(below, slow.flow))
    assert slow.entered.wait(30)
    other.pause(RUN, actor="ada")
    until(lambda: bool(rows(other, below, "run.paused")))
    slow.free.set()
    assert driven.ended()["status"] == "paused"
    paused = [rows(other, run_id, "run.paused")[0] for run_id in (RUN, CHILD, below)]
    assert [event["actor"] for event in paused] == ["ada", f"run {RUN}", f"run {CHILD}"]
    assert paused[-1]["reason"] == "its parent was paused"
    assert other.resume(RUN, flow)["status"] == "completed"
    assert set(statuses(other).values()) == {"completed"}


def test_a_child_resumed_alone_hears_of_its_parents_pause_once(pair: tuple[Durum, Durum]) -> None:
    """Whatever else a paused parent is told later, what somebody let go on goes on."""
    one, other = pair
    kid = asking()
    one.start(starting(kid), {"n": 2}, run_id=RUN)
    other.pause(RUN)
    other.resume(CHILD, kid)
    other.pause(RUN)
    assert [len(rows(other, CHILD, kind)) for kind in ("run.paused", "run.resumed")] == [1, 1]


def test_a_pause_older_than_the_word_to_go_on_is_over_with_it() -> None:
    """The process died after it had told the child to pause and before the child heard: resuming the parent resumes both."""
    flow = starting(doubling())
    _, film = filmed(flow, RUN, {"n": 2})
    service = opened(next(left for left in film if rows(opened(left), CHILD)))
    asyncio.run(service._store.send(message(CHILD, "pause", Steer(actor=f"run {RUN}"))))
    assert service.resume(RUN, flow)["status"] == "completed"
    assert len(rows(service, CHILD, "run.paused")) == len(rows(service, CHILD, "run.resumed")) == 1


def test_a_child_paused_alone_stays_so_until_its_parent_is_resumed(pair: tuple[Durum, Durum]) -> None:
    """Its parent parks as paused; resuming the parent is the word to go on for both."""
    one, other = pair
    slow = Slow()

    @slow.flow.step
    def after(doubled: int) -> int:
        return doubled

    flow = starting(slow.flow, result="after")
    driven = Driven(lambda: one.start(flow, {"n": 2}, run_id=RUN))
    assert slow.entered.wait(30)
    other.pause(CHILD, actor="ada")
    until(lambda: bool(rows(other, CHILD, "run.paused")))
    slow.free.set()
    assert driven.ended()["status"] == "paused"
    assert not rows(other, RUN, "run.paused")
    assert other.resume(RUN, flow, actor="bob")["status"] == "completed"
    assert [event["actor"] for event in rows(other, CHILD, "run.resumed")] == [f"run {RUN}"]


def test_a_child_that_must_ask_parks_its_parent(pair: tuple[Durum, Durum]) -> None:
    """The gate stands under the child's id, the parent says ``paused``; once answered, resuming the parent finishes both."""
    one, other = pair
    flow = starting(starting(asking(), "middle"), result="end")
    summary: Any = one.start(flow, {"n": 2}, run_id=RUN)
    middle = child_of(one, RUN)
    asker = child_of(one, middle)
    assert (summary["status"], summary["driven"]) == ("paused", False)
    assert statuses(other) == {"parent": "paused", "middle": "paused", "asking": "paused"}
    (gate,) = other.gates()
    assert gate["run_id"] == asker
    other.answer(asker, str(gate["gate"]), ANSWERED)
    assert statuses(other) == {"parent": "interrupted", "middle": "interrupted", "asking": "interrupted"}
    done = other.resume(RUN, flow)
    assert (done["status"], other.context(RUN, "end")) == ("completed", 21)
    assert set(statuses(other).values()) == {"completed"}
