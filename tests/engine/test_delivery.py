"""A message to a run that nobody drives enters its log at once, without its code; one that meets its owner is never lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from durum import Io, Workflow
from durum.engine.delivery import deliver, empty_inbox
from durum.engine.inbox import Answer, Steer, message
from durum.stores.memory import MemoryBackend, MemoryStore
from tests.engine.crashes import RUN, cut, opened
from tests.engine.doubles import InstantClock, counting
from tests.engine.questions import AGAIN, BUSY, acting, asked, told
from tests.engine.runs import Ran

BY_TEST = Steer(actor="test")


def waiting(backend: MemoryBackend) -> Ran:
    """Return a run that waits with a question beside a branch that has ended."""
    flow = acting("waits", counting([BUSY, "done"]))

    @flow.step(effects="apply_side_effect", retry=AGAIN)
    async def act(io: Io) -> Any:
        return await io.call("fake", {}, read=False)

    @flow.step
    def beside() -> int:
        return 1

    service = opened(backend)
    ran = Ran(service, flow, service.start(flow, run_id=RUN))
    asked(ran)
    return ran


def send(backend: MemoryBackend, word: str) -> bool:
    """Deliver a word from a process of its own that knows nothing of the run's code."""
    return asyncio.run(deliver(MemoryStore(backend), InstantClock(), message(RUN, word, BY_TEST)))


def now(ran: Ran) -> Ran:
    """Return the run as it stands."""
    return Ran(ran.service, ran.code, ran.service.show(ran.id))


def test_a_run_that_waits_is_cancelled_without_its_code() -> None:
    """Its log is closed, whole and replayable; what its other branch gave stays."""
    backend = MemoryBackend()
    ran = waiting(backend)
    assert send(backend, "cancel")
    over = now(ran).sound()
    assert (over.status, over.context) == ("cancelled", {"beside": 1})
    assert [row["event"]["kind"] for row in over.events()][-2:] == ["cancel.requested", "run.completed"]
    assert (backend.runs[RUN].head.owner, backend.runs[RUN].inbox) == (None, {})


def test_a_run_is_cancelled_wherever_its_owner_died() -> None:
    """Cut off after any event: attempts left open are closed, the run is cancelled, and all of it replays."""
    backend = MemoryBackend()
    ran = waiting(backend)
    for events in range(1, len(backend.runs[RUN].events) + 1):
        left = cut(backend, events)
        send(left, "cancel")
        service = opened(left)
        over = Ran(service, ran.code, service.show(RUN)).sound()
        assert over.status == "cancelled"


@pytest.mark.parametrize("cut_after", [3, None])
def test_a_paused_run_stays_so_until_somebody_resumes_it(cut_after: int | None) -> None:
    """Parked or interrupted: the pause is in the log at once, a second one is nothing new, and resuming goes on."""
    backend = MemoryBackend()
    ran = waiting(backend)
    if cut_after is not None:
        backend = cut(backend, cut_after)
    service = opened(backend)
    send(backend, "pause")
    send(backend, "pause")
    paused = Ran(service, ran.code, service.show(RUN)).sound()
    assert (paused.status, len(paused.events("run.paused"))) == ("paused", 1)
    again = paused.resume().sound()
    assert len(again.events("run.resumed")) == 1
    assert again.status == ("paused" if cut_after is None else "completed")  # the outside knows no doubt any more


def test_a_word_to_a_run_that_is_over_changes_nothing() -> None:
    """It may be over by the time the word arrives: no error, no event."""
    backend = MemoryBackend()
    ran = waiting(backend)
    send(backend, "cancel")
    events = list(backend.runs[RUN].events)
    assert send(backend, "cancel")
    assert send(backend, "pause")
    assert backend.runs[RUN].events == events
    assert now(ran).sound().status == "cancelled"


def test_an_owner_that_lets_go_looks_into_the_inbox_once_more() -> None:
    """Whoever wrote after its last look and before it let go found the run owned and relied on it."""

    class Late(MemoryStore):
        async def release(self, run_id: str, epoch: int, *, wake_ms: int | None = None) -> None:
            if not backend.runs[RUN].dedupe_keys:
                backend.runs[RUN].dedupe_keys.add("sent")
                assert await deliver(MemoryStore(backend), InstantClock(), message(RUN, "cancel", BY_TEST))
                assert len(backend.runs[RUN].inbox) == 1, "it has an owner still"
            await super().release(run_id, epoch, wake_ms=wake_ms)

    backend = MemoryBackend()
    flow = Workflow("late")

    @flow.step(retry=AGAIN, effects="apply_side_effect")
    def act() -> int:
        raise ValueError("unknown")

    service = opened(Late(backend))
    ran = Ran(service, flow, service.start(flow, run_id=RUN))
    assert ran.sound().status == "cancelled"
    assert backend.runs[RUN].inbox == {}


def test_a_message_survives_everybody_who_knows_of_it() -> None:
    """Whoever sent it died right after the insert: the next one who drives the run takes it first."""
    backend = MemoryBackend()
    ran = waiting(backend)
    (gate,) = [row["event"] for row in ran.events("gate.opened")]
    told(backend, RUN, "answer", Answer(gate["gate"], gate["digest"], {"happened": True, "result": 5}, "dead"))
    done = now(ran).resume().sound()
    assert (done.status, done.context["act"]) == ("completed", 5)
    (answer,) = done.events("gate.answered")
    assert answer["event"]["actor"] == "dead"


def test_what_no_version_understands_is_looked_at_once() -> None:
    """A message of an unknown kind stays and does not keep whoever looks busy."""
    backend = MemoryBackend()
    waiting(backend)
    letter = message(RUN, "later", BY_TEST)
    assert asyncio.run(deliver(MemoryStore(backend), InstantClock(), letter))
    asyncio.run(empty_inbox(MemoryStore(backend), InstantClock(), RUN))
    assert list(backend.runs[RUN].inbox) == [letter.message_id]
