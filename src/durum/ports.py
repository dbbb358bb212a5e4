"""What the engine needs from the outside, as Protocols on one page: stores, transports, clock, entropy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Sequence

    from durum.core.canonical import JsonObject, JsonValue


MAX_CHUNK_BYTES = 1024 * 1024
"""Longest piece a store hands out at once, whatever the size of the artifact."""


class StoredEvent(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One event as a store keeps it: opaque ``body`` bytes and the chain hash over them (docs/decisions/0002)."""

    seq: int  # 1-based, contiguous
    hash: bytes  # 32 bytes, SHA-256 over the hash before and the body
    body: bytes  # canonical JSON of the envelope


class Artifact(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Immutable bytes on their way into a store."""

    id: str  # SHA-256 of ``data`` in lowercase hex
    kind: str  # an ArtifactKind value; stores keep it as text
    data: bytes


class StoredFile(msgspec.Struct, frozen=True):
    """Bytes that were streamed into a store: what names them there, and how many they are."""

    id: str  # SHA-256 of them in lowercase hex
    size: int


class Head(msgspec.Struct, frozen=True):
    """Where a run's log stands now, and who may append to it."""

    run_id: str
    seq: int  # 0: nothing appended yet
    hash: bytes  # of the last event; of the run's genesis when ``seq`` is 0
    epoch: int  # the fencing token every append carries
    owner: str | None  # worker id, None after a release
    created_ms: int
    strikes: int = 0  # claims in a row, this one included, that took the run over from an owner that was gone


class DueRun(msgspec.Struct, frozen=True):
    """A run that nobody drives and that wants to be driven."""

    run_id: str
    orphaned: bool  # its owner is gone, and gave nothing up
    wake_ms: int | None  # when it wanted to be woken; None: somebody wrote to it
    strikes: int
    epoch: int  # of its last owner


class Message(msgspec.Struct, frozen=True):
    """A durable message to a run from anyone who is not its owner."""

    run_id: str
    message_id: str
    kind: str
    payload: bytes  # canonical JSON
    dedupe_key: str | None = None  # at most one message per (run, dedupe key) is accepted


class EventStore(Protocol):
    """Append-only logs, one per run, fenced by epoch. An open handle is one worker; every method is all or nothing.

    Raises ``ConcurrencyError`` when a guard fails, ``StoreUnavailableError`` when the outcome is unknown or the store is away.
    """

    @property
    def worker(self) -> str:
        """The id this handle claims runs under."""

    async def claim(self, run_id: str, *, create: bool = False, now_ms: int = 0) -> Head:
        """Become the owner under a new epoch.

        Raises:
            RunOwnedError: the worker that owns the run is alive.
            RunExistsError: ``create`` is set and the run has events.
            NotFoundError: ``create`` is not set and there is no such run.
        """

    async def release(self, run_id: str, epoch: int, *, wake_ms: int | None = None) -> None:
        """Give the run up if this worker still owns it in ``epoch``.

        ``wake_ms`` is when it wants to be driven on by anyone (Unix epoch); None: not before somebody writes to it.
        """

    def check_lease(self, run_id: str, epoch: int) -> None:
        """Make sure that nobody has taken the run over, nor can while this worker shows signs of life; cheap.

        Raises:
            ConcurrencyError: this worker does not own the run in ``epoch`` any more.
        """

    async def due(self, now_ms: int) -> list[DueRun]:
        """Return the runs with events that nobody drives and that want to be driven: orphans, then those due the longest."""

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
        """Append events with the artifacts they name, and drop the inbox messages they take over; return the new head seq.

        With ``sync`` off this need not wait for the disk: a power cut may take the last of these events, never some in between,
        until another write of this handle that waits, or ``sync``, returns. That raises if they did not become durable, or an
        append in between does; what comes next makes them so.
        """

    async def sync(self) -> None:
        """Return once everything this handle stored is durable."""

    async def head(self, run_id: str) -> Head | None:
        """Return the head of a run, None if the run is unknown."""

    async def heads(self) -> list[Head]:
        """Return the head of every run that has events, newest run first."""

    async def read_range(self, run_id: str, from_seq: int = 1, to_seq: int | None = None) -> list[StoredEvent]:
        """Return events ``from_seq`` to ``to_seq``, both included."""

    async def is_alive(self, worker: str) -> bool:
        """Tell whether the process behind a worker id lives, and is not to be taken for hung."""

    async def send(self, message: Message) -> bool:
        """Insert into the run's inbox; the insert is the acknowledgement. False: a message with this key was there first."""

    async def inbox(self, run_id: str) -> list[Message]:
        """Return the run's unconsumed messages, oldest first."""

    async def addressed(self) -> list[str]:
        """Return the ids of the runs with unconsumed messages."""

    async def close(self) -> None:
        """Release files and locks. Whoever calls this handle after that is told that the store is unavailable."""


class ArtifactStore(Protocol):
    """Immutable bytes under the SHA-256 of their content; checked on put and on get."""

    async def put(self, artifact: Artifact) -> str:
        """Store bytes durably and return their id; storing them again is no work."""

    async def get(self, artifact_id: str) -> bytes:
        """Return the bytes; ``NotFoundError`` if absent, ``CorruptionError`` if they do not match the id."""

    async def get_many(self, artifact_ids: Sequence[str]) -> dict[str, bytes]:
        """Return those that can be had at once, small ones above all, checked; ``get`` gives the others, or says why not."""

    async def put_stream(self, kind: str, chunks: AsyncIterable[bytes]) -> StoredFile:
        """Store bytes as they come, in bounded memory; they are durable under their id once it returns.

        What ``chunks`` raises comes through as it is, and then nothing is stored; neither is it after a cancellation.
        """

    def chunks(self, artifact_id: str) -> AsyncGenerator[bytes, None]:
        """Hand the bytes out in pieces of at most ``MAX_CHUNK_BYTES``, none of them empty; it fails as ``get`` does.

        Damage is told in place of the last piece at the latest, so whoever got them all got the true ones.
        """

    async def exists(self, artifact_id: str) -> bool:
        """Tell whether the bytes are there."""


class TransportCall(Protocol):
    """What a transport may know of the call it performs."""

    @property
    def effect_key(self) -> str | None:
        """The idempotency key to hand to the receiver; None for a read."""

    def secret(self, name: str) -> str:
        """Resolve a secret reference; the value is never recorded."""

    async def store(self, chunks: AsyncIterable[bytes]) -> StoredFile:
        """Stream bytes into the store, durably; the outcome of the call names them, and the fact lists them.

        They are kept as they are: bytes that hold the value of a secret this process resolved are refused (``TransportError``).
        """

    def stored(self, artifact_id: str) -> AsyncGenerator[bytes, None]:
        """Hand stored bytes out in pieces, as ``ArtifactStore.chunks`` does; ``TransportError`` if they are gone or damaged."""


class Transport(Protocol):
    """Performs live IO for one namespace. Constructed on the first live call, never in replay."""

    async def call(self, request: JsonObject, call: TransportCall) -> JsonValue:
        """Perform one request and return its outcome as JSON; raise ``TransportError`` with a stable code when it fails."""

    async def close(self) -> None:
        """Free what the transport holds."""


class Clock(Protocol):
    """The engine's time."""

    def now_ms(self) -> int:
        """Return milliseconds since the Unix epoch."""

    async def sleep_until(self, due_ms: int) -> None:
        """Return once ``now_ms() >= due_ms``."""


class Entropy(Protocol):
    """The engine's randomness."""

    def random_bytes(self, n: int) -> bytes:
        """Return ``n`` random bytes."""

    def uniform(self) -> float:
        """Return a float in [0, 1)."""
