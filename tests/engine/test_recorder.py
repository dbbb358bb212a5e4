"""The one writer of a log: what is staged becomes durable once and in order, whatever the store answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from durum.codec import decode_log
from durum.core.artifact_kind import ArtifactKind
from durum.core.config import RunConfig
from durum.core.events import Envelope, RunPaused
from durum.core.plan import PlanNode, PlanShape
from durum.core.run_state import begin
from durum.engine import recorder as module
from durum.engine.artifacts import ArtifactReader
from durum.engine.recorder import Recorder
from durum.errors import ConcurrencyError, StoreUnavailableError
from durum.stores.memory import MemoryBackend, MemoryStore
from durum.testing.clock import ManualClock
from durum.testing.conformance.contract import opening
from durum.testing.faulty import Fault, FaultyStore, failing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from durum.engine.engine import Store
    from durum.ports import Artifact, StoredEvent

RUN = "01890a5d-ac96-774b-bcce-b302099a8057"
PLAN = PlanShape(op_id="demo", nodes=(PlanNode(id="demo.step.main"),))


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come at once."""
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0)


def event(number: int) -> RunPaused:
    """Return an event that may stand anywhere."""
    return RunPaused(actor="ann", reason=str(number))


async def recorder_on(store: Store, listener: Callable[[Envelope], object] | None = None) -> Recorder:
    """Return the recorder of a new run."""
    head = await store.claim(RUN, create=True)
    state = begin(RUN, PLAN, RunConfig())
    return Recorder(store, ArtifactReader(store), ManualClock(5), head, store.worker, state, listener)


async def details(store: Store) -> list[str]:
    """Return the stored events' details; the chain must hold."""
    log = decode_log(RUN, await store.read_range(RUN))
    return [envelope.event.reason for envelope in log if isinstance(envelope.event, RunPaused)]


class SlowStore(MemoryStore):
    """A store whose appends wait for ``go``, before or after they are done."""

    def __init__(self, *, done_first: bool = False) -> None:
        super().__init__()
        self.go = asyncio.Event()
        self.begun = asyncio.Event()
        self.appends = 0
        self._done_first = done_first

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
        """Append when it is time."""
        self.appends += 1
        self.begun.set()
        if not self._done_first:
            await self.go.wait()
        seq = await super().append(run_id, expected_seq, epoch, events, artifacts, consumed, sync=sync)
        await self.go.wait()
        return seq


def test_what_is_staged_is_durable_after_the_commit_and_not_before() -> None:
    """Events are folded and chained at once, stored together, and bear the clock's time, the epoch and the writer."""

    async def scenario() -> None:
        store = FaultyStore(MemoryStore())
        recorder = await recorder_on(store)
        staged = [recorder.stage(event(number)) for number in range(3)]
        assert recorder.state.seq == 3
        assert await store.read_range(RUN) == []
        await recorder.commit()
        assert list(decode_log(RUN, await store.read_range(RUN))) == staged
        assert {(item.ts_millis, item.epoch, item.writer) for item in staged} == {(5, 1, store.worker)}
        await recorder.commit()
        assert store.calls["append"] == 1

    asyncio.run(scenario())


def test_artifacts_travel_with_the_events_and_only_once() -> None:
    """What was kept is stored by the next commit, is readable at once, and is not sent again."""

    async def scenario() -> None:
        store = MemoryStore()
        sent: list[str] = []
        backend_append = store.append

        async def append(
            run_id: str,
            seq: int,
            epoch: int,
            events: Sequence[StoredEvent],
            artifacts: Sequence[Artifact],
            consumed: Sequence[str],
            *,
            sync: bool = True,
        ) -> int:
            sent.extend(artifact.id for artifact in artifacts)
            return await backend_append(run_id, seq, epoch, events, artifacts, consumed, sync=sync)

        store.append = append  # type: ignore[method-assign, assignment]
        recorder = await recorder_on(store)
        for _ in range(3):
            identity = recorder.keep(ArtifactKind.OTHER, b"kept")
            recorder.stage(event(0))
            await recorder.commit()
        assert await store.get(identity) == b"kept"
        assert sent == [identity]

    asyncio.run(scenario())


def test_commits_at_once_share_an_append() -> None:
    """What is staged while an append is under way goes out together after it; a commit returns once its own is durable."""

    async def scenario() -> None:
        store = SlowStore()
        recorder = await recorder_on(store)

        async def write(number: int) -> None:
            recorder.stage(event(number))
            await recorder.commit()
            assert str(number) in await details(store)

        writers = [asyncio.create_task(write(number)) for number in range(10)]
        await store.begun.wait()
        store.go.set()
        await asyncio.gather(*writers)
        assert await details(store) == [str(number) for number in range(10)]
        assert store.appends <= 2

    asyncio.run(scenario())


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_one_failed_append_is_made_up_for(fault: Fault, number: int) -> None:
    """Whether the bytes had landed or not: each event is stored once, and the log goes on in the same epoch."""

    async def scenario() -> None:
        store = FaultyStore(MemoryStore(), failing("append", fault, number, number))
        recorder = await recorder_on(store)
        for place in range(4):
            recorder.stage(event(place))
            await recorder.commit()
        assert await details(store) == ["0", "1", "2", "3"]
        assert store.calls["append"] == (4 if fault is Fault.NOT_ACKNOWLEDGED else 5)

    asyncio.run(scenario())


def test_a_lost_acknowledgement_is_found_even_if_the_store_was_away_after_it() -> None:
    """The head could not be read either: the append is repeated, refused for its own bytes, and recognised."""

    async def scenario() -> None:
        lost, away = failing("append", Fault.NOT_ACKNOWLEDGED, 1, 1), failing("head", Fault.NOT_DONE, 1, 1)
        store = FaultyStore(MemoryStore(), lambda method, number: lost(method, number) or away(method, number))
        recorder = await recorder_on(store)
        recorder.stage(event(0))
        await recorder.commit()
        recorder.stage(event(1))
        await recorder.commit()
        assert await details(store) == ["0", "1"]
        assert store.calls["append"] == 3

    asyncio.run(scenario())


def test_a_store_that_stays_away_ends_the_writing() -> None:
    """The error is raised after a few tries and by everything after it: nothing may be stored behind a hole."""

    async def scenario() -> None:
        store = FaultyStore(MemoryStore())
        recorder = await recorder_on(store)
        recorder.stage(event(0))
        await recorder.commit()
        store.plan = failing("append", Fault.NOT_DONE)
        recorder.stage(event(1))
        with pytest.raises(StoreUnavailableError, match="planned to fail"):
            await recorder.commit()
        assert 1 < store.calls["append"] < 20
        store.plan = None
        with pytest.raises(StoreUnavailableError):
            recorder.stage(event(2))
        with pytest.raises(StoreUnavailableError):
            await recorder.commit()
        assert await details(store) == ["0"]

    asyncio.run(scenario())


def test_a_fenced_writer_stops_at_once() -> None:
    """After another adopted the run nothing is repeated or stored, whether the other has written or not."""

    async def scenario(*, wrote: bool) -> None:
        backend = MemoryBackend()
        store, other = FaultyStore(MemoryStore(backend)), MemoryStore(backend)
        recorder = await recorder_on(store)
        recorder.stage(event(0))
        await recorder.commit()
        await store.release(RUN, 1)
        head = await other.claim(RUN)
        if wrote:
            theirs = Recorder(other, ArtifactReader(other), ManualClock(5), head, other.worker, begin(RUN, PLAN, RunConfig()))
            theirs.state.seq = 1
            theirs.stage(event(7))
            await theirs.commit()
        before = await other.read_range(RUN)
        recorder.stage(event(1))
        with pytest.raises(ConcurrencyError) as caught:
            await recorder.commit()
        assert (caught.value.epoch, caught.value.actual_epoch) == (1, 2)
        with pytest.raises(ConcurrencyError):
            recorder.stage(event(2))
        assert store.calls["append"] == 2
        assert await other.read_range(RUN) == before

    asyncio.run(scenario(wrote=False))
    asyncio.run(scenario(wrote=True))


def test_an_append_that_landed_before_an_adoption_is_not_claimed() -> None:
    """The acknowledgement was lost and another owns the run by now: the bytes are there, but this writer is out."""

    async def scenario() -> None:
        backend = MemoryBackend()
        inner, other = MemoryStore(backend), MemoryStore(backend)
        store = FaultyStore(inner)
        recorder = await recorder_on(store)
        recorder.stage(event(0))

        def adopted(method: str, number: int) -> Fault | None:
            if method == "head" and number == 1:
                run = backend.runs[RUN]
                run.head = type(run.head)(RUN, run.head.seq, run.head.hash, run.head.epoch + 1, other.worker, 0)
            return Fault.NOT_ACKNOWLEDGED if (method, number) == ("append", 1) else None

        store.plan = adopted
        with pytest.raises(ConcurrencyError):
            await recorder.commit()
        assert await details(inner) == ["0"]

    asyncio.run(scenario())


def test_another_event_in_the_same_place_is_not_taken_for_its_own() -> None:
    """Only the hash tells: a head at the right seq in the right epoch may still be somebody else's."""

    async def scenario() -> None:
        store = MemoryStore()
        recorder = await recorder_on(store)
        recorder.stage(event(0))
        await store.append(RUN, 0, 1, opening(b"foreign"))
        with pytest.raises(ConcurrencyError):
            await recorder.commit()

    asyncio.run(scenario())


def test_a_watcher_is_told_what_is_durable_in_order() -> None:
    """Each event once, after its commit; one whose acknowledgement was lost too."""

    async def scenario() -> None:
        store = FaultyStore(MemoryStore(), failing("append", Fault.NOT_ACKNOWLEDGED, 2, 2))
        told: list[int] = []
        recorder = await recorder_on(store, lambda envelope: told.append(envelope.seq))
        for batch in range(3):
            recorder.stage(event(batch))
            recorder.stage(event(batch))
            assert told == list(range(1, 2 * batch + 1))
            await recorder.commit()
        assert told == [1, 2, 3, 4, 5, 6]

    asyncio.run(scenario())


def test_a_watcher_that_has_heard_enough_is_told_no_more() -> None:
    """Not even of what was stored in the same commit."""

    async def scenario() -> None:
        told: list[int] = []

        def watch(envelope: Envelope) -> bool:
            told.append(envelope.seq)
            return len(told) > 1

        recorder = await recorder_on(MemoryStore(), watch)
        for number in range(5):
            recorder.stage(event(number))
        await recorder.commit()
        recorder.stage(event(5))
        await recorder.commit()
        assert told == [1, 2]

    asyncio.run(scenario())


def test_a_watcher_that_fails_is_told_nothing_more() -> None:
    """What a watcher raises is no fault of the run, which goes on."""

    async def scenario() -> None:
        store = MemoryStore()
        told: list[int] = []

        def watch(envelope: Envelope) -> None:
            told.append(envelope.seq)
            raise ValueError

        recorder = await recorder_on(store, watch)
        for number in range(2):
            recorder.stage(event(number))
            await recorder.commit()
        assert told == [1]
        assert await details(store) == ["0", "1"]

    asyncio.run(scenario())
