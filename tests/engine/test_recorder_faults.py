"""A whole run on a store that fails at each of its calls in turn: nothing acknowledged is lost, nothing is done twice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

import pytest

from durum.codec import decode_log
from durum.core.digests import semantic_digest
from durum.core.events import RunStatus
from durum.engine import recorder as module
from durum.engine.artifacts import ArtifactReader
from durum.errors import StoreUnavailableError
from durum.history.verify import verify
from durum.stores.memory import MemoryBackend, MemoryStore
from durum.stores.sqlite import SqliteStore
from durum.testing.faulty import Fault, FaultyStore, failing
from tests.engine.small_run import RUN, Drive, Outside

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from durum.core.run_state import RunState
    from durum.engine.engine import Store

STORES = ("memory", "sqlite")
EFFECTS = [f"{RUN}/told", f"{RUN}/told/1"]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come at once."""
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0)


def opener(kind: str, folder: Path) -> Callable[[], Store]:
    """Return a function that opens handles on one fresh store."""
    if kind == "memory":
        backend = MemoryBackend()
        return lambda: MemoryStore(backend)
    folder.mkdir(exist_ok=True)
    return lambda: SqliteStore(folder / "durum.db")


class Reference(NamedTuple):
    """The run on a store that works."""

    meaning: str
    final: str | None
    appends: int
    events: int


def reference() -> Reference:
    """Return what the run comes to when nothing fails."""

    async def scenario() -> Reference:
        store = FaultyStore(MemoryStore())
        outside = Outside()
        state = await Drive(store, outside).start()
        assert state.completed is not None
        assert state.completed.status is RunStatus.COMPLETED
        assert outside.applied == EFFECTS
        return Reference(semantic_digest(state), state.completed.final_snapshot_id, store.calls["append"], state.seq)

    return asyncio.run(scenario())


REFERENCE = reference()
NUMBERS = range(1, REFERENCE.appends + 1)


async def check(store: Store, state: RunState, drives: list[Drive]) -> None:
    """Check that the run is over and means what it should, and that the log holds all that was ever acknowledged, once."""
    assert state.completed is not None
    assert (semantic_digest(state), state.completed.final_snapshot_id) == (REFERENCE.meaning, REFERENCE.final)
    log = {envelope.seq: envelope for envelope in decode_log(RUN, await store.read_range(RUN))}
    told = [envelope for drive in drives for envelope in drive.told]
    assert len({envelope.seq for envelope in told}) == len(told)
    assert all(log[envelope.seq] == envelope for envelope in told)
    assert (await verify(store, ArtifactReader(store), RUN)).first_bad is None


def test_the_run_is_worth_failing() -> None:
    """It takes many appends, so that there is much to fail."""
    assert REFERENCE.appends > 12
    assert REFERENCE.events > 25


@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize("fault", Fault)
def test_one_failure_at_any_append_changes_nothing(kind: str, fault: Fault, tmp_path: Path) -> None:
    """Stored or not: the run goes on in its epoch, writes the same events, calls and effects once each."""

    async def scenario(number: int) -> None:
        store = FaultyStore(opener(kind, tmp_path / str(number))(), failing("append", fault, number, number))
        outside = Outside()
        drive = Drive(store, outside)
        state = await drive.start()
        await check(store, state, [drive])
        assert (state.seq, len(drive.told), outside.applied) == (REFERENCE.events, REFERENCE.events, EFFECTS)
        head = await store.head(RUN)
        assert head is not None
        assert (head.epoch, head.owner) == (1, None)
        await store.close()

    for number in NUMBERS:
        asyncio.run(scenario(number))


@pytest.mark.parametrize("kind", STORES)
def test_every_acknowledgement_lost_is_no_loss(kind: str, tmp_path: Path) -> None:
    """Not one append is ever acknowledged, and the run does not fence itself."""

    async def scenario() -> None:
        store = FaultyStore(opener(kind, tmp_path)(), failing("append", Fault.NOT_ACKNOWLEDGED))
        outside = Outside()
        drive = Drive(store, outside)
        state = await drive.start()
        await check(store, state, [drive])
        assert (state.seq, outside.applied) == (REFERENCE.events, EFFECTS)
        await store.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", STORES)
def test_a_store_that_goes_away_for_good_stops_the_run_and_a_resume_completes_it(kind: str, tmp_path: Path) -> None:
    """From any append on: the error is the store's own, nothing told is lost, effects are repeated under their own key only."""

    async def scenario(number: int) -> None:
        open_handle = opener(kind, tmp_path / str(number))
        store = FaultyStore(open_handle(), failing("append", Fault.NOT_DONE, number))
        outside = Outside()
        first = Drive(store, outside)
        with pytest.raises(StoreUnavailableError, match="planned to fail"):
            await first.start()
        store.plan = None
        if number == 1:
            assert await store.heads() == []
            await store.close()
            return
        second = Drive(store, outside)
        await check(store, await second.resume(), [first, second])
        assert sorted(set(outside.applied), key=str) == EFFECTS
        assert len(outside.applied) <= len(EFFECTS) + 1
        await store.close()

    for number in NUMBERS:
        asyncio.run(scenario(number))


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("method", ["claim", "head", "release", "get", "put", "exists", "read_range", "is_alive", "inbox"])
def test_a_failure_of_any_other_call_is_survived(method: str, fault: Fault) -> None:
    """At each call of each method, with an append lost before it: the run ends, or stops with the store's error and resumes."""

    async def scenario(number: int) -> int:
        backend = MemoryBackend()
        fails, lost = failing(method, fault, number, number), failing("append", Fault.NOT_ACKNOWLEDGED, 3, 5)
        store = FaultyStore(MemoryStore(backend), lambda *call: fails(*call) or lost(*call))
        outside = Outside()
        first = Drive(store, outside)
        drives = [first]
        try:
            state = await first.start()
        except StoreUnavailableError:
            await store.close()
            store = FaultyStore(MemoryStore(backend))
            drives.append(Drive(store, outside))
            started = await store.read_range(RUN)
            state = await (drives[1].resume() if started else drives[1].start())
        await check(MemoryStore(backend), state, drives)
        assert sorted(set(outside.applied), key=str) == EFFECTS
        return store.calls[method]

    number = 1
    while asyncio.run(scenario(number)) >= number:
        number += 1
