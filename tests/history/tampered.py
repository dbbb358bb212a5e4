"""A store of many shapes that is changed behind its back: what a reader may see of it, and what verification must then say.

The expectation is worked out here from rows, hashes and names alone, by none of the code that is put to the test.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import sqlite3
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

import durum
from durum.core.payload import decode_payload
from durum.errors import NotFoundError
from durum.ports import Artifact, StoredEvent
from durum.stores.sqlite import SqliteStore
from tests.golden.reading import RUN, STORES, log, read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from durum.history.verify import FirstBad

SEQ_BITS = 32
_ID = re.compile(rb"[0-9a-f]{64}")
_TABLES = ("runs", "events", "artifacts")


class Row(NamedTuple):
    """An event's row."""

    seq: int
    hash: bytes
    body: bytes


class Seen(NamedTuple):
    """What a reader may see of a run."""

    head_seq: object  # whatever was put there
    head_hash: bytes
    epoch: int
    rows: tuple[Row, ...]


class Sight(NamedTuple):
    """What a reader may see of a store; an artifact by its size column and its bytes, None if they are gone."""

    runs: Mapping[str, Seen]
    artifacts: Mapping[str, tuple[object, bytes | None]]


class Place(NamedTuple):
    """Where a run is broken: between two events, both included; ``hidden`` unless a head was kept."""

    low: int
    high: int
    hidden: bool = False


def genesis(run_id: str) -> bytes:
    """Return the hash before a run's first event."""
    return sha256(b"durum-log/1\n" + run_id.encode()).digest()


def chained(before: bytes, bodies: Sequence[bytes], first: int = 1) -> list[Row]:
    """Return bodies as rows whose hashes follow one another."""
    rows = []
    for seq, body in enumerate(bodies, first):
        before = sha256(b"durum-event/1\n" + before + body).digest()
        rows.append(Row(seq, before, body))
    return rows


async def fill(path: Path) -> None:
    """Add every golden log to a golden store, each as a run of its own."""
    artifacts = [Artifact(key, "other", decode_payload(value)) for key, value in read("v1", "artifacts.json").items()]
    store = SqliteStore(path)
    for number, name in enumerate(read("v1", "summaries.json")):
        run_id = f"{RUN[:-4]}{number:04}"
        rows = chained(genesis(run_id), [event.body for event in log("v1", name)])
        head = await store.claim(run_id, create=True)
        while b'"epoch":%d,' % head.epoch not in rows[-1].body:
            await store.release(run_id, head.epoch)
            head = await store.claim(run_id)
        await store.append(run_id, 0, head.epoch, [StoredEvent(*row) for row in rows], artifacts)
        await store.release(run_id, head.epoch)
    await store.close()


class Shelf:
    """The store, a connection to change it by, and the way back to what it was."""

    def __init__(self, folder: Path) -> None:
        shutil.copytree(STORES / "v1", folder)
        self.path = folder / "durum.db"
        self.files = folder / "durum.db.artifacts"
        with contextlib.closing(sqlite3.connect(self.path)) as connection, connection:
            self.first = [digest.hex() for (digest,) in connection.execute("SELECT digest FROM artifacts")]
        asyncio.run(fill(self.path))
        shutil.copy(self.path, folder / "sound.db")
        self.service = durum.open(f"sqlite:///{self.path}", create=False)
        self.sql = sqlite3.connect(self.path, isolation_level=None)
        self.sql.execute("PRAGMA synchronous = OFF")
        self.sql.execute("ATTACH ? AS sound", (str(folder / "sound.db"),))
        self._contents = {path: path.read_bytes() for path in self.files.rglob("*") if path.is_file()}
        self.sound = self.look()
        self.run_ids = [run_id for run_id, seen in self.sound.runs.items() if seen.rows]
        self.numbers: dict[str, int] = dict(self.sql.execute("SELECT run_id, run_no FROM runs"))
        self._named = {run_id: self._names(self.sound.runs[run_id].rows) for run_id in self.run_ids}

    def close(self) -> None:
        """Let go of the file."""
        self.sql.close()
        self.service.close()

    def restore(self) -> None:
        """Make the store what it was."""
        self.sql.execute("BEGIN")
        for table in _TABLES:
            self.sql.execute(f"DELETE FROM main.{table}")  # noqa: S608 - our own names
            self.sql.execute(f"INSERT INTO main.{table} SELECT * FROM sound.{table}")  # noqa: S608
        self.sql.execute("COMMIT")
        for path in self.filed():
            if path.is_dir():
                path.rmdir()
            path.write_bytes(self._contents[path])

    def filed(self) -> list[Path]:
        """Return where the large artifacts lie."""
        return list(self._contents)

    def look(self) -> Sight:
        """Return what a reader may see now; a blob that became text is still read as bytes."""
        runs = {}
        asked = "SELECT run_id, run_no, head_seq, CAST(head_hash AS BLOB), epoch FROM runs"
        for run_id, number, seq, head_hash, epoch in self.sql.execute(asked).fetchall():
            runs[run_id] = Seen(seq, head_hash, epoch, tuple(self.rows(number)))
        found = self.sql.execute("SELECT CAST(digest AS BLOB), size, CAST(data AS BLOB) FROM artifacts").fetchall()
        artifacts = {digest.hex(): (size, self._file(digest.hex()) if data is None else data) for digest, size, data in found}
        return Sight(runs, artifacts)

    def rows(self, number: int) -> list[Row]:
        """Return the rows of the run of a number."""
        asked = "SELECT position, CAST(hash AS BLOB), CAST(body AS BLOB) FROM events WHERE position BETWEEN ? AND ? ORDER BY 1"
        stem = number << SEQ_BITS
        found = self.sql.execute(asked, (stem + 1, stem + (1 << SEQ_BITS) - 1))
        return [Row(position - stem, event_hash, body) for position, event_hash, body in found]

    def _file(self, artifact_id: str) -> bytes | None:
        path = self.files / artifact_id[:2] / artifact_id[2:]
        return path.read_bytes() if path.is_file() else None

    def _names(self, rows: Sequence[Row]) -> dict[str, int]:
        """Return artifact -> the first event that names it, itself or through another artifact."""
        names: dict[str, int] = {}
        for row in rows:
            waiting = [row.body]
            while waiting:
                for found in _ID.findall(waiting.pop()):
                    identity = found.decode()
                    if identity in self.sound.artifacts and identity not in names:
                        names[identity] = row.seq
                        waiting.append(self.sound.artifacts[identity][1] or b"")
        return names

    def expected(self, now: Sight) -> dict[str, Place]:
        """Return run -> where it is broken, for every run that is."""
        found = {}
        changed = {key for key, value in self.sound.artifacts.items() if now.artifacts.get(key) != value}
        for run_id in self.run_ids:
            before, after = self.sound.runs[run_id], now.runs[run_id]
            place = _log_place(run_id, before, after)
            named = [seq for identity, seq in self._named[run_id].items() if identity in changed]
            if place is None and named:
                place = Place(min(named), min(named))
            if place is not None:
                found[run_id] = place
        return found

    def verified(self, run_id: str, *, kept: bool = False) -> FirstBad | None:
        """Return what verification finds, perhaps against the head that was kept."""
        return self.service.verify(run_id, self.sound.runs[run_id].head_hash.hex() if kept else None).first_bad

    def is_known(self, run_id: str) -> bool:
        """Tell whether verification knows a run at all."""
        try:
            self.service.verify(run_id)
        except NotFoundError:
            return False
        return True


def _log_place(run_id: str, before: Seen, after: Seen) -> Place | None:
    """Return where a log is broken: from its first changed event to where its chain breaks."""
    if before == after:
        return None
    pairs = enumerate(zip(before.rows, after.rows, strict=False), 1)
    low = next((seq for seq, (one, other) in pairs if one != other), min(len(before.rows), len(after.rows)) + 1)
    end = len(after.rows)
    high = _break(run_id, after)
    if high is not None:
        return Place(min(low, high, end or 1) if isinstance(after.head_seq, int) and after.head_seq >= 0 else 1, high)
    if after.epoch < before.epoch and before.rows == after.rows:
        return Place(end, end)
    return Place(min(low, end or 1), end or 1, hidden=True)


def _break(run_id: str, seen: Seen) -> int | None:
    """Return the first event at which hashes, numbers or the head do not agree; None if they all do."""
    true = chained(genesis(run_id), [row.body for row in seen.rows])
    end = len(true)
    for row, should_be in zip(seen.rows, true, strict=True):
        if row != should_be:
            return should_be.seq
    if seen.head_seq != end:
        return min(seen.head_seq, end) + 1 if isinstance(seen.head_seq, int) and seen.head_seq >= 0 else end + 1
    return end if end and seen.head_hash != true[-1].hash else None
