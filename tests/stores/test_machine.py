"""Random operations by three workers against a dict that does the same: every store agrees with it at every step."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from durum.codec import genesis_hash
from durum.errors import ConcurrencyError, DurumError, NotFoundError, RunExistsError, RunOwnedError
from durum.ports import DueRun, Head, Message, StoredEvent
from durum.stores.memory import MemoryBackend, MemoryStore
from durum.stores.sqlite import SqliteStore
from durum.testing.conformance.contract import RUN, chained, named

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from durum.engine.engine import Store

HANDLES = 3
RUNS = tuple(RUN[:-1] + digit for digit in "012")
DATA = (b"", b"a", b"b\x00\xff", bytes(70_000))
MESSAGES = ("m1", "m2", "m3")

handles = st.integers(0, HANDLES - 1)
runs = st.sampled_from(RUNS)
any_data = st.integers(0, len(DATA) - 1)
mostly_right = st.sampled_from((0, 0, 0, 0, 0, 1, -1))


class Run(msgspec.Struct):
    """A run as the model has it; ``owner`` is a worker, dead or alive."""

    made: int
    created_ms: int
    owner: str | None
    hash: bytes
    epoch: int = 1
    strikes: int = 0
    wake_ms: int | None = 0
    events: list[StoredEvent] = []
    inbox: dict[str, bytes] = {}
    keys: set[str] = set()


class Machine(RuleBasedStateMachine):
    """The rules; a subclass says which store."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: dict[str, Run] = {}
        self.artifacts: dict[str, bytes] = {}
        self.living: set[str] = set()
        self.runner = asyncio.Runner()
        self.stores = [self.open() for _ in range(HANDLES)]

    def open(self) -> Store:
        """Return a new handle."""
        raise NotImplementedError

    def teardown(self) -> None:
        """Close everything."""
        for store in self.stores:
            self.do(store.close())
        self.runner.close()

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run to the end; an error of Durum's is an answer."""
        try:
            return self.runner.run(work)
        except DurumError as error:
            return type(error)

    @rule(handle=handles, run_id=runs, create=st.booleans(), now_ms=st.integers(0, 3))
    def claim(self, handle: int, run_id: str, now_ms: int, *, create: bool) -> None:
        """Only a run without a living owner is given away, under the next epoch; created once."""
        store = self.stores[handle]
        self.living.add(store.worker)
        answer = self.do(store.claim(run_id, create=create, now_ms=now_ms))
        run = self.runs.get(run_id)
        if run is None and not create:
            assert answer is NotFoundError
            return
        if run is None:
            self.runs[run_id] = Run(len(self.runs), now_ms, store.worker, genesis_hash(run_id))
        elif create and run.events:
            assert answer is RunExistsError
            return
        elif run.owner in self.living:
            assert answer is RunOwnedError
            return
        else:
            run.strikes += run.owner is not None
            run.owner, run.epoch, run.wake_ms = store.worker, run.epoch + 1, 0
        assert answer == self.head(run_id)

    @rule(handle=handles, run_id=runs, off=mostly_right, wake_ms=st.one_of(st.none(), st.integers(0, 3)))
    def release(self, handle: int, run_id: str, off: int, wake_ms: int | None) -> None:
        """Only the owner in this epoch gives a run up."""
        run = self.runs.get(run_id)
        epoch = run.epoch + off if run else 1
        assert self.do(self.stores[handle].release(run_id, epoch, wake_ms=wake_ms)) is None
        if run is not None and run.owner == self.stores[handle].worker and not off:
            run.owner, run.strikes, run.wake_ms = None, 0, wake_ms

    @rule(handle=handles, now_ms=st.integers(0, 3))
    def due(self, handle: int, now_ms: int) -> None:
        """What nobody drives is found if its moment has come or somebody wrote to it, orphans first."""
        found = []
        for run_id, run in self.runs.items():
            if run.events and run.owner not in self.living:
                wake_ms = run.wake_ms if run.wake_ms is not None and run.wake_ms <= now_ms else None
                if wake_ms is not None or run.inbox:
                    found.append(DueRun(run_id, run.owner is not None, wake_ms, run.strikes, run.epoch))
        found.sort(key=lambda run: (not run.orphaned, run.wake_ms is None, run.wake_ms or 0, self.runs[run.run_id].made))
        assert self.do(self.stores[handle].due(now_ms)) == found

    @rule(handle=handles, run_id=runs, off=mostly_right)
    def check_lease(self, handle: int, run_id: str, off: int) -> None:
        """Only the owner in this epoch may act."""
        store, run = self.stores[handle], self.runs.get(run_id)
        epoch = run.epoch + off if run else 1

        async def check() -> None:
            store.check_lease(run_id, epoch)

        answer = self.do(check())
        if run is None:
            assert answer is NotFoundError
        else:
            assert answer is (None if run.owner == store.worker and not off else ConcurrencyError)

    @rule(
        handle=handles,
        run_id=runs,
        seq_off=mostly_right,
        epoch_off=mostly_right,
        jump=st.sampled_from((0, 0, 0, 0, 1)),
        bodies=st.lists(st.binary(max_size=40), min_size=1, max_size=4),
        data=st.lists(any_data, max_size=2),
        consumed=st.lists(st.sampled_from(MESSAGES), max_size=2),
    )
    def append(
        self,
        handle: int,
        run_id: str,
        seq_off: int,
        epoch_off: int,
        jump: int,
        bodies: list[bytes],
        data: list[int],
        consumed: list[str],
    ) -> None:
        """All of it at the head in the epoch that counts, else nothing."""
        run = self.runs.get(run_id) or Run(0, 0, None, b"", epoch=1)
        expected, epoch = len(run.events) + seq_off, run.epoch + epoch_off
        events = chained(run.hash, expected + 1, *bodies)
        if jump:
            events[-1] = msgspec.structs.replace(events[-1], seq=events[-1].seq + 1)
        artifacts = [named(DATA[item]) for item in data]
        answer = self.do(self.stores[handle].append(run_id, expected, epoch, events, artifacts, consumed))
        if run_id not in self.runs:
            assert answer is NotFoundError
        elif seq_off or epoch_off or jump:
            assert answer is ConcurrencyError
        else:
            assert answer == expected + len(bodies)
            run.events = run.events + events
            run.hash = events[-1].hash
            self.artifacts |= {artifact.id: artifact.data for artifact in artifacts}
            for message_id in consumed:
                run.inbox.pop(message_id, None)

    @rule(
        handle=handles,
        run_id=runs,
        message_id=st.sampled_from(MESSAGES),
        key=st.sampled_from((None, "k1", "k2")),
        payload=st.binary(max_size=9),
    )
    def send(self, handle: int, run_id: str, message_id: str, key: str | None, payload: bytes) -> None:
        """Accepted once by id while it waits, once by key for good."""
        answer = self.do(self.stores[handle].send(Message(run_id, message_id, "note", payload, key)))
        run = self.runs.get(run_id)
        if run is None:
            assert answer is NotFoundError
            return
        accepted = message_id not in run.inbox and key not in run.keys
        assert answer is accepted
        if accepted:
            run.inbox[message_id] = payload
            if key is not None:
                run.keys.add(key)

    @rule(handle=handles, data=any_data)
    def put(self, handle: int, data: int) -> None:
        """Stored once or again."""
        artifact = named(DATA[data])
        assert self.do(self.stores[handle].put(artifact)) == artifact.id
        self.artifacts[artifact.id] = artifact.data

    @rule(handle=handles)
    def close(self, handle: int) -> None:
        """The worker is gone; in its place comes a new one."""
        self.living.discard(self.stores[handle].worker)
        assert self.do(self.stores[handle].close()) is None
        self.stores[handle] = self.open()

    def head(self, run_id: str) -> Head:
        """Return the head the model has."""
        run = self.runs[run_id]
        return Head(run_id, len(run.events), run.hash, run.epoch, run.owner, run.created_ms, run.strikes)

    @rule(handle=handles, run_id=runs, first=st.integers(-2, 6), last=st.one_of(st.none(), st.integers(-2, 6)))
    def read(self, handle: int, run_id: str, first: int, last: int | None) -> None:
        """Any stretch of any log."""
        events = self.runs[run_id].events if run_id in self.runs else []
        inside = [event for event in events if first <= event.seq and (last is None or event.seq <= last)]
        assert self.do(self.stores[handle].read_range(run_id, first, last)) == inside

    @invariant()
    def all_agree(self) -> None:
        """Whatever can be asked, through any handle."""
        turn = len(self.runs) + sum(len(run.events) for run in self.runs.values())
        store = self.stores[turn % HANDLES]
        newest = sorted(self.runs, key=lambda run_id: (self.runs[run_id].created_ms, self.runs[run_id].made), reverse=True)
        assert self.do(store.heads()) == [self.head(run_id) for run_id in newest if self.runs[run_id].events]
        for run_id in RUNS:
            known = run_id in self.runs
            assert self.do(store.head(run_id)) == (self.head(run_id) if known else None)
            waiting = self.do(store.inbox(run_id))
            if known:
                assert [(message.message_id, message.payload) for message in waiting] == [*self.runs[run_id].inbox.items()]
            else:
                assert waiting is NotFoundError
        for data in DATA:
            artifact = named(data)
            assert self.do(store.exists(artifact.id)) is (artifact.id in self.artifacts)
            assert self.do(store.get(artifact.id)) == self.artifacts.get(artifact.id, NotFoundError)


class MemoryMachine(Machine):
    """Handles on one backend."""

    def __init__(self) -> None:
        self.backend = MemoryBackend()
        super().__init__()

    def open(self) -> Store:
        """Open one."""
        return MemoryStore(self.backend)


class SqliteMachine(Machine):
    """Handles on one file."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        super().__init__()

    def open(self) -> Store:
        """Open one."""
        return SqliteStore(self.folder / "durum.db")

    def teardown(self) -> None:
        """Remove the file."""
        super().teardown()
        shutil.rmtree(self.folder)


QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
MemoryMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=QUIET)
SqliteMachine.TestCase.settings = settings(max_examples=20, stateful_step_count=40, deadline=None, suppress_health_check=QUIET)
TestMemory = MemoryMachine.TestCase
TestSqlite = SqliteMachine.TestCase
