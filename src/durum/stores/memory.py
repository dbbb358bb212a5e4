"""Logs and artifacts in memory: the shortest thing that keeps the stores' contract, for tests and experiments."""

from __future__ import annotations

import io
import secrets
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from durum.codec import genesis_hash
from durum.errors import ConcurrencyError, CorruptionError, NotFoundError, RunExistsError, RunOwnedError
from durum.ports import Artifact, DueRun, Head, Message, StoredEvent, StoredFile
from durum.stores.checked_chunks import checked_chunks
from durum.stores.outage import handle_closed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Sequence


class _Run(msgspec.Struct):
    """One run's log, inbox and owner."""

    head: Head
    events: list[StoredEvent] = []
    inbox: dict[str, Message] = {}
    dedupe_keys: set[str] = set()
    wake_ms: int | None = 0  # 0 while it is owned


class MemoryBackend:
    """What several handles share, as several processes share a file."""

    def __init__(self) -> None:
        self.runs: dict[str, _Run] = {}
        self.artifacts: dict[str, bytes] = {}
        self.alive: set[str] = set()


class MemoryStore:
    """Implements ``EventStore`` and ``ArtifactStore``; each handle is one worker."""

    def __init__(self, backend: MemoryBackend | None = None) -> None:
        self._opened: MemoryBackend | None = backend or MemoryBackend()
        self._worker: str | None = None

    @property
    def _backend(self) -> MemoryBackend:
        if self._opened is None:
            raise handle_closed("memory")
        return self._opened

    @property
    def worker(self) -> str:
        """The id this handle claims runs under."""
        if self._worker is None:
            self._worker = secrets.token_hex(6)
            self._backend.alive.add(self._worker)
        return self._worker

    def _run(self, run_id: str) -> _Run:
        run = self._backend.runs.get(run_id)
        if run is None:
            raise NotFoundError("run", run_id)
        return run

    async def claim(self, run_id: str, *, create: bool = False, now_ms: int = 0) -> Head:
        """Become the owner of a run; see ``EventStore.claim``."""
        if create and run_id not in self._backend.runs:
            self._backend.runs[run_id] = _Run(Head(run_id, 0, genesis_hash(run_id), 1, self.worker, now_ms))
            return self._backend.runs[run_id].head
        run = self._run(run_id)
        if create and run.head.seq:
            raise RunExistsError(run_id)
        owner = run.head.owner
        if owner is not None and owner in self._backend.alive:
            raise RunOwnedError(run_id, f"worker {owner}")
        strikes = run.head.strikes + (owner is not None)
        run.head = msgspec.structs.replace(run.head, owner=self.worker, epoch=run.head.epoch + 1, strikes=strikes)
        run.wake_ms = 0
        return run.head

    async def release(self, run_id: str, epoch: int, *, wake_ms: int | None = None) -> None:
        """Give the run up if this worker still owns it in ``epoch``; see ``EventStore.release``."""
        run = self._backend.runs.get(run_id)
        if run is not None and run.head.owner == self.worker and run.head.epoch == epoch:
            run.head = msgspec.structs.replace(run.head, owner=None, strikes=0)
            run.wake_ms = wake_ms

    def check_lease(self, run_id: str, epoch: int) -> None:
        """Make sure the run is still this worker's; see ``EventStore.check_lease``."""
        head = self._run(run_id).head
        if (head.owner, head.epoch) != (self.worker, epoch):
            raise ConcurrencyError(run_id, head.seq, head.seq, epoch, head.epoch)

    async def due(self, now_ms: int) -> list[DueRun]:
        """Return the runs that want to be driven and that nobody drives; see ``EventStore.due``."""
        found = [
            _due(run, now_ms)
            for run in self._backend.runs.values()
            if run.head.seq and run.head.owner not in self._backend.alive and (_is_due(run, now_ms) or run.inbox)
        ]
        return sorted(found, key=lambda run: (not run.orphaned, run.wake_ms is None, run.wake_ms or 0))

    async def is_alive(self, worker: str) -> bool:
        """Tell whether a handle is still open, which in memory is all there is to a worker's life."""
        return worker in self._backend.alive

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
        """Append events and artifacts at once."""
        del sync  # nothing here outlives the process anyway
        if not events:
            return expected_seq
        for artifact in artifacts:
            _check(artifact)
        run = self._run(run_id)
        head, last = run.head, events[-1]
        fits = all(event.seq == seq for seq, event in enumerate(events, expected_seq + 1))
        if (head.seq, head.epoch) != (expected_seq, epoch) or not fits:
            raise ConcurrencyError(run_id, expected_seq, head.seq, epoch, head.epoch)
        run.events.extend(events)
        run.head = msgspec.structs.replace(head, seq=last.seq, hash=last.hash)
        self._backend.artifacts.update((artifact.id, artifact.data) for artifact in artifacts)
        for message_id in consumed:
            run.inbox.pop(message_id, None)
        return last.seq

    async def sync(self) -> None:
        """Return: see ``append``."""

    async def head(self, run_id: str) -> Head | None:
        """Return the head of a run, None if the run is unknown."""
        run = self._backend.runs.get(run_id)
        return None if run is None else run.head

    async def heads(self) -> list[Head]:
        """Return the head of every run that has events, newest run first."""
        heads = [run.head for run in reversed(self._backend.runs.values()) if run.head.seq]
        return sorted(heads, key=lambda head: -head.created_ms)

    async def read_range(self, run_id: str, from_seq: int = 1, to_seq: int | None = None) -> list[StoredEvent]:
        """Return events ``from_seq`` to ``to_seq``, both included."""
        run = self._backend.runs.get(run_id)
        last = None if to_seq is None else max(to_seq, 0)
        return [] if run is None else run.events[max(from_seq, 1) - 1 : last]

    async def send(self, message: Message) -> bool:
        """Insert a message; False if one with its dedupe key or id was there first."""
        run = self._run(message.run_id)
        if message.dedupe_key in run.dedupe_keys or message.message_id in run.inbox:
            return False
        if message.dedupe_key is not None:
            run.dedupe_keys.add(message.dedupe_key)
        run.inbox[message.message_id] = msgspec.structs.replace(message, dedupe_key=None)
        return True

    async def inbox(self, run_id: str) -> list[Message]:
        """Return the run's unconsumed messages, oldest first."""
        return list(self._run(run_id).inbox.values())

    async def addressed(self) -> list[str]:
        """Return the ids of the runs with unconsumed messages."""
        return [run_id for run_id, run in self._backend.runs.items() if run.inbox]

    async def put(self, artifact: Artifact) -> str:
        """Store an artifact on its own."""
        _check(artifact)
        self._backend.artifacts[artifact.id] = artifact.data
        return artifact.id

    async def get(self, artifact_id: str) -> bytes:
        """Return an artifact's bytes."""
        data = self._backend.artifacts.get(artifact_id)
        if data is None:
            raise NotFoundError("artifact", artifact_id)
        _check(Artifact(artifact_id, "", data))
        return data

    async def get_many(self, artifact_ids: Sequence[str]) -> dict[str, bytes]:
        """Return those of these artifacts that are whole."""
        found = {identity: data for identity in artifact_ids if (data := self._backend.artifacts.get(identity)) is not None}
        return {identity: data for identity, data in found.items() if sha256(data).hexdigest() == identity}

    async def put_stream(self, kind: str, chunks: AsyncIterable[bytes]) -> StoredFile:
        """Store bytes as they come."""
        data = b"".join([chunk async for chunk in chunks])
        identity = await self.put(Artifact(sha256(data).hexdigest(), kind, data))
        return StoredFile(identity, len(data))

    async def chunks(self, artifact_id: str) -> AsyncGenerator[bytes, None]:
        """Hand an artifact's bytes out in pieces, checked against its id."""
        data = self._backend.artifacts.get(artifact_id)
        if data is None:
            raise NotFoundError("artifact", artifact_id)
        async for chunk in checked_chunks(artifact_id, io.BytesIO(data)):
            yield chunk

    async def exists(self, artifact_id: str) -> bool:
        """Tell whether an artifact is there."""
        return artifact_id in self._backend.artifacts

    async def close(self) -> None:
        """Let go of everything this handle owned."""
        if self._opened is not None:
            self._opened.alive.discard(self._worker or "")
        self._opened = None


def _due(run: _Run, now_ms: int) -> DueRun:
    head = run.head
    return DueRun(head.run_id, head.owner is not None, run.wake_ms if _is_due(run, now_ms) else None, head.strikes, head.epoch)


def _is_due(run: _Run, now_ms: int) -> bool:
    return run.wake_ms is not None and run.wake_ms <= now_ms


def _check(artifact: Artifact) -> None:
    if sha256(artifact.data).hexdigest() != artifact.id:
        raise CorruptionError(f"artifact {artifact.id}", "its bytes hash to another id")
