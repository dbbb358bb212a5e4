"""Whatever is changed behind a store's back, ``verify`` finds it and says in which run and at which event."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest

import durum
from durum.codec import chain_hash, genesis_hash
from durum.stores.sqlite import SqliteStore
from tests.engine.small_run import RUN, Drive, Outside

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from durum.history.verify import VerifyResult

    Edit = Callable[[random.Random, sqlite3.Connection, Path], int | None]

EACH = 30
NAME = "durum.db"


def make(folder: Path, *, two_ends: bool) -> Path:
    """Make a store with one finished run."""

    async def run() -> None:
        store = SqliteStore(folder / NAME)
        await Drive(store, Outside(), two_ends=two_ends).start()
        await store.close()

    asyncio.run(run())
    return folder


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the store that copies are edited of."""
    return make(tmp_path_factory.mktemp("sound"), two_ends=False)


def verified(folder: Path, head: str | None = None) -> VerifyResult:
    """Verify the run of a store."""
    with durum.open(f"sqlite:///{folder / NAME}", create=False) as store:
        return store.verify(RUN, head)


def flipped(chance: random.Random, data: bytes) -> bytes:
    """Return bytes with one bit changed."""
    place = chance.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :]


def cut(chance: random.Random, data: bytes) -> bytes:
    """Return fewer bytes."""
    return data[: chance.randrange(len(data))]


def longer(chance: random.Random, data: bytes) -> bytes:
    """Return more bytes."""
    return data + bytes([chance.randrange(256)])


def replaced(chance: random.Random, data: bytes) -> str:
    """Return text, which is what SQL's ``replace()`` makes of bytes."""
    letter = chance.choice([chr(byte) for byte in data if 32 < byte < 127])
    return data.decode("latin-1").replace(letter, letter + letter)


CHANGES = (flipped, cut, longer, replaced)


def events(connection: sqlite3.Connection) -> list[tuple[int, bytes, bytes]]:
    """Return position, hash and body of every event."""
    return connection.execute("SELECT position, hash, body FROM events ORDER BY position").fetchall()


def change_event(chance: random.Random, connection: sqlite3.Connection, folder: Path) -> int:
    """Change a body or a hash."""
    del folder
    position, event_hash, body = chance.choice(events(connection))
    if chance.random() < 0.7:
        connection.execute("UPDATE events SET body = ? WHERE position = ?", (chance.choice(CHANGES)(chance, body), position))
    else:
        connection.execute("UPDATE events SET hash = ? WHERE position = ?", (flipped(chance, event_hash), position))
    return position & 0xFFFFFFFF


def forge_event(chance: random.Random, connection: sqlite3.Connection, folder: Path) -> int:
    """Change a body and give it the hash it should have: the next event, or the head, gives it away."""
    del folder
    log = events(connection)
    place = chance.randrange(len(log))
    position, _, body = log[place]
    forged = body.replace(b'"ts_millis":17', b'"ts_millis":16')
    before = log[place - 1][1] if place else genesis_hash(RUN)
    connection.execute(
        "UPDATE events SET body = ?, hash = ? WHERE position = ?", (forged, chain_hash(before, forged), position)
    )
    return min(place + 2, len(log))


def delete_event(chance: random.Random, connection: sqlite3.Connection, folder: Path) -> int:
    """Delete some row."""
    del folder
    log = events(connection)
    place = chance.randrange(len(log))
    connection.execute("DELETE FROM events WHERE position = ?", (log[place][0],))
    return place + 1


def swap_events(chance: random.Random, connection: sqlite3.Connection, folder: Path) -> int:
    """Exchange what stands in two places."""
    del folder
    log = events(connection)
    first, second = sorted(chance.sample(range(len(log)), 2))
    for place, other in ((first, second), (second, first)):
        connection.execute("UPDATE events SET hash = ?, body = ? WHERE position = ?", (*log[other][1:], log[place][0]))
    return first + 1


def add_event(chance: random.Random, connection: sqlite3.Connection, folder: Path) -> int:
    """Add a well-chained row behind the last, or one further on."""
    del folder
    log = events(connection)
    position, event_hash, body = log[-1]
    gap = chance.randrange(2)
    connection.execute("INSERT INTO events VALUES (?, ?, ?)", (position + 1 + gap, chain_hash(event_hash, body), body))
    return len(log) + 1


def change_head(chance: random.Random, connection: sqlite3.Connection, folder: Path) -> int | None:
    """Change where the log is said to end."""
    del folder
    if chance.random() < 0.5:
        off = chance.choice([-3, -1, 1, 1_000])
        connection.execute("UPDATE runs SET head_seq = head_seq + ?", (off,))
    else:
        (head_hash,) = connection.execute("SELECT head_hash FROM runs").fetchone()
        connection.execute("UPDATE runs SET head_hash = ?", (chance.choice(CHANGES)(chance, head_hash),))
    return None


def change_artifact(chance: random.Random, connection: sqlite3.Connection, folder: Path) -> int | None:
    """Change the bytes of an artifact in the database."""
    del folder
    digest, data = chance.choice(connection.execute("SELECT digest, data FROM artifacts WHERE data NOT NULL").fetchall())
    changed = chance.choice(CHANGES)(chance, data)
    connection.execute("UPDATE artifacts SET data = ? WHERE digest = ?", (changed, digest))
    return None


def delete_artifact(chance: random.Random, connection: sqlite3.Connection, folder: Path) -> int | None:
    """Delete an artifact's row, its bytes or its name."""
    del folder
    (digest,) = chance.choice(connection.execute("SELECT digest FROM artifacts").fetchall())
    statement = chance.choice(
        [
            "DELETE FROM artifacts WHERE digest = ?",
            "UPDATE artifacts SET data = CASE WHEN data IS NULL THEN x'00' END WHERE digest = ?",
            "UPDATE artifacts SET digest = zeroblob(32) WHERE digest = ?",
        ]
    )
    connection.execute(statement, (digest,))
    return None


def change_file(chance: random.Random, connection: sqlite3.Connection, folder: Path) -> int | None:
    """Change or remove the file of a large artifact."""
    del connection
    file = chance.choice([path for path in (folder / f"{NAME}.artifacts").rglob("*") if path.is_file()])
    if chance.random() < 0.2:
        file.unlink()
    else:
        file.write_bytes(chance.choice([flipped, cut, longer])(chance, file.read_bytes()))
    return None


EDITS: tuple[Edit, ...] = (
    change_event,
    forge_event,
    delete_event,
    swap_events,
    add_event,
    change_head,
    change_artifact,
    delete_artifact,
    change_file,
)


def test_a_store_nobody_touched_is_sound(sound: Path) -> None:
    """The run has events, small artifacts and large ones, and all of them are whole."""
    result = verified(sound)
    assert result.first_bad is None
    assert result.events > 25
    assert result.artifacts > 15
    assert any(path.is_file() for path in (sound / f"{NAME}.artifacts").rglob("*"))


@pytest.mark.parametrize("seed", range(EACH))
@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
def test_every_edit_is_found(sound: Path, tmp_path: Path, edit: Edit, seed: int) -> None:
    """One random change: the finding names the run and an event, the very one where an event was changed."""
    folder = tmp_path / "edited"
    shutil.copytree(sound, folder)
    connection = sqlite3.connect(folder / NAME)
    with connection:
        seq = edit(random.Random(seed), connection, folder)
    connection.close()
    bad = verified(folder).first_bad
    assert bad is not None
    assert (bad.run_id, type(bad.seq)) == (RUN, int)
    assert bad.reason
    if seq is not None:
        assert bad.seq == seq


@pytest.mark.parametrize("two_ends", [False, True])
def test_every_artifact_counts(tmp_path: Path, *, two_ends: bool) -> None:
    """There is none in the store of a finished run that could be lost unnoticed."""
    sound = make(tmp_path, two_ends=two_ends)
    original = sqlite3.connect(sound / NAME)
    digests = [row[0] for row in original.execute("SELECT digest FROM artifacts")]
    original.close()
    assert [digest.hex() for digest in digests if loss_is_unnoticed(sound, tmp_path / digest.hex(), digest)] == []


def loss_is_unnoticed(sound: Path, folder: Path, digest: bytes) -> bool:
    """Tell whether a copy without an artifact passes for whole."""
    folder.mkdir()
    shutil.copy(sound / NAME, folder)
    shutil.copytree(sound / f"{NAME}.artifacts", folder / f"{NAME}.artifacts")
    connection = sqlite3.connect(folder / NAME)
    with connection:
        connection.execute("DELETE FROM artifacts WHERE digest = ?", (digest,))
    connection.close()
    return verified(folder).first_bad is None


@pytest.mark.parametrize("kept", [1, 10, 20])
def test_a_log_cut_together_with_its_head_is_found_by_a_head_someone_kept(sound: Path, tmp_path: Path, kept: int) -> None:
    """A shorter log is as sound as it was when it was that short; only the hash of a later event tells."""
    folder = tmp_path / "cut"
    shutil.copytree(sound, folder)
    last = verified(folder).head_hash
    connection = sqlite3.connect(folder / NAME)
    with connection:
        connection.execute("DELETE FROM events WHERE position & 4294967295 > ?", (kept,))
        (head,) = connection.execute("SELECT hash FROM events ORDER BY position DESC LIMIT 1").fetchone()
        connection.execute("UPDATE runs SET head_seq = ?, head_hash = ?", (kept, head))
    connection.close()
    assert verified(folder).first_bad is None
    assert verified(folder, head.hex()).first_bad is None
    bad = verified(folder, last).first_bad
    assert bad is not None
    assert (bad.run_id, bad.what) == (RUN, "head")
