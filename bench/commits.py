"""What a run commits, kept as it happens, and the same rows, bytes and SQL committed once more with nothing around them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from bench.rounds import Took
from durum.ports import Artifact, StoredEvent
from durum.stores.sqlite import SqliteStore
from durum.stores.sqlite_file import open_database
from durum.stores.statements import statements

if TYPE_CHECKING:
    from pathlib import Path


class Commit(msgspec.Struct, frozen=True, gc=False):
    """One append, as it was acknowledged; noting it must cost next to nothing."""

    run_id: str
    expected_seq: int
    events: Sequence[StoredEvent]
    artifacts: Sequence[Artifact]
    clock: float  # when, in seconds
    processor: float  # seconds this process had used by then

    @property
    def size(self) -> int:
        """Bytes of its rows: bodies, hashes, artifacts and their digests."""
        events = sum(len(event.body) + len(event.hash) for event in self.events)
        return events + sum(len(artifact.data) + 32 for artifact in self.artifacts)


class RecordingStore(SqliteStore):
    """A store that remembers its appends."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.commits: list[Commit] = []

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
        """Append, then note what was appended and when."""
        seq = await super().append(run_id, expected_seq, epoch, events, artifacts, consumed, sync=sync)
        if seq != expected_seq:
            self.commits.append(Commit(run_id, expected_seq, events, artifacts, time.perf_counter(), time.process_time()))
        return seq


def between(first: Commit, last: Commit) -> Took:
    """Return what passed from one acknowledgement to another."""
    return Took(last.clock - first.clock, last.processor - first.processor)


def replay_bare(commits: Sequence[Commit], path: Path) -> Took:
    """Commit one run's appends again into a new store; return what that took after the first."""
    sql = statements()
    run_id = commits[0].run_id
    asyncio.run(_claim(path, run_id))
    batches = [
        (
            commit.expected_seq,
            [((1 << 32) + event.seq, event.hash, event.body) for event in commit.events],
            [(bytes.fromhex(one.id), one.kind, len(one.data), one.data) for one in commit.artifacts],
        )
        for commit in commits
    ]
    begun = (0.0, 0.0)
    with contextlib.closing(open_database(path, create=False)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 1000")  # SQLite's own
        for seq, rows, blobs in batches:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(sql["move_head"], (seq + len(rows), rows[-1][1], 1, seq, 1))
            connection.executemany(sql["add_event"], rows)
            if blobs:
                connection.executemany(sql["add_artifact"], blobs)
            connection.execute("COMMIT")
            if not seq:
                begun = (time.perf_counter(), time.process_time())
        return Took(time.perf_counter() - begun[0], time.process_time() - begun[1])


async def _claim(path: Path, run_id: str) -> None:
    store = SqliteStore(path)
    await store.claim(run_id, create=True)
    await store.close()


def stored(path: Path) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """Return the rows of events and of artifacts."""
    with contextlib.closing(open_database(path, create=False)) as connection:
        events = connection.execute("SELECT position, hash, body FROM events ORDER BY position").fetchall()
        artifacts = connection.execute("SELECT digest, kind, size, data FROM artifacts ORDER BY artifact_no").fetchall()
    return events, artifacts
