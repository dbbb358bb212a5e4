"""Logs and artifacts in one SQLite file; docs/decisions/0004 says what an acknowledged append means."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import re
import weakref
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from durum.errors import (
    ConcurrencyError,
    CorruptionError,
    NotFoundError,
)
from durum.ports import Artifact, DueRun, Head, Message, StoredEvent, StoredFile
from durum.stores.artifact_files import INLINE_BYTES, Arrival, ArtifactFiles
from durum.stores.checked_chunks import checked_chunks
from durum.stores.commit_group import CommitGroup
from durum.stores.database import Database
from durum.stores.outage import unavailable
from durum.stores.ownership import Ownership
from durum.stores.sqlite_file import Durability
from durum.stores.statements import statements
from durum.stores.worker_lock import LEASE_SECONDS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterator, Sequence
    from pathlib import Path

_SEQ_BITS = 32
_LAST_SEQ = (1 << _SEQ_BITS) - 1
_DIGEST = re.compile("[0-9a-f]{64}")
_MANY, _MANY_BYTES = 256, 2 << 20  # artifacts read at once
_SQL = statements()
T = TypeVar("T")
_ArtifactRow: TypeAlias = tuple[bytes, str, int, bytes | None]


class SqliteStore:
    """Implements ``EventStore`` and ``ArtifactStore``. A lone run commits where it stands, several share their commits.

    Threads may share a handle; in a forked child it is a new worker with a connection of its own.
    """

    def __init__(
        self,
        path: Path,
        *,
        create: bool = True,
        durability: Durability = Durability.FULL,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self._numbers: dict[str, int] = {}  # run id -> run_no
        self._database = Database(path, create=create, durability=durability, rolled_back=self._numbers.clear)
        self._path = path = self._database.path  # where the others lie, too, if a link names it
        self._group = CommitGroup(self._database.transact, self._database.mutex)
        self._files = ArtifactFiles(path.with_name(path.name + ".artifacts"))
        self._ownership = Ownership(path.with_name(path.name + ".workers"), lease_seconds)
        _handles.add(self)

    @property
    def worker(self) -> str:
        """The id this handle claims runs under; its lock is taken when first needed."""
        with self._database.mutex:
            return self._ownership.lock.worker

    def _forget(self) -> None:
        """Begin anew in a forked child: SQLite's connection may not even be closed there, and the lock is the parent's."""
        inherited = self._database.forget()
        if inherited is not None:
            _inherited.append(inherited)
        self._ownership.forget()
        self._group = CommitGroup(self._database.transact, self._database.mutex)

    # --- transactions -----------------------------------------------------------------------------------------------

    @property
    def _shares_commits(self) -> bool:
        """Whether more than one run is driven here: a write waits for the next commit of many, else it is made at once."""
        return len(self._ownership.held) > 1

    async def _write(self, job: Callable[[sqlite3.Connection], T], after: Callable[[], None] | None = None) -> T:
        """Run a job in a transaction; ``after`` runs right behind it."""
        if self._shares_commits:
            return await self._group.write(job, after)
        with self._database.mutex:
            result = self._database.transact(job)
            if after is not None:
                after()
        return result

    def _run_no(self, connection: sqlite3.Connection, run_id: str) -> int:
        if (number := self._numbers.get(run_id)) is None:
            row = connection.execute(_SQL["find_run"], (run_id,)).fetchone()
            if row is None:
                raise NotFoundError("run", run_id)
            number = self._numbers[run_id] = int(row[0])
        return number

    # --- ownership --------------------------------------------------------------------------------------------------

    async def claim(self, run_id: str, *, create: bool = False, now_ms: int = 0) -> Head:
        """Become the owner of a run; see ``EventStore.claim``."""
        taken: list[Head] = []

        def take(connection: sqlite3.Connection) -> Head:
            taken.append(self._ownership.take(connection, run_id, now_ms, create=create))
            return taken[-1]

        try:
            return await self._write(take, lambda: self._ownership.settled(run_id, taken[-1].epoch))
        except BaseException:
            if taken:  # whoever asked has gone: nobody drives the run, whatever became of the claim
                self._ownership.let_go(run_id, taken[-1].epoch)
            raise

    async def release(self, run_id: str, epoch: int, *, wake_ms: int | None = None) -> None:
        """Give the run up if this worker still owns it in ``epoch``; if that cannot be stored now, it counts here at once."""
        self._ownership.let_go(run_id, epoch)
        await self._write(
            lambda connection: self._ownership.release(connection, run_id, epoch, wake_ms),
            lambda: self._ownership.settled(run_id, epoch),
        )

    def check_lease(self, run_id: str, epoch: int) -> None:
        """Make sure the run is ours and stays so for a while; see ``EventStore.check_lease``."""
        if not self._ownership.is_certain(run_id, epoch):
            with self._database.mutex:
                self._database.transact(lambda connection: self._ownership.renew(connection, run_id, epoch))

    async def due(self, now_ms: int) -> list[DueRun]:
        """Return the runs that want to be driven and that nobody drives; see ``EventStore.due``."""
        with self._database as connection:
            return self._ownership.due(connection, now_ms)

    async def is_alive(self, worker: str) -> bool:
        """Tell whether the process behind a worker id lives, and is not to be taken for hung."""
        with self._filing():
            return self._ownership.is_alive(worker)

    # --- the log ----------------------------------------------------------------------------------------------------

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
        """Append events and artifacts in one commit; see ``EventStore.append``."""
        if not events:
            return expected_seq
        rows = [self._artifact_row(artifact) for artifact in artifacts]
        add = partial(self._add, run_id, expected_seq, epoch, events, rows, consumed)
        if self._shares_commits:
            return await self._group.write(add)
        return self._database.transact(add, sync=sync)

    def _add(
        self,
        run_id: str,
        expected_seq: int,
        epoch: int,
        events: Sequence[StoredEvent],
        rows: Sequence[_ArtifactRow],
        consumed: Sequence[str],
        connection: sqlite3.Connection,
    ) -> int:
        """Add rows to the log of a run that is ours, and return where it ends now."""
        run_no = self._run_no(connection, run_id)
        stem = run_no << _SEQ_BITS
        added = []
        for seq, event in enumerate(events, expected_seq + 1):
            if event.seq != seq:
                raise self._stale(connection, run_id, expected_seq, epoch)
            added.append((stem + seq, event.hash, event.body))
        last = events[-1]
        if connection.execute(_SQL["move_head"], (last.seq, last.hash, run_no, expected_seq, epoch)).rowcount != 1:
            raise self._stale(connection, run_id, expected_seq, epoch)
        connection.executemany(_SQL["add_event"], added)
        if rows:
            connection.executemany(_SQL["add_artifact"], rows)
        if consumed:
            connection.executemany(_SQL["drop_message"], [(run_no, message_id) for message_id in consumed])
        return last.seq

    async def sync(self) -> None:
        """Return once everything is durable; see ``EventStore.sync``."""
        self._database.sync()

    def _stale(self, connection: sqlite3.Connection, run_id: str, expected_seq: int, epoch: int) -> ConcurrencyError:
        row = connection.execute(_SQL["find_run"], (run_id,)).fetchone()
        if row is None:
            raise NotFoundError("run", run_id)
        return ConcurrencyError(run_id, expected_seq, row[1], epoch, row[3])

    async def head(self, run_id: str) -> Head | None:
        """Return the head of a run, None if the run is unknown."""
        with self._database as connection:
            row = connection.execute(_SQL["find_run"], (run_id,)).fetchone()
        if row is None:
            return None
        return Head(run_id, *row[1:])

    async def heads(self) -> list[Head]:
        """Return the head of every run that has events, newest run first."""
        with self._database as connection:
            return [Head(*row) for row in connection.execute(_SQL["all_runs"])]

    async def read_range(self, run_id: str, from_seq: int = 1, to_seq: int | None = None) -> list[StoredEvent]:
        """Return events ``from_seq`` to ``to_seq``, both included."""
        with self._database as connection:
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

        def insert(connection: sqlite3.Connection) -> bool:
            run_no = self._run_no(connection, message.run_id)
            row = (run_no, message.message_id, message.kind, message.payload)
            if connection.execute(_SQL["add_message"], row).rowcount != 1:
                return False
            key = message.dedupe_key
            if key is not None and connection.execute(_SQL["add_message_key"], (run_no, key)).rowcount != 1:
                connection.execute(_SQL["drop_message"], (run_no, message.message_id))
                return False
            return True

        return await self._write(insert)

    async def inbox(self, run_id: str) -> list[Message]:
        """Return the run's unconsumed messages, oldest first."""
        with self._database as connection:
            rows = connection.execute(_SQL["read_inbox"], (self._run_no(connection, run_id),))
            return [Message(run_id, *row) for row in rows]

    async def addressed(self) -> list[str]:
        """Return the ids of the runs with unconsumed messages."""
        with self._database as connection:
            return [run_id for (run_id,) in connection.execute(_SQL["addressed_runs"])]

    # --- artifacts --------------------------------------------------------------------------------------------------

    def _artifact_row(self, artifact: Artifact) -> _ArtifactRow:
        """Return an artifact's row; large bytes go to their file first, so no durable event names bytes that are not."""
        data, kind = artifact.data, str(artifact.kind)  # SQLite would look for an adapter of an enum's member
        digest = sha256(data).digest()
        if digest.hex() != artifact.id:
            raise CorruptionError(f"artifact {artifact.id}", "its bytes hash to another id")
        if len(data) <= INLINE_BYTES:
            return digest, kind, len(data), data
        with self._filing():
            self._files.put(artifact.id, data)
        return digest, kind, len(data), None

    async def put(self, artifact: Artifact) -> str:
        """Store an artifact on its own."""
        row = self._artifact_row(artifact)
        self._database.transact(lambda connection: connection.execute(_SQL["add_artifact"], row))
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
        row = (digest, kind, arrival.size, data)
        self._database.transact(lambda connection: connection.execute(_SQL["add_artifact"], row))
        return StoredFile(digest.hex(), arrival.size)

    @contextlib.contextmanager
    def _filing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise unavailable(self._path, error) from error

    async def get(self, artifact_id: str) -> bytes:
        """Return an artifact's bytes, checked against its id."""
        data = self._inline(artifact_id)
        if data is None:
            with self._filed(artifact_id):
                data = self._files.get(artifact_id)
        if sha256(data).hexdigest() != artifact_id:
            raise CorruptionError(f"artifact {artifact_id}", "its bytes hash to another id")
        return data

    async def get_many(self, artifact_ids: Sequence[str]) -> dict[str, bytes]:
        """Return 256 or 2 MiB of those that lie in the database, whole; the others are for ``get``."""
        digests = [bytes.fromhex(identity) for identity in artifact_ids[:_MANY] if _DIGEST.fullmatch(identity)]
        marks = ",".join("?" * len(digests))
        found, size = {}, 0
        with self._database as connection, contextlib.closing(connection.cursor()) as cursor:
            for digest, data in cursor.execute(f"{_SQL['get_artifacts']} ({marks})", digests):
                if (size := size + len(data)) > _MANY_BYTES:
                    break
                if sha256(data).digest() == digest:
                    found[digest.hex()] = data
        return found

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
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise CorruptionError(f"artifact {artifact_id}", "its file is gone") from error
        except OSError as error:
            raise unavailable(self._files.path(artifact_id), error) from error

    def _inline(self, artifact_id: str) -> bytes | None:
        """Return the bytes that lie in the row, None if they are in a file."""
        row = self._find_artifact(artifact_id)
        if row is None:
            raise NotFoundError("artifact", artifact_id)
        data, size = row
        found = self._filed_size(artifact_id) if data is None else len(data)
        if found != size:
            raise CorruptionError(f"artifact {artifact_id}", f"it has {found} bytes, not {size}")
        return data

    def _filed_size(self, artifact_id: str) -> int:
        with self._filed(artifact_id):
            return self._files.path(artifact_id).stat().st_size

    async def exists(self, artifact_id: str) -> bool:
        """Tell whether an artifact is there."""
        return self._find_artifact(artifact_id) is not None

    def _find_artifact(self, artifact_id: str) -> tuple[bytes | None, int] | None:
        if not _DIGEST.fullmatch(artifact_id):
            return None
        with self._database as connection:
            rows = connection.execute(_SQL["get_artifact"], (bytes.fromhex(artifact_id),))
            row: tuple[bytes | None, int] | None = rows.fetchone()
        return row

    async def close(self) -> None:
        """Close the file and give the worker's lock up."""
        with self._database.mutex:
            self._database.close()
            self._ownership.close()


_handles: weakref.WeakSet[SqliteStore] = weakref.WeakSet()
_inherited: list[sqlite3.Connection] = []


def _forget_handles() -> None:
    for handle in list(_handles):
        handle._forget()  # noqa: SLF001 - this module's own


os.register_at_fork(after_in_child=_forget_handles)
