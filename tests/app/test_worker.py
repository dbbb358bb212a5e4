"""What a worker takes up and in which order, what it leaves alone, and that one run's trouble is no other's."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, TypedDict

import msgspec
import pytest

import durum
from durum import Io, Workflow
from durum.app import worker
from durum.app.run_code import Codes
from durum.app.worker import Report
from durum.engine.stop import Stop
from durum.errors import ConfigError, StoreUnavailableError, TargetError
from durum.ports import Message
from durum.stores.memory import MemoryBackend, MemoryStore
from durum.testing.faulty import Fault, FaultyStore, failing
from tests.engine.crashes import cut, opened
from tests.engine.families import doubling, starting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from durum import Durum
    from durum.app.run_code import Code

PATIENCE_SECONDS = 30


class Named(TypedDict):
    """What a run is called."""

    name: str


@pytest.fixture(autouse=True)
def _short_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for the next look."""
    monkeypatch.setattr(worker, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(worker, "_FIRST_DELAY_SECONDS", 0.02)


def run_id(number: int) -> str:
    """Return the id of the n-th run."""
    return f"01890a5d-ac96-774b-bcce-b3020000{number:04}"


def plain(name: str = "flow", do: Callable[[], object] = lambda: None) -> Workflow:
    """Return a workflow of two steps; the second one does something."""
    flow = Workflow(name)

    @flow.step
    async def first(io: Io) -> str:
        return str(await io.uuid())

    @flow.step
    def second(first: str) -> str:
        do()
        return first

    return flow


def handed_in(service: Durum, flow: Workflow, count: int, inputs: dict[str, object] | None = None) -> list[str]:
    """Leave runs for a worker and return their ids."""
    ids = [run_id(number) for number in range(count)]
    for identity in ids:
        assert service.start(flow, inputs, run_id=identity, detach=True)["status"] == "pending"
    return ids


def worked(service: Durum, codes: Iterable[Code], concurrency: int = 4) -> list[Report]:
    """Let a worker drive until nothing is due, and return what it told."""
    told: list[Report] = []
    service.work(codes, concurrency=concurrency, until_idle=True, tell=told.append)
    return told


def said(told: Iterable[Report]) -> list[tuple[str, str, str]]:
    """Return event, run and status of what a worker told."""
    return [(report.event, report.run_id, report.status) for report in told]


def statuses(service: Durum) -> dict[str, Any]:
    """Return run -> status."""
    return {str(row["run_id"]): row["status"] for row in service.runs()}


def test_what_was_handed_in_is_driven_to_its_end() -> None:
    """Each is claimed and completed once; the record says nothing of how it was started."""
    service, flow = opened(MemoryBackend()), plain()
    ids = handed_in(service, flow, 3)
    told = worked(service, [flow])
    assert sorted(said(told)) == sorted(
        [(event, identity, "completed" * (event == "over")) for identity in ids for event in ("claimed", "over")]
    )
    assert {report.op_id for report in told} == {"flow"}
    assert not any(report.adopted for report in told)
    assert set(statuses(service).values()) == {"completed"}
    assert all(service.replay(identity, "reproduce", flow).divergence is None for identity in ids)
    assert worked(service, [flow]) == []


def test_orphans_come_before_what_was_handed_in_and_are_said_to_be_adopted() -> None:
    """Whatever order they were made in, with room for one at a time."""
    backend, flow = MemoryBackend(), plain()
    new, old = handed_in(opened(backend), flow, 2)
    left = cut(backend, 1, old)
    backend.runs[old] = left.runs[old]
    told = worked(opened(backend), [flow], concurrency=1)
    assert [(report.event, report.run_id, report.adopted) for report in told] == [
        ("claimed", old, True),
        ("over", old, False),
        ("claimed", new, False),
        ("over", new, False),
    ]


def test_as_many_as_there_is_room_for_run_side_by_side() -> None:
    """No more at any time, and no fewer while more are due."""
    under_way, most = 0, 0
    flow = Workflow("flow")

    @flow.step
    async def step() -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.005)
        under_way -= 1

    service = opened(MemoryBackend())
    handed_in(service, flow, 12)
    worked(service, [flow], concurrency=5)
    assert most == 5
    with pytest.raises(ConfigError, match="at least one run"):
        worked(service, [flow], concurrency=0)


def test_of_several_workers_each_run_is_driven_by_one(tmp_path: Path) -> None:
    """They look at the same runs at the same time; every step is done once, in one epoch after the one it was handed in."""
    done = list[str]()
    flow = plain(do=lambda: done.append("x"))
    services = [durum.open(f"sqlite:///{tmp_path}/durum.db") for _ in range(3)]
    ids = handed_in(services[0], flow, 40)
    threads = [threading.Thread(target=worked, args=(service, [flow])) for service in services]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert len(done) == len(ids)
    for identity in ids:
        epochs = [row["epoch"] for row in services[0].events(identity)]
        assert epochs == [1] + [epochs[-1]] * (len(epochs) - 1)
        assert services[0].verify(identity).first_bad is None
    for service in services:
        service.close()


def test_what_somebody_else_drove_since_the_last_look_is_not_touched() -> None:
    """A run that was due then may wait for a word by now: its epoch tells."""
    backend = MemoryBackend()
    first, second = run_id(0), run_id(1)
    flow = Workflow("flow")

    @flow.step
    async def drives_the_other() -> None:
        other = MemoryStore(backend)
        await other.release(second, (await other.claim(second)).epoch)

    handed_in(opened(backend), flow, 2)
    told = worked(opened(backend), [flow], concurrency=1)
    assert said(told) == [("claimed", first, ""), ("over", first, "completed")]
    assert backend.runs[second].head.epoch == 2


def test_a_run_nobody_named_the_code_of_is_left_alone() -> None:
    """It is said once a workflow, and nothing is claimed; another worker may have the code."""
    backend = MemoryBackend()
    mine, foreign = plain("mine"), plain("foreign")
    ids = handed_in(opened(backend), foreign, 2)
    opened(backend).start(mine, run_id=run_id(9), detach=True)
    told = worked(opened(backend), [mine])
    assert [report.event for report in told] == ["left_alone", "claimed", "over"]
    assert told[0].message == "runs of foreign are left alone, for none of the targets holds it"
    assert [backend.runs[identity].head.epoch for identity in ids] == [1, 1]
    worked(opened(backend), [foreign])
    assert set(statuses(opened(backend)).values()) == {"completed"}


def test_the_version_a_run_was_started_with_is_driven_if_it_was_named() -> None:
    """Else another of the same name may do."""
    backend, ran = MemoryBackend(), list[str]()

    def versioned(version: str) -> Workflow:
        flow = Workflow("flow", version=version)

        @flow.step
        def one() -> None:
            ran.append(version)

        return flow

    one, two = versioned("1"), versioned("2")
    handed_in(opened(backend), two, 1)
    worked(opened(backend), [one, two])
    opened(backend).start(one, run_id=run_id(1), detach=True)
    worked(opened(backend), [two])
    assert ran == ["2", "2"]


def test_a_worker_without_code_says_so() -> None:
    """It could drive nothing."""
    with pytest.raises(TargetError, match="no code was named"):
        worked(opened(MemoryBackend()), [])


def test_children_of_named_workflows_can_be_driven_too() -> None:
    """However deep; what was named twice counts once."""
    flow = plain()
    codes = Codes([starting(starting(doubling(), "middle"), "top"), flow, flow])
    assert sorted(codes._known) == ["flow", "kid", "middle", "top"]
    assert [len(known) for known in codes._known.values()] == [1] * 4


def test_what_waits_for_a_word_is_not_driven_until_it_comes() -> None:
    """A gate and a pause rest; the answer and the resume make the run go on, whoever gives them."""
    backend = MemoryBackend()
    flow = acting()
    service = opened(backend)
    ids = handed_in(service, flow, 1)
    with pytest.raises(KeyboardInterrupt):
        worked(service, [flow])
    backend.alive.clear()
    assert said(worked(service, [flow])) == [("claimed", ids[0], ""), ("rests", ids[0], "paused")]
    epoch = backend.runs[ids[0]].head.epoch
    assert worked(service, [flow]) == []
    assert backend.runs[ids[0]].head.epoch == epoch
    (gate,) = service.gates()
    service.answer(ids[0], str(gate["gate"]), {"happened": True, "result": "sent"}, actor="ann")
    service.pause(ids[0], actor="ann")
    assert worked(service, [flow]) == []
    assert statuses(service) == {ids[0]: "paused"}
    service.resume(ids[0], flow, actor="ann", stop=stopped())
    assert said(worked(service, [flow])) == [("claimed", ids[0], ""), ("over", ids[0], "completed")]


def test_an_answer_is_enough_to_make_a_run_go_on() -> None:
    """Whoever answers need not drive it: it is due from then on."""
    backend, flow = MemoryBackend(), acting()
    service = opened(backend)
    (identity,) = handed_in(service, flow, 1)
    with pytest.raises(KeyboardInterrupt):
        worked(service, [flow])
    backend.alive.clear()
    worked(service, [flow])
    (gate,) = service.gates()
    service.answer(identity, str(gate["gate"]), {"happened": False}, actor="ann")
    assert said(worked(service, [flow])) == [("claimed", identity, ""), ("over", identity, "completed")]


def stopped() -> Stop:
    """Return a word to let go at once."""
    stop = Stop()
    stop.drain()
    return stop


def acting() -> Workflow:
    """Return a workflow whose effect is cut off in its middle the first time."""
    flow = Workflow("acting")
    began: list[str] = []

    @flow.step(effects="apply_side_effect")
    def one() -> str:
        began.append("x")
        if len(began) == 1:
            raise KeyboardInterrupt
        return "sent again"

    return flow


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


def finished(flow: Workflow, identity: str) -> MemoryBackend:
    """Return a store in which the run is over."""
    backend = MemoryBackend()
    opened(backend).start(flow, run_id=identity)
    return backend


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
