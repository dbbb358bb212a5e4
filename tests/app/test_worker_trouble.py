"""A worker beside trouble: what fails, is away, dies or is cut off is nobody else's trouble."""

from __future__ import annotations

import asyncio
import threading

import msgspec
import pytest

from durum import Workflow
from durum.app import worker
from durum.app.worker import Report
from durum.engine.stop import Stop
from durum.errors import StoreUnavailableError
from durum.ports import Message
from durum.stores.memory import MemoryBackend, MemoryStore
from durum.testing.faulty import Fault, FaultyStore, failing
from tests.app.working import (
    Named,
    finished,
    handed_in,
    plain,
    run_id,
    said,
    statuses,
    worked,
)
from tests.engine.crashes import cut, opened
from tests.engine.families import doubling, starting

PATIENCE_SECONDS = 30


@pytest.fixture(autouse=True)
def _short_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for the next look."""
    monkeypatch.setattr(worker, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(worker, "_FIRST_DELAY_SECONDS", 0.02)


def test_a_message_that_comes_to_nothing_is_looked_at_once() -> None:
    """A second pause changes nothing and stays in the inbox; the run is not claimed for it again and again."""
    backend, flow = MemoryBackend(), plain()
    service = opened(backend)
    (identity,) = handed_in(service, flow, 1)
    service.pause(identity, actor="ann")
    asyncio.run(MemoryStore(backend).send(Message(identity, "m", "pause", b'{"actor":"bob"}')))
    told: list[Report] = []
    service.work([flow], until_idle=True, tell=told.append)
    epoch = backend.runs[identity].head.epoch
    stop = Stop()
    threading.Timer(0.3, stop.drain).start()
    service.work([flow], tell=told.append, stop=stop)
    assert backend.runs[identity].head.epoch <= epoch + 2  # one to look, one to look again as it lets go
    assert len(backend.runs[identity].inbox) == 1
    assert not told


def test_a_run_that_was_over_when_its_owner_died_is_put_in_order() -> None:
    """It is driven no more, and found no more."""
    backend, flow = MemoryBackend(), plain()
    service = opened(backend)
    service.start(flow, run_id=run_id(0))
    run = backend.runs[run_id(0)]
    run.head, run.wake_ms = msgspec.structs.replace(run.head, owner="dead"), 0
    before = len(run.events)
    assert worked(service, [flow]) == []
    assert (run.head.owner, len(run.events)) == (None, before)
    assert asyncio.run(MemoryStore(backend).due(2**60)) == []


def test_one_runs_trouble_is_said_once_and_stops_no_other() -> None:
    """Code that does not fit a run any more, and a record that cannot be read; both are tried again, later and later."""
    backend, flow = MemoryBackend(), plain()
    service = opened(backend)
    unfit, damaged, sound = handed_in(service, flow, 3)
    service.start(flow, run_id=run_id(9), detach=True)
    log = backend.runs[damaged]
    log.events[0] = msgspec.structs.replace(log.events[0], body=b"{}")
    other = Workflow("flow")

    @other.step
    def second() -> None:
        """Take no input."""

    backend.runs[unfit] = cut(finished(flow, unfit), 4, unfit).runs[unfit]
    stop, told = Stop(), list[Report]()
    threading.Timer(0.5, stop.drain).start()
    service.work([other], stop=stop, tell=told.append)
    trouble = [report.run_id for report in told if report.event == "trouble"]
    assert sorted(trouble) == sorted([unfit, damaged])
    assert "is damaged" in next(report.message for report in told if report.run_id == damaged)
    assert statuses(service)[sound] == "completed"
    assert statuses(service)[run_id(9)] == "completed"


def test_a_store_that_is_away_is_waited_for() -> None:
    """It is said once; when it is back the worker goes on."""
    backend, flow = MemoryBackend(), plain()
    handed_in(opened(backend), flow, 1)
    away = StoreUnavailableError("there", "away")
    store = FaultyStore(MemoryStore(backend), failing("due", Fault.NOT_DONE, 1, 3), lambda _: away)
    told = worked(opened(store), [flow])
    assert [report.event for report in told] == ["trouble", "claimed", "over"]
    assert store.calls["due"] > 3


@pytest.mark.parametrize("how", ["drain", "now"])
def test_told_to_stop_it_lets_go_of_what_it_drives(how: str) -> None:
    """What is under way ends or is cut off, the rest is not begun; all of it is due for the next worker."""
    backend, stop, began = MemoryBackend(), Stop(), list[str]()
    flow = Workflow("flow")

    @flow.step
    async def first() -> None:
        began.append("x")
        if len(began) == 2:
            getattr(stop, how)()
        await asyncio.sleep(0.05)

    @flow.step(after=["first"])
    def second() -> None:
        """Come after."""

    service = opened(backend)
    ids = handed_in(service, flow, 5)
    service.work([flow], concurrency=2, stop=stop)
    assert len(began) == 2
    assert {run.head.owner for run in backend.runs.values()} == {None}
    assert len(asyncio.run(MemoryStore(backend).due(2**60))) == len(ids)
    worked(opened(backend), [flow])
    assert set(statuses(service).values()) == {"completed"}
    assert len(began) == len(ids) + (2 if how == "now" else 0)


def test_a_run_that_may_kill_its_process_is_driven_beside_no_other_of_its_kind() -> None:
    """Else one such run would quarantine all the others; those that never lost an owner go on beside it."""
    backend, under_way, most = MemoryBackend(), set[str](), list[set[str]]()
    flow = Workflow("flow", inputs=Named)

    @flow.step
    async def step(name: str) -> None:
        under_way.add(name)
        most.append({*under_way})
        await asyncio.sleep(0.01)
        under_way.discard(name)

    service = opened(backend)
    for number in range(6):
        name = "suspect" if number < 3 else "sound"
        service.start(flow, {"name": f"{name} {number}"}, run_id=run_id(number), detach=True)
        if number < 3:
            run = backend.runs[run_id(number)]
            run.head, run.wake_ms = msgspec.structs.replace(run.head, owner="dead", strikes=2), 0
    worked(service, [flow])
    assert set(statuses(service).values()) == {"completed"}
    assert max(sum(name.startswith("suspect") for name in together) for together in most) == 1
    assert max(map(len, most)) == 4


def test_a_run_whose_drivers_keep_dying_is_quarantined_and_a_person_may_try_again() -> None:
    """The worker stops it and says so; it is shown as such, not driven, and the word of a person lifts it."""
    backend, flow = MemoryBackend(), plain()
    service = opened(backend)
    (identity,) = handed_in(service, flow, 1)
    run = backend.runs[identity]
    run.head, run.wake_ms = msgspec.structs.replace(run.head, owner="dead", epoch=5, strikes=4), 0
    assert said(worked(service, [flow])) == [("claimed", identity, ""), ("rests", identity, "quarantined")]
    shown = service.show(identity)
    assert (shown["status"], shown["paused"]) == (
        "quarantined",
        "quarantined: the process that drove it died 5 times in a row, in no state",
    )
    assert worked(service, [flow]) == []
    assert service.resume(identity, flow, actor="ann")["status"] == "completed"


def test_a_family_cut_off_is_finished_whoever_takes_up_whom() -> None:
    """Parent and child are both orphans; the child is driven once at a time, and its parent gets its result."""
    backend, flow = MemoryBackend(), starting(doubling())
    service = opened(backend)
    (identity,) = handed_in(service, flow, 1, {"n": 3})
    worked(service, [flow])
    for parent_events in (2, *range(4, len(backend.runs[identity].events))):  # after each commit
        left = cut(backend, parent_events, identity)
        for child in backend.runs.keys() - {identity}:
            left.runs[child] = cut(backend, 2, child).runs[child]
        again = opened(left)
        worked(again, [flow])
        assert again.context(identity, "end") == 6
        assert set(statuses(again).values()) == {"completed"}


def test_a_child_that_was_not_begun_as_its_parent_was_let_go_is_begun_by_the_next() -> None:
    """The parent waits for nobody but a run that is not there yet: it is due."""
    backend, stop = MemoryBackend(), Stop()
    flow = Workflow("parent")

    @flow.step(child=doubling())
    def given() -> dict[str, int]:
        stop.drain()
        return {"n": 3}

    service = opened(backend)
    (identity,) = handed_in(service, flow, 1)
    service.work([flow], stop=stop)
    assert list(backend.runs) == [identity]
    worked(service, [flow])
    assert set(statuses(service).values()) == {"completed"}
    assert len(backend.runs) == 2


def test_a_child_somebody_paused_stays_so_though_a_worker_drives_its_parent() -> None:
    """A worker has no word to say; who paused the child has."""
    backend, flow = MemoryBackend(), starting(doubling())
    service = opened(backend)
    (identity,) = handed_in(service, flow, 1, {"n": 3})
    worked(service, [flow])
    (child,) = backend.runs.keys() - {identity}
    spawned = next(number for number, row in enumerate(service.events(identity), 1) if row["event"]["kind"] == "child.spawned")  # type: ignore[index, call-overload]
    left = cut(backend, spawned + 1, identity)
    left.runs[child] = cut(backend, 1, child).runs[child]
    again = opened(left)
    again.pause(child, actor="ann")
    worked(again, [flow])
    assert statuses(again)[child] == "paused"
    assert worked(again, [flow]) == []
    again.resume(child, doubling(), actor="ann")
    worked(again, [flow])
    assert statuses(again) == {identity: "completed", child: "completed"}


def test_a_worker_that_cannot_store_a_claim_goes_on_later() -> None:
    """Full disk or locked store: the run is not lost, and not said to be anybody's."""
    backend, flow = MemoryBackend(), plain()
    handed_in(opened(backend), flow, 1)
    away = StoreUnavailableError("there", "away")
    store = FaultyStore(MemoryStore(backend), failing("claim", Fault.NOT_DONE, 1, 2), lambda _: away)
    stop, told = Stop(), list[Report]()
    threading.Timer(0.5, stop.drain).start()
    opened(store).work([flow], stop=stop, tell=told.append)
    assert [report.event for report in told] == ["trouble", "claimed", "over"]
