"""The one writer of a run's log: chains events, folds them, and makes what several attempts staged durable in one commit."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

import msgspec

from durum.codec import Header, record
from durum.core.canonical import digest_bytes
from durum.core.fold import NOTHING_ATTACHED, Attached, fold
from durum.errors import ConcurrencyError, ConfigError, DurumError, StoreUnavailableError
from durum.ports import Artifact, StoredEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from collections.abc import Set as AbstractSet

    from durum.core.artifact_kind import ArtifactKind
    from durum.core.events import Envelope, Event
    from durum.core.run_state import RunState
    from durum.engine.artifacts import ArtifactReader
    from durum.ports import Clock, EventStore, Head

_log = logging.getLogger(__name__)
INLINE_EVENT_BYTES = 32 * 1024
"""Longest event; whatever may be larger is an artifact the event names."""
_TRIES = 5
_RETRY_SECONDS = 0.05
_KNOWN_IDS = 4096


class _Batch(msgspec.Struct, frozen=True, gc=False):
    """What one commit takes along."""

    events: list[StoredEvent]
    artifacts: list[Artifact]
    consumed: list[str]


class Recorder:
    """Owns the head of one run. ``stage`` is immediate and in memory; ``commit`` returns once everything staged is durable."""

    def __init__(
        self,
        store: EventStore,
        reader: ArtifactReader,
        clock: Clock,
        head: Head,
        writer: str,
        state: RunState,
        listener: Callable[[Envelope], object] | None = None,
    ) -> None:
        self._store = store
        self._reader = reader
        self._clock = clock
        self._writer = writer
        self._head = head
        self._hash = head.hash
        self._seq = head.seq
        self._stored_seq = head.seq
        self._synced = True  # whether what is stored is durable
        self._staged: list[StoredEvent] = []
        self._untold: list[Envelope] = []  # of whom somebody watches
        self._artifacts: dict[str, Artifact] = {}
        self._consumed: list[str] = []
        self._read: set[str] = set()  # messages
        self._known: set[str] = set()  # ids of artifacts that are stored
        self._known_before: AbstractSet[str] = frozenset()  # and older ones
        self._committing = False
        self._behind: list[asyncio.Future[None]] = []  # who waits for the commit under way; an asyncio.Lock is seven calls
        self._listener = listener
        self._broken: BaseException | None = None  # after it nothing is written: a step that swallows it must not tear a hole
        self.state = state

    def keep(self, kind: ArtifactKind, data: bytes, artifact_id: str | None = None) -> str:
        """Add an artifact to the next commit and return its id."""
        identity = digest_bytes(data) if artifact_id is None else artifact_id
        self.keep_all(kind, {identity: data})
        return identity

    def keep_all(self, kind: ArtifactKind, artifacts: Mapping[str, bytes]) -> None:
        """Add artifacts whose ids are known."""
        for identity, data in artifacts.items():
            if not (identity in self._known or identity in self._known_before or identity in self._artifacts):
                self._artifacts[identity] = Artifact(identity, kind, data)
                self._reader.cache.keep(identity, data)

    def consume(self, message_id: str) -> bool:
        """Drop an inbox message with the next commit, which holds the events it was made into; False if it was read before."""
        if message_id in self._read:
            return False
        self._read.add(message_id)
        self._consumed.append(message_id)
        return True

    def stage(
        self, event: Event, state_id: str | None = None, attempt: int | None = None, attached: Attached = NOTHING_ATTACHED
    ) -> Envelope:
        """Chain and fold an event; it is not durable, and must not be acted upon outside, before ``commit``."""
        if self._broken is not None:
            raise self._broken
        head = self._head
        header = Header(head.run_id, self._seq + 1, self._clock.now_ms(), state_id, attempt, head.epoch, self._writer)
        stored, envelope = record(event, header, self._hash)
        if len(stored.body) > INLINE_EVENT_BYTES:
            raise ConfigError(
                f"a {event.kind} event of {len(stored.body)} bytes is over {INLINE_EVENT_BYTES}; use shorter keys and names"
            )
        fold(self.state, (envelope,), attached)
        self._seq = header.seq
        self._hash = stored.hash
        self._staged.append(stored)
        if self._listener is not None:
            self._untold.append(envelope)
        return envelope

    async def commit(self, *, sync: bool = True) -> None:
        """Make everything staged so far durable; what others staged meanwhile rides along.

        A cancellation waits until then, unless it comes while another commit is under way: what was staged is left to the next.
        With ``sync`` off it is stored, and durable with the next commit: for what nobody outside can learn of before that one.

        Raises:
            ConcurrencyError: another worker owns the run now; nothing staged was stored.
            StoreUnavailableError: the store is away; nothing unacknowledged may be relied on.
        """
        upto = self._seq
        while self._committing:
            await self._turn()
        if self._broken is not None:
            raise self._broken
        if self._stored_seq < upto or (sync and not self._synced):
            self._committing = True
            sync = sync or self._listener is not None  # whoever watches is told what is durable, and soon
            try:
                await (self._write(sync=sync) if self._stored_seq < upto else self._sync())
            finally:
                self._committing = False
                self._wake()

    def _turn(self) -> asyncio.Future[None]:
        """Return what is done once the commit under way is over."""
        behind: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._behind.append(behind)
        return behind

    def _wake(self) -> None:
        """Let those go on who waited for the commit that is over."""
        for behind in self._behind:
            if not behind.done():
                behind.set_result(None)
        self._behind.clear()

    async def _write(self, *, sync: bool) -> None:
        """Make everything staged durable, and tell of it."""
        staged, artifacts = self._staged, list(self._artifacts.values())
        batch = _Batch(staged, artifacts, self._consumed)
        self._staged, self._artifacts, self._consumed = [], {}, []
        told = len(self._untold)
        cancelled = False
        try:
            try:
                await self._append(batch, sync=sync)
            except asyncio.CancelledError:
                cancelled = True
                await self._see_through(batch)
        except BaseException as error:
            self._broken = error
            raise
        self._stored_seq, self._synced = staged[-1].seq, sync
        for artifact in artifacts:
            self._known.add(artifact.id)
        if len(self._known) > _KNOWN_IDS:
            self._known, self._known_before = set(), self._known
        if self._listener is not None:
            envelopes, self._untold = self._untold[:told], self._untold[told:]
            self._tell(envelopes, self._listener)
        if cancelled:
            raise asyncio.CancelledError

    async def _sync(self) -> None:
        """Make durable what is stored; a sync that failed may be made up for, as an append may."""
        for attempt in range(_TRIES):
            try:
                await self._store.sync()
            except DurumError as error:
                if attempt == _TRIES - 1 or not isinstance(error, StoreUnavailableError):
                    self._broken = error
                    raise
                await asyncio.sleep(_RETRY_SECONDS * 2**attempt)
            else:
                break
        self._synced = True

    def _tell(self, envelopes: list[Envelope], listener: Callable[[Envelope], object]) -> None:
        """Hand durable events to whoever watches, until that has heard enough, which it says by True.

        A watcher that fails is dropped, for it must not become a step's failure.
        """
        for envelope in envelopes:
            try:
                if listener(envelope) is True:
                    self._listener = None
                    return
            except Exception:  # noqa: BLE001 - a watcher is anyone's code
                self._listener = None
                _log.warning("the run's watcher failed and is told nothing more", exc_info=True)
                return

    async def close(self) -> None:
        """Make durable all that is staged, and stage nothing more; after this the folded state is what the log says.

        Raises as ``commit`` does.
        """
        while self._stored_seq < self._seq or not self._synced:
            await self.commit()
        self._seal()

    async def abandon(self) -> None:
        """Stage and write nothing more, and wait for a commit under way: a task may outlive the run it was started for."""
        self._seal()
        while self._committing:
            await self._turn()

    def _seal(self) -> None:
        self._broken = self._broken or asyncio.CancelledError()

    def check_lease(self) -> None:
        """Make sure, right before the outside is acted upon, that the run is still ours; else nothing more is done or written.

        Raises:
            ConcurrencyError, StoreUnavailableError.
        """
        try:
            self._store.check_lease(self._head.run_id, self._head.epoch)
        except DurumError as error:
            self._broken = error
            raise

    async def _see_through(self, batch: _Batch) -> None:
        """Append although the task that waits was cancelled, and is again perhaps: later events are chained to these."""
        again = asyncio.create_task(self._append(batch, sync=True))
        while not again.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(again)
        again.result()

    async def _append(self, batch: _Batch, *, sync: bool) -> None:
        """Append once, whatever becomes of the acknowledgement: after a doubt the head tells whether the bytes are there."""
        run_id, epoch = self._head.run_id, self._head.epoch
        for attempt in range(_TRIES):
            try:
                await self._store.append(
                    run_id, self._stored_seq, epoch, batch.events, batch.artifacts, batch.consumed, sync=sync
                )
            except (StoreUnavailableError, ConcurrencyError) as error:
                fault: StoreUnavailableError | ConcurrencyError = error
                try:
                    if await self._landed(batch.events[-1]):
                        return
                except StoreUnavailableError as unknown:  # a head that moved may have been moved by these very events
                    fault = unknown
                if isinstance(fault, ConcurrencyError) or attempt == _TRIES - 1:
                    raise fault  # noqa: B904 - what was raised first stands in its context
                await asyncio.sleep(_RETRY_SECONDS * 2**attempt)
            else:
                return

    async def _landed(self, last: StoredEvent) -> bool:
        """Tell whether events are in the log; ``StoreUnavailableError`` if the store does not say."""
        head = await self._store.head(self._head.run_id)
        if head is None or head.epoch != self._head.epoch:
            return False
        return head.seq == last.seq and head.hash == last.hash
