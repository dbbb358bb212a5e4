"""Logs and artifacts in one SQLite file; docs/decisions/0004 says what an acknowledged append means."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import re
import sqlite3
import threading
import weakref
from hashlib import sha256
from typing import TYPE_CHECKING

from durum.codec import genesis_hash
from durum.errors import (
    ConcurrencyError,
    CorruptionError,
    NotFoundError,
    RunExistsError,
    RunOwnedError,
    StoreUnavailableError,
)
from durum.ports import Artifact, Head, Message, StoredEvent, StoredFile
from durum.stores.artifact_files import INLINE_BYTES, Arrival, ArtifactFiles
from durum.stores.checked_chunks import checked_chunks
from durum.stores.sqlite_file import open_database
from durum.stores.statements import statements
from durum.stores.worker_lock import WorkerLock, describe, is_alive

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Iterator, Sequence
    from pathlib import Path

_SEQ_BITS = 32
_LAST_SEQ = (1 << _SEQ_BITS) - 1
_DIGEST = re.compile("[0-9a-f]{64}")
_SQL = statements()


class SqliteStore:
    """Implements ``EventStore`` and ``ArtifactStore``. Commits inline: while nobody waits, a thread only adds delay.

    Threads may share a handle; in a forked child it is a new worker with a connection of its own.
    """

    def __init__(self, path: Path, *, create: bool = True) -> None:
        self._connection: sqlite3.Connection | None = open_database(path, create=create)
        self._path = path = path.absolute()  # the working directory may change
        self._files = ArtifactFiles(path.with_name(path.name + ".artifacts"))
        self._locks = path.with_name(path.name + ".workers")
        self._lock: WorkerLock | None = None
        self._numbers: dict[str, int] = {}  # run id -> run_no
        self._unheld: dict[str, int] = {}  # run id -> epoch that may stand under our name though nobody drives the run in it
        self._mutex = threading.RLock()
        _handles.add(self)

    @property
    def worker(self) -> str:
        """The id this handle claims runs under; its lock is taken when first needed."""
        with self._mutex:
            if self._lock is None:
                try:
                    self._lock = WorkerLock(self._locks)
                except OSError as error:
                    raise StoreUnavailableError(str(self._locks), str(error.strerror or error)) from error
            return self._lock.worker

    def _forget(self) -> None:
        """Begin anew in a forked child: SQLite's connection may not even be closed there, and the lock is the parent's."""
        if self._connection is not None:
            _inherited.append(self._connection)
            self._connection = None
        if self._lock is not None:
            self._lock.forget()
            self._lock = None
        self._unheld = {}
        self._mutex = threading.RLock()

    # --- transactions -----------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._mutex:
            try:
                if self._connection is None:
                    self._connection = open_database(self._path, create=False)
                yield self._connection
            except sqlite3.OperationalError as error:
                raise StoreUnavailableError(str(self._path), str(error)) from error
            except sqlite3.DatabaseError as error:
                raise CorruptionError(f"store {self._path}", str(error)) from error
            except OSError as error:
                raise StoreUnavailableError(str(self._path), str(error.strerror or error)) from error

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Run a transaction. After a failure whose outcome is in doubt the handle is closed, so that the next use re-reads."""
        with self._reading() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except sqlite3.Error:
                self._connection = None
                with contextlib.suppress(sqlite3.Error):
                    connection.close()  # rolls back what was not committed
                raise
            except BaseException:
                connection.execute("ROLLBACK")
                raise

    def _run_no(self, connection: sqlite3.Connection, run_id: str) -> int:
        number = self._numbers.get(run_id)
        if number is None:
            row = connection.execute(_SQL["find_run"], (run_id,)).fetchone()
            if row is None:
                raise NotFoundError("run", run_id)
            number = self._numbers[run_id] = int(row[0])
        return number

    # --- ownership --------------------------------------------------------------------------------------------------

    async def claim(self, run_id: str, *, create: bool = False, now_ms: int = 0) -> Head:
        """Become the owner of a run; see ``EventStore.claim``."""
        worker = self.worker
        with self._mutex:
            with self._writing() as connection:
                head = self._take(connection, run_id, worker, now_ms, create=create)
                self._unheld[run_id] = head.epoch  # should the commit be acknowledged to nobody
            del self._unheld[run_id]
        return head

    def _take(self, connection: sqlite3.Connection, run_id: str, worker: str, now_ms: int, *, create: bool) -> Head:
        row = connection.execute(_SQL["find_run"], (run_id,)).fetchone()
        if row is None:
            if not create:
                raise NotFoundError("run", run_id)
            genesis = genesis_hash(run_id)
            connection.execute(_SQL["add_run"], (run_id, now_ms, genesis, worker))
            return Head(run_id, 0, genesis, 1, worker, now_ms)
        run_no, seq, head_hash, epoch, owner, created_ms = row
        if create and seq:
            raise RunExistsError(run_id)
        held = owner is not None and (owner != worker or self._unheld.get(run_id) != epoch)
        if held and is_alive(self._locks, owner):
            raise RunOwnedError(run_id, describe(self._locks, owner))
        connection.execute(_SQL["take_run"], (worker, run_no))
        return Head(run_id, seq, head_hash, epoch + 1, worker, created_ms)

    async def release(self, run_id: str, epoch: int) -> None:
        """Give the run up if this worker still owns it in ``epoch``; if that cannot be stored now, it counts here at once."""
        with self._mutex:
            self._unheld[run_id] = epoch
            with self._writing() as connection:
                connection.execute(_SQL["release_run"], (run_id, self.worker, epoch))
            del self._unheld[run_id]

    async def is_alive(self, worker: str) -> bool:
        """Tell whether the process behind a worker id still holds its lock."""
        return is_alive(self._locks, worker)

    # --- the log ----------------------------------------------------------------------------------------------------

    async def append(
        self,
        run_id: str,
        expected_seq: int,
        epoch: int,
        events: Sequence[StoredEvent],
        artifacts: Sequence[Artifact] = (),
        consumed: Sequence[str] = (),
    ) -> int:
        """Append events and artifacts in one commit."""
        if not events:
            return expected_seq
        rows = [self._artifact_row(artifact) for artifact in artifacts]
        last = events[-1]
        with self._writing() as connection:
            run_no = self._run_no(connection, run_id)
            moved = connection.execute(_SQL["move_head"], (last.seq, last.hash, run_no, expected_seq, epoch))
            if moved.rowcount != 1 or any(event.seq != seq for seq, event in enumerate(events, expected_seq + 1)):
                raise self._stale(connection, run_id, expected_seq, epoch)
            stem = run_no << _SEQ_BITS
            connection.executemany(_SQL["add_event"], [(stem + event.seq, event.hash, event.body) for event in events])
            if rows:
                connection.executemany(_SQL["add_artifact"], rows)
            if consumed:
                connection.executemany(_SQL["drop_message"], [(run_no, message_id) for message_id in consumed])
        return last.seq

    def _stale(self, connection: sqlite3.Connection, run_id: str, expected_seq: int, epoch: int) -> ConcurrencyError:
        row = connection.execute(_SQL["find_run"], (run_id,)).fetchone()
        if row is None:
            raise NotFoundError("run", run_id)
        return ConcurrencyError(run_id, expected_seq, row[1], epoch, row[3])

    async def head(self, run_id: str) -> Head | None:
        """Return the head of a run, None if the run is unknown."""
        with self._reading() as connection:
            row = connection.execute(_SQL["find_run"], (run_id,)).fetchone()
        if row is None:
            return None
        _, seq, head_hash, epoch, owner, created_ms = row
        return Head(run_id, seq, head_hash, epoch, owner, created_ms)

    async def heads(self) -> list[Head]:
        """Return the head of every run that has events, newest run first."""
        with self._reading() as connection:
            return [Head(*row) for row in connection.execute(_SQL["all_runs"])]

    async def read_range(self, run_id: str, from_seq: int = 1, to_seq: int | None = None) -> list[StoredEvent]:
        """Return events ``from_seq`` to ``to_seq``, both included."""
        with self._reading() as connection:
            row = connection.execute(_SQL["find_run"], (run_id,)).fetchone()
            if row is None:
                return []
            stem = int(row[0]) << _SEQ_BITS
            last = _LAST_SEQ if to_seq is None else min(to_seq, _LAST_SEQ)
            rows = connection.execute(_SQL["read_events"], (stem + max(from_seq, 1), stem + last))
            return [StoredEvent(seq, event_hash, body) for seq, event_hash, body in rows]

    # --- the inbox --------------------------------------------------------------------------------------------------

    async def send(self, message: Message) -> bool:
        """Insert a message; False if one with its dedupe key or id was there first."""
        with self._writing() as connection:
            run_no = self._run_no(connection, message.run_id)
            row = (run_no, message.message_id, message.kind, message.payload)
            if connection.execute(_SQL["add_message"], row).rowcount != 1:
                return False
            key = message.dedupe_key
            if key is not None and connection.execute(_SQL["add_message_key"], (run_no, key)).rowcount != 1:
                connection.execute(_SQL["drop_message"], (run_no, message.message_id))
                return False
            return True

    async def inbox(self, run_id: str) -> list[Message]:
        """Return the run's unconsumed messages, oldest first."""
        with self._reading() as connection:
            rows = connection.execute(_SQL["read_inbox"], (self._run_no(connection, run_id),))
            return [Message(run_id, *row) for row in rows]

    async def addressed(self) -> list[str]:
        """Return the ids of the runs with unconsumed messages."""
        with self._reading() as connection:
            return [run_id for (run_id,) in connection.execute(_SQL["addressed_runs"])]

    # --- artifacts --------------------------------------------------------------------------------------------------

    def _artifact_row(self, artifact: Artifact) -> tuple[bytes, str, int, bytes | None]:
        """Return an artifact's row; large bytes go to their file first, so no durable event names bytes that are not."""
        identity = sha256(artifact.data)
        if identity.hexdigest() != artifact.id:
            raise CorruptionError(f"artifact {artifact.id}", "its bytes hash to another id")
        large = len(artifact.data) > INLINE_BYTES
        if large:
            with self._filing():
                self._files.put(artifact.id, artifact.data)
        return identity.digest(), artifact.kind, len(artifact.data), None if large else artifact.data

    async def put(self, artifact: Artifact) -> str:
        """Store an artifact on its own."""
        row = self._artifact_row(artifact)
        with self._writing() as connection:
            connection.execute(_SQL["add_artifact"], row)
        return artifact.id

    async def put_stream(self, kind: str, chunks: AsyncIterable[bytes]) -> StoredFile:
        """Store bytes as they come; beyond 64 KiB they go to their file, which a thread writes and syncs."""
        arrival = Arrival(self._files)
        try:
            async for chunk in chunks:
                if arrival.take(chunk):
                    with self._filing():
                        arrival.begin()
                        await asyncio.to_thread(arrival.write)
            with self._filing():
                filed = arrival.begin()
                data = None if filed else arrival.held
                digest = await asyncio.to_thread(arrival.end) if data is None else sha256(data).digest()
        finally:
            arrival.close()
        with self._writing() as connection:
            connection.execute(_SQL["add_artifact"], (digest, kind, arrival.size, data))
        return StoredFile(digest.hex(), arrival.size)

    @contextlib.contextmanager
    def _filing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreUnavailableError(str(self._path), str(error.strerror or error)) from error

    async def get(self, artifact_id: str) -> bytes:
        """Return an artifact's bytes, checked against its id."""
        inline = self._inline(artifact_id)
        with self._filed(artifact_id):
            data = self._files.get(artifact_id) if inline is None else inline
        if sha256(data).hexdigest() != artifact_id:
            raise CorruptionError(f"artifact {artifact_id}", "its bytes hash to another id")
        return data

    async def chunks(self, artifact_id: str) -> AsyncGenerator[bytes, None]:
        """Hand an artifact's bytes out in pieces, checked against its id."""
        inline = self._inline(artifact_id)
        with self._filed(artifact_id), self._files.open(artifact_id) if inline is None else io.BytesIO(inline) as source:
            async for chunk in checked_chunks(artifact_id, source):
                yield chunk

    @contextlib.contextmanager
    def _filed(self, artifact_id: str) -> Iterator[None]:
        """Tell a file that is gone from one that cannot be read now."""
        try:
            yield
        except FileNotFoundError as error:
            raise CorruptionError(f"artifact {artifact_id}", "its file is gone") from error
        except OSError as error:
            raise StoreUnavailableError(str(self._files.path(artifact_id)), str(error.strerror or error)) from error

    def _inline(self, artifact_id: str) -> bytes | None:
        """Return the bytes that lie in the row, None if they are in a file."""
        row = self._find_artifact(artifact_id)
        if row is None:
            raise NotFoundError("artifact", artifact_id)
        return row[0]

    async def exists(self, artifact_id: str) -> bool:
        """Tell whether an artifact is there."""
        return self._find_artifact(artifact_id) is not None

    def _find_artifact(self, artifact_id: str) -> tuple[bytes | None] | None:
        if not _DIGEST.fullmatch(artifact_id):
            return None
        with self._reading() as connection:
            row: tuple[bytes | None] | None = connection.execute(_SQL["get_artifact"], (bytes.fromhex(artifact_id),)).fetchone()
        return row

    async def close(self) -> None:
        """Close the file and give the worker's lock up."""
        with self._mutex:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            if self._lock is not None:
                self._lock.release()
                self._lock = None


_handles: weakref.WeakSet[SqliteStore] = weakref.WeakSet()
_inherited: list[sqlite3.Connection] = []


def _forget_handles() -> None:
    for handle in list(_handles):
        handle._forget()  # noqa: SLF001 - this module's own


os.register_at_fork(after_in_child=_forget_handles)
