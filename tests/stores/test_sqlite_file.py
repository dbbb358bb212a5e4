"""Opening a store: what is not Durum's is left as it was, what is Durum's is never harmed by opening it."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest

from durum.errors import CorruptionError, DurumError, ForeignStoreError, NotFoundError, StoreUnavailableError
from durum.stores import sqlite_file, statements
from durum.stores.sqlite import SqliteStore
from durum.stores.sqlite_file import APPLICATION_ID, SCHEMA_VERSION, open_database
from durum.testing.conformance.contract import RUN, begun, chained
from tests.stores.processes import workers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PAGE = 4096


def a_store(path: Path, *bodies: bytes) -> None:
    """Leave a store with one run behind, all of it in the one file."""

    async def write() -> None:
        store = SqliteStore(path)
        await begun(store, *(bodies or (b"1",)))
        await store.close()

    asyncio.run(write())
    shutil.rmtree(path.with_name(path.name + ".workers"))


def a_database(path: Path, *statements: str) -> None:
    """Leave another program's SQLite database behind."""
    connection = sqlite3.connect(path)
    connection.executescript(";".join(("CREATE TABLE theirs (a)", *statements)))
    connection.close()


def pages(path: Path, *, keep: int | None = None, spoil: int | None = None) -> None:
    """Cut a file after so many bytes, or overwrite one page."""
    data = bytearray(path.read_bytes()[:keep])
    if spoil is not None:
        data[spoil * PAGE : (spoil + 1) * PAGE] = b"\xaa" * PAGE
    path.write_bytes(data)


def a_damaged_store(path: Path, *, keep: int | None = None, spoil: int | None = None) -> None:
    """Leave a store behind that is too short or has a spoilt page."""
    a_store(path, *(bytes(3000) for _ in range(20)))
    pages(path, keep=keep, spoil=spoil)


REFUSED: dict[str, tuple[Callable[[Path], object], type[DurumError], str]] = {
    "a text": (lambda path: path.write_text("not a store"), ForeignStoreError, "no SQLite database"),
    "noise": (lambda path: path.write_bytes(bytes(range(256)) * 64), ForeignStoreError, "no SQLite database"),
    "nothing": (lambda path: path.touch(), ForeignStoreError, "empty file"),
    "a folder": (lambda path: path.mkdir(), ForeignStoreError, "no file"),
    "a pipe": (os.mkfifo, ForeignStoreError, "no file"),
    "a database": (a_database, ForeignStoreError, "no Durum store"),
    "a database in WAL mode": (lambda path: a_database(path, "PRAGMA journal_mode = WAL"), ForeignStoreError, "no Durum"),
    "another program's": (lambda path: a_database(path, "PRAGMA application_id = 7"), ForeignStoreError, "no Durum"),
    "a newer store": (
        lambda path: a_database(path, f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION + 1}"),
        ForeignStoreError,
        "newer Durum",
    ),
    "a store without tables": (
        lambda path: a_database(path, f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION}"),
        CorruptionError,
        "no such table",
    ),
    "a header only": (lambda path: a_damaged_store(path, keep=100), CorruptionError, "malformed"),
    "one page": (lambda path: a_damaged_store(path, keep=PAGE), CorruptionError, "malformed"),
    "half a store": (lambda path: a_damaged_store(path, keep=10 * PAGE), CorruptionError, "malformed"),
    "a store without its last page": (lambda path: a_damaged_store(path, keep=-PAGE), CorruptionError, "malformed"),
    "a store without its first table": (lambda path: a_damaged_store(path, spoil=1), CorruptionError, "malformed"),
}


def trace(folder: Path) -> list[tuple[str, int, int, bytes | None]]:
    """Return everything that could be changed in a folder: names, sizes, times and bytes."""
    return sorted(
        (
            str(path.relative_to(folder)),
            path.stat().st_size,
            path.stat().st_mtime_ns,
            path.read_bytes() if path.is_file() else None,
        )
        for path in (folder, *folder.rglob("*"))
    )


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_sound_store_is_refused_and_not_touched(tmp_path: Path, what: str, *, create: bool) -> None:
    """The error names the place and the reason; no byte, no time and no name in the folder changes."""
    path = tmp_path / "given"
    make, kind, reason = REFUSED[what]
    make(path)
    before = trace(tmp_path)
    with pytest.raises(kind, match=reason) as caught:
        open_database(path, create=create)
    assert str(path) in str(caught.value)
    assert trace(tmp_path) == before


def test_another_programs_live_database_is_not_touched(tmp_path: Path) -> None:
    """Not even while it is in use, with its log and index beside it."""
    path = tmp_path / "theirs.db"
    connection = sqlite3.connect(path)
    connection.executescript("PRAGMA journal_mode = WAL; CREATE TABLE theirs (a)")
    with workers(1) as (opener,):
        before = [(file.name, file.stat().st_mtime_ns) for file in sorted(tmp_path.iterdir())]
        assert opener.ask("open", path)["error"] == "foreign_store"
        assert [(file.name, file.stat().st_mtime_ns) for file in sorted(tmp_path.iterdir())] == before
    connection.close()


def test_a_store_that_is_not_there_is_made_only_if_asked_for(tmp_path: Path) -> None:
    """Looking for one leaves nothing behind; making one makes the folders above it, and nothing but the store is left."""
    path = tmp_path / "a" / "b" / "durum.db"
    with pytest.raises(NotFoundError, match="no store at"):
        open_database(path, create=False)
    assert list(tmp_path.iterdir()) == []
    open_database(path, create=True).close()
    assert [file.name for file in path.parent.iterdir()] == ["durum.db"]
    open_database(path, create=False).close()


@pytest.mark.parametrize("name", ["a b.db", "a?mode=memory#b%41.db", "ü'\"; --.db", ":memory:", "file:x"])
def test_a_store_may_have_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """No name is taken for an address or for SQLite's own words, given in full or from the working directory."""
    path = tmp_path / name
    a_store(path)
    monkeypatch.chdir(tmp_path)
    for spelled in (path, path.relative_to(tmp_path)):
        open_database(spelled, create=False).close()
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file where a folder should be."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailableError, match=r"file/durum\.db"):
        open_database(tmp_path / "file" / "durum.db", create=True)


def test_commits_are_as_durable_as_they_are_said_to_be(tmp_path: Path) -> None:
    """The settings are read back from the connection the store writes with, after a reopening too."""
    path = tmp_path / "durum.db"
    for _ in range(2):
        connection = open_database(path, create=True)

        def setting(name: str, connection: sqlite3.Connection = connection) -> object:
            return connection.execute(f"PRAGMA {name}").fetchone()[0]

        assert setting("journal_mode") == "wal"
        assert setting("synchronous") == 2  # FULL, unless said: the log is synced at every commit
        assert setting("busy_timeout") == 10_000
        assert setting("application_id") == int.from_bytes(b"Duru", "big")
        assert setting("user_version") == SCHEMA_VERSION
        assert setting("integrity_check") == "ok"
        assert setting("journal_mode = DELETE") == "delete"  # as someone with an SQL prompt may have left it
        connection.close()


def test_processes_that_make_one_store_at_once_share_it(tmp_path: Path) -> None:
    """None fails, none gets a store of its own, and no half-made file is left."""
    with workers(4) as makers:
        for round_ in range(8):
            path = tmp_path / str(round_) / "durum.db"
            for maker in makers:
                maker.tell("open", path)
            assert [maker.answer() for maker in makers] == [None] * len(makers)
            for number, maker in enumerate(makers):
                assert maker.ask("claim", RUN[:-1] + str(number), "create") == [0, 1]
                maker.ask("append", RUN[:-1] + str(number), 1, "mine")
            assert [makers[0].ask("read", RUN[:-1] + str(number)) for number in range(4)] == [["mine"]] * 4
            for maker in makers:
                maker.ask("close")
            assert [file.name for file in path.parent.iterdir() if file.is_file()] == ["durum.db"]


def test_a_store_that_appears_while_another_is_made_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever was faster made the store; nothing takes its place."""
    path = tmp_path / "durum.db"
    schema = statements.schema

    def meanwhile() -> str:
        monkeypatch.setattr(sqlite_file, "schema", schema)
        a_store(path, b"faster")
        return schema()

    monkeypatch.setattr(sqlite_file, "schema", meanwhile)
    slower = SqliteStore(path)
    assert [event.body for event in asyncio.run(slower.read_range(RUN))] == [b"faster"]
    asyncio.run(slower.close())
    assert [file.name for file in tmp_path.iterdir()] == ["durum.db"]


def test_opening_a_store_twice_in_a_process_loses_nothing(tmp_path: Path) -> None:
    """A handle opened beside another, or refused, must not drop the locks that keep other processes from deleting its log."""
    path, foreign = tmp_path / "durum.db", tmp_path / "theirs.db"
    a_database(foreign)
    with workers(2) as (writer, visitor):
        writer.ask("open", path)
        writer.ask("claim", RUN, "create")
        writer.ask("append", RUN, 1, "one")
        for _ in range(2):
            writer.ask("open", path)
            assert writer.ask("read", RUN) == ["one"]
            writer.ask("close")
            assert writer.ask("open", foreign)["error"] == "foreign_store"
            visitor.ask("open", path)
            assert visitor.ask("read", RUN) == ["one"]
            visitor.ask("close")
        assert writer.ask("append", RUN, 1, "two") == 2
        visitor.ask("open", path)
        assert visitor.ask("read", RUN) == ["one", "two"]


def test_what_a_killed_process_committed_is_there(tmp_path: Path) -> None:
    """Its events are in the log beside the file only, and the next to open the store finds them, however often that happens."""
    path = tmp_path / "durum.db"
    for epoch in range(1, 4):
        with workers(1, path) as (writer,):
            writer.ask("claim", RUN, "create" if epoch == 1 else "")
            assert writer.ask("append", RUN, epoch, str(epoch)) == epoch
            writer.kill()
    with workers(1, path) as (reader,):
        assert reader.ask("read", RUN) == ["1", "2", "3"]


def test_a_store_whose_copying_back_was_cut_short_opens(tmp_path: Path) -> None:
    """A file that is shorter than its header says is no damage while the log beside it holds the rest."""
    path, crashed = tmp_path / "durum.db", tmp_path / "crashed.db"
    with workers(1, path) as (writer,):
        writer.ask("claim", RUN, "create")
        writer.ask("append", RUN, 1, *("x" * 3000 for _ in range(40)))
        shutil.copy(path, tmp_path / "before")
        shutil.copy(tmp_path / "durum.db-wal", tmp_path / "crashed.db-wal")
        writer.ask("close")
    size = (tmp_path / "before").stat().st_size
    assert path.stat().st_size > size
    crashed.write_bytes(path.read_bytes()[:size])
    with workers(1, crashed) as (reader,):
        assert len(reader.ask("read", RUN)) == 40


def test_damage_met_later_is_told_as_damage(tmp_path: Path) -> None:
    """A page in the middle of the log that was overwritten: reading it says so, and an append behind it loses nothing."""
    path = tmp_path / "durum.db"
    a_store(path, *(b"x" * 3000 for _ in range(40)))
    connection = sqlite3.connect(path)
    root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'events'").fetchone()[0]
    connection.close()
    pages(path, spoil=root - 1)

    async def scenario() -> None:
        store = SqliteStore(path)
        with pytest.raises(CorruptionError, match="malformed"):
            await store.read_range(RUN)
        head = await store.claim(RUN)
        assert head.seq == 40
        with pytest.raises(CorruptionError, match="malformed"):
            await store.append(RUN, 40, head.epoch, chained(head.hash, 41, b"x"))
        assert await store.head(RUN) == head
        await store.close()

    asyncio.run(scenario())
