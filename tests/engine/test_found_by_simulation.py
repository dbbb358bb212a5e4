"""Faults that only the simulation had found, each made to happen at once."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

import msgspec
import pytest

from durum import Io, Retry, Workflow
from durum.app import wiring
from durum.app.invocation import child_code
from durum.app.worker import Worker
from durum.core.config import RunConfig
from durum.core.manifest import Parent
from durum.engine.artifacts import ArtifactReader
from durum.engine.attempts import child_run_id
from durum.engine.delivery import deliver
from durum.engine.engine import Engine, Watcher
from durum.engine.inbox import Steer, message
from durum.engine.recovery import load_claimed
from durum.engine.stop import Stop
from durum.engine.system import SystemClock
from durum.errors import ConcurrencyError, RunOwnedError, StoreUnavailableError
from durum.stores.memory import MemoryBackend, MemoryStore
from durum.testing.faulty import Fault, FaultyStore, failing
from tests.engine.crashes import RUN, opened
from tests.engine.doubles import FixedEntropy, InstantClock, Scripted, counting
from tests.engine.families import doubling, filmed, starting, statuses
from tests.engine.runs import Ran
from tests.simulation.loop import SimulatedLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from durum.engine.engine import Store
    from durum.ports import Artifact, Head, Message, StoredEvent

CHILD = child_run_id(RUN, "parent.given.spawn")
FAMILY = starting(doubling())
BY_TEST = Steer(actor="test")


def left_behind(moment: Callable[[MemoryBackend], bool]) -> MemoryBackend:
    """Return what was durable at the first moment of a family's life that fits, its processes gone."""
    return next(backend for backend in filmed(FAMILY, RUN, {"n": 5})[1] if moment(backend))


def kinds(backend: MemoryBackend, run_id: str) -> list[str]:
    """Return the kinds of a run's events; none if it is not there."""
    run = backend.runs.get(run_id)
    return [] if run is None else [msgspec.json.decode(event.body)["kind"] for event in run.events]


def told(backend: MemoryBackend, word: str) -> None:
    """Tell the parent something from a process of its own."""
    assert asyncio.run(deliver(MemoryStore(backend), InstantClock(), message(RUN, word, BY_TEST)))


def resumed(store: MemoryBackend | Store) -> dict[str, str]:
    """Resume the parent and return how everybody is."""
    service = opened(store)
    service.resume(RUN, FAMILY)
    return statuses(service)


def test_a_call_given_up_before_it_could_be_made_is_on_record() -> None:
    """What comes before it must be durable first; a step that does not wait that long gave up a call all the same."""

    class Slow(MemoryStore):
        async def append(
            self,
            run_id: str,
            expected_seq: int,
            epoch: int,
            events: Sequence[StoredEvent],
            artifacts: Sequence[Artifact] = (),
            consumed: Sequence[str] = (),
            *,
            sync: bool = True,
        ) -> int:
            await asyncio.sleep(0.03)
            return await super().append(run_id, expected_seq, epoch, events, artifacts, consumed, sync=sync)

    asked = counting()
    flow = Workflow("given_up", transports={"fake": lambda: asked})

    @flow.step
    async def step(io: Io) -> str:
        await io.now()
        try:
            await asyncio.wait_for(io.call("fake", {}), 0.001)
        except TimeoutError:
            return "gave up"
        return "was answered"

    service = opened(Slow())
    ran = Ran(service, flow, service.start(flow, run_id=RUN)).sound()
    assert ran.context == {"step": "gave up"}
    assert asked.seen == []
    assert [fact["outcome"] for fact in ran.facts()] == ["success", "cancelled"]


def test_a_store_away_for_a_moment_is_not_how_a_child_ended() -> None:
    """The parent did not fail: driven on, it reads what its child came to."""
    service = opened(FaultyStore(MemoryStore(), failing("read_range", Fault.NOT_DONE, 1, 1)))
    with pytest.raises(StoreUnavailableError):
        service.start(FAMILY, {"n": 5}, run_id=RUN)
    assert service.resume(RUN, FAMILY)["status"] == "completed"


def test_a_message_sent_again_after_it_was_taken_is_known() -> None:
    """Its answer was lost, so its sender repeats it: it must not count twice, whatever its kind."""
    backend = left_behind(lambda then: "state.completed" in kinds(then, RUN))
    letter = message(RUN, "pause", BY_TEST)
    store = MemoryStore(backend)
    assert asyncio.run(deliver(store, InstantClock(), letter))
    assert backend.runs[RUN].inbox == {}
    assert not asyncio.run(deliver(store, InstantClock(), letter))
    assert kinds(backend, RUN).count("run.paused") == 1


def test_a_pause_that_could_not_be_read_does_not_outlive_the_word_to_go_on() -> None:
    """A second pause lies unread in the inbox; the store is away when the run is resumed: it is tried again, not paused."""
    backend = left_behind(lambda then: "state.completed" in kinds(then, RUN))
    told(backend, "pause")
    told(backend, "pause")
    assert backend.runs[RUN].inbox
    store = FaultyStore(MemoryStore(backend), failing("inbox", Fault.NOT_DONE, 1, 1))
    with pytest.raises(StoreUnavailableError):
        resumed(store)
    assert set(resumed(store).values()) == {"completed"}


def test_a_child_told_to_pause_before_it_began_goes_on_with_its_parent() -> None:
    """It was claimed and its process died; then its parent was paused, and it was told so; then its parent is resumed."""
    backend = left_behind(lambda then: CHILD in then.runs)
    assert kinds(backend, CHILD) == []
    told(backend, "pause")
    assert [letter.kind for letter in backend.runs[CHILD].inbox.values()] == ["pause"]
    assert set(resumed(backend).values()) == {"completed"}


def test_a_child_somebody_else_began_meanwhile_is_driven_on() -> None:
    """Between looking for it and starting it another process was faster."""

    class Behind(MemoryStore):
        late = True

        async def head(self, run_id: str) -> Head | None:
            if run_id == CHILD and self.late:
                self.late = False
                return None
            return await super().head(run_id)

    backend = left_behind(lambda then: "run.started" in kinds(then, CHILD))
    assert set(resumed(Behind(backend)).values()) == {"completed"}


def test_a_paused_child_that_somebody_holds_for_a_moment_goes_on_with_its_parent() -> None:
    """Whoever looked into its inbox had it just then; the word of the parent still counts when they let it go."""

    class Held(MemoryStore):
        held = True

        async def claim(self, run_id: str, *, create: bool = False, now_ms: int = 0) -> Head:
            if run_id == CHILD and self.held:
                self.held = False
                raise RunOwnedError(run_id, "a worker")
            return await super().claim(run_id, create=create, now_ms=now_ms)

    backend = left_behind(lambda then: "state.entered" in kinds(then, CHILD))
    told(backend, "pause")
    assert kinds(backend, CHILD)[-1] == "run.paused"
    assert set(resumed(Held(backend)).values()) == {"completed"}


def test_a_run_that_went_on_since_it_was_claimed_is_somebody_elses() -> None:
    """Who claimed it hung before reading it: that it lost the run is no damage to the record."""
    backend = left_behind(lambda then: "state.completed" in kinds(then, RUN))
    store = MemoryStore(backend)

    async def late() -> None:
        head = await store.claim(RUN)
        await load_claimed(store, ArtifactReader(store), msgspec.structs.replace(head, seq=head.seq - 1))

    with pytest.raises(ConcurrencyError, match="another worker took it over"):
        asyncio.run(late())


def work(store: Store) -> None:
    """Let a worker drive what is due for a minute, in which nobody waits."""
    flows = {flow.name: flow for flow in (FAMILY, doubling())}

    def engine(_: object, watcher: Watcher) -> Engine:
        return Engine(store, wiring.transports(None), InstantClock(), FixedEntropy(), watcher, cache(child_code))

    async def drive() -> None:
        stop = Stop()
        worker = Worker(
            store,
            InstantClock(),
            FixedEntropy(),
            lambda run: (flows[run.state.plan.op_id], flows[run.state.plan.op_id].plan()),
            engine,
            stop=stop,
            tell=lambda _: None,
            concurrency=1,
        )
        working = asyncio.create_task(worker.work())
        await asyncio.sleep(60)
        stop.now()
        await working

    loop = SimulatedLoop()
    loop.run(drive())
    loop.close()


def test_a_worker_tells_the_parent_of_a_child_that_was_over_when_its_owner_died() -> None:
    """The owner ended the child and died before it could send word; the parent is let go, waiting for it."""
    backend = left_behind(lambda then: "run.completed" in kinds(then, CHILD))
    assert backend.runs[RUN].inbox == {}
    backend.runs[RUN].head = msgspec.structs.replace(backend.runs[RUN].head, owner=None)
    backend.runs[RUN].wake_ms = None
    work(MemoryStore(backend))
    assert kinds(backend, RUN)[-1] == "run.completed"


def test_a_worker_drives_on_a_run_whose_message_it_could_not_read() -> None:
    """A child sends word while the store is away for whoever looks into the inbox: it has not come to nothing."""

    class Blind(MemoryStore):
        released = 0

        async def release(self, run_id: str, epoch: int, *, wake_ms: int | None = None) -> None:
            await super().release(run_id, epoch, wake_ms=wake_ms)
            self.released += run_id == RUN

        async def inbox(self, run_id: str) -> list[Message]:
            if run_id == RUN and kinds(backend, CHILD)[-1:] == ["run.completed"] and self.released < 2:
                self.released += self.released  # the look after the release fails too
                raise StoreUnavailableError("of this test", "it is away")
            return await super().inbox(run_id)

    backend = left_behind(lambda then: "state.entered" in kinds(then, CHILD))
    work(Blind(backend))
    assert kinds(backend, RUN)[-1] == "run.completed"


class LoopClock(SystemClock):
    """A clock that shows the time of the loop it runs in."""

    def now_ms(self) -> int:
        """Return milliseconds since the loop began."""
        return int(asyncio.get_running_loop().time() * 1000)


class SlowStore(MemoryStore):
    """A store whose appends take three seconds from ``slow`` on, and that tells ``stop`` in the middle of the first."""

    def __init__(self, slow: bytes, stop: Stop) -> None:
        super().__init__()
        self._slow, self._stop, self._seconds = slow, stop, 0
        self.appended: list[float] = []

    async def append(
        self,
        run_id: str,
        expected_seq: int,
        epoch: int,
        events: Sequence[StoredEvent],
        artifacts: Sequence[Artifact] = (),
        consumed: Sequence[str] = (),
        *,
        sync: bool = True,
    ) -> int:
        """Take a while."""
        if not self._seconds and self._slow in events[-1].body:
            self._seconds = 3
            asyncio.get_running_loop().call_later(2, self._stop.now)
        await asyncio.sleep(self._seconds)
        self.appended.append(asyncio.get_running_loop().time())
        return await super().append(run_id, expected_seq, epoch, events, artifacts, consumed, sync=sync)


def stopped(flow: Workflow, store: SlowStore, stop: Stop) -> float:
    """Start a run that is stopped on the way, and return when it was given up."""
    code, given_up = child_code(flow), 0.0

    async def drive() -> None:
        nonlocal given_up
        engine = Engine(store, code.transports(), LoopClock(), FixedEntropy(), stop=stop)
        await engine.start(code.start_run(RUN, {}, RunConfig(), Parent(depth=0, key="", run_id=CHILD)))
        given_up = asyncio.get_running_loop().time()
        await asyncio.sleep(60)

    loop = SimulatedLoop()
    loop.run(drive())
    loop.close()
    return given_up


def test_a_run_stopped_while_its_end_waits_for_another_commit_is_over_in_the_log_as_well() -> None:
    """A cancellation is being written when a retry falls due: the end is staged behind it, and then comes word to stop."""
    stop = Stop()
    store = SlowStore(b"cancel.requested", stop)
    flow = Workflow("stopped")

    @flow.step(retry=Retry(attempts=2, delay=timedelta(seconds=1), jitter=0.0))
    async def step() -> None:
        await store.send(message(RUN, "cancel", BY_TEST))
        raise OSError

    stopped(flow, store, stop)
    assert kinds(store._backend, RUN)[-2:] == ["cancel.requested", "run.completed"]


def test_what_a_step_left_in_the_middle_of_a_commit_is_durable_before_the_run_is_given_up() -> None:
    """Two calls are answered at once. Stopped, their step ends with the first that does; the other is still to be written."""
    stop = Stop()
    store = SlowStore(b"fact.recorded", stop)
    flow = Workflow("left", transports={"fake": counting})

    @flow.step
    async def step(io: Io) -> None:
        await asyncio.gather(*(io.call("fake", {"number": number}) for number in range(2)))

    given_up = stopped(flow, store, stop)
    assert kinds(store._backend, RUN).count("fact.recorded") > 1
    assert max(store.appended) <= given_up


def test_a_fault_of_the_store_does_not_stand_for_the_cancellation_it_met() -> None:
    """Whoever waits for a run with a timeout of their own hears of that; nothing more is stored, transports are closed."""
    called = asyncio.Event()

    async def hang(*_: object) -> None:
        called.set()
        await asyncio.sleep(3600)

    transport = Scripted(hang)
    flow = Workflow("hanging", transports={"fake": lambda: transport})

    @flow.step
    async def step(io: Io) -> None:
        await io.call("fake", {})

    async def drive() -> None:
        store, code = FaultyStore(MemoryStore()), child_code(flow)
        engine = Engine(store, code.transports(), InstantClock(), FixedEntropy())
        task = asyncio.create_task(engine.start(code.start_run(RUN, {}, RunConfig(), Parent(depth=0, key="", run_id=CHILD))))
        await called.wait()
        store.plan, appends = failing("append", Fault.NOT_DONE), store.calls["append"]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (transport.closed, store.calls["append"]) == (1, appends)

    asyncio.run(drive())
