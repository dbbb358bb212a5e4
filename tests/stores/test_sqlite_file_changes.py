"""A store of an older schema is brought up to date as it is opened, whoever opens it, and loses nothing."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import durum
from durum import Io, Workflow
from durum.stores.sqlite import SqliteStore
from durum.stores.sqlite_file import APPLICATION_ID, SCHEMA_VERSION, open_database
from durum.stores.statements import changes
from tests.stores.processes import workers

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_SCHEMA = (Path(__file__).parent.parent / "data" / "schemas" / "1.sql").read_text(encoding="utf-8")
COLUMNS = "run_no, run_id, created_ms, head_seq, head_hash, epoch, owner"
OVER, LEFT, PAUSED, EMPTY = (f"00000000-0000-7000-8000-00000000000{number}" for number in range(1, 5))

flow = Workflow("older")


@flow.step
async def first(io: Io) -> str:
    """Record something."""
    return str(await io.uuid())


@flow.step
def second(first: str) -> str:
    """End."""
    return first


def older(path: Path) -> dict[str, str]:
    """Leave a store of schema 1 behind: a run that is over, an orphan, a paused and an empty one; return their heads.

    Its tables are made by the script of that version; what is in them was recorded by this one.
    """
    new = path.with_name("new.db")
    with durum.open(f"sqlite:///{new}") as service:
        for run_id in (OVER, LEFT, PAUSED):
            service.start(flow, run_id=run_id, detach=run_id != OVER)
        service.pause(PAUSED, actor="ann")
        heads = {str(row["run_id"]): str(row["head_hash"]) for row in service.runs()}
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(
        f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1; BEGIN; {FIRST_SCHEMA}; COMMIT"
    )
    connection.execute("ATTACH ? AS new", (str(new),))
    connection.execute(f"INSERT INTO runs SELECT {COLUMNS} FROM new.runs")  # noqa: S608 - the names above
    for table in ("events", "artifacts", "inbox", "inbox_keys"):
        connection.execute(f"INSERT INTO {table} SELECT * FROM new.{table}")  # noqa: S608 - the names above
    connection.execute("UPDATE runs SET owner = 'dead' WHERE run_id = ?", (LEFT,))
    connection.execute(
        "INSERT INTO runs (run_id, created_ms, head_seq, head_hash, epoch, owner) VALUES (?, 0, 0, zeroblob(32), 1, 'dead')",
        (EMPTY,),
    )
    connection.close()
    return heads


def shape(connection: sqlite3.Connection) -> Any:
    """Return what a database is made of, whatever order it was made in."""
    tables = sorted(name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"))
    columns = {table: [row[1:] for row in connection.execute(f"PRAGMA table_xinfo({table})")] for table in tables}
    indexes = sorted(connection.execute("SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'index'"))
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return columns, indexes, version


def test_an_older_store_becomes_what_a_new_one_is(tmp_path: Path) -> None:
    """The same tables, columns in the same order, and indexes; opening it again changes nothing more."""
    path = tmp_path / "old.db"
    older(path)
    fresh = open_database(tmp_path / "fresh.db", create=True)
    for _ in range(2):
        connection = open_database(path, create=False)
        assert shape(connection) == shape(fresh)
        connection.close()
    assert shape(fresh)[2] == SCHEMA_VERSION
    fresh.close()


def test_the_runs_of_an_older_store_go_on(tmp_path: Path) -> None:
    """What is over is not driven again, what was left is finished, what was paused stays so; nothing in the record changed."""
    path = tmp_path / "old.db"
    heads = older(path)
    with durum.open(f"sqlite:///{path}", create=False) as service:
        assert {str(row["run_id"]): str(row["head_hash"]) for row in service.runs()} == heads
        due = [run.run_id for run in asyncio.run(service._store.due(0))]
        assert due == [LEFT, PAUSED]  # nobody knows yet that the second one waits for a word
        service.work([flow], until_idle=True)
        assert {row["run_id"]: row["status"] for row in service.runs()} == {
            OVER: "completed",
            LEFT: "completed",
            PAUSED: "paused",
        }
        assert all(service.verify(run_id, head).first_bad is None for run_id, head in heads.items())
        assert asyncio.run(service._store.due(0)) == []


def test_of_several_who_open_an_older_store_at_once_one_changes_it(tmp_path: Path) -> None:
    """The others wait for it and find the work done."""
    path = tmp_path / "old.db"
    older(path)
    with workers(4) as processes:
        for process in processes:
            process.tell("open", path)
        assert [process.answer() for process in processes] == [None] * 4
        assert [process.ask("claim", LEFT) for process in processes[:1]] == [[1, 2]]


def broken(version: int) -> list[str]:
    """Return changes of which the last one cannot be made."""
    return [*changes(version), "ALTER TABLE nowhere ADD COLUMN x"]


def test_a_change_that_fails_leaves_the_store_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it or nothing: whoever opens it next begins anew."""
    path = tmp_path / "old.db"
    older(path)
    patched: Callable[[int], list[str]] = broken
    monkeypatch.setattr("durum.stores.sqlite_file.changes", patched)
    with pytest.raises(durum.DurumError):
        SqliteStore(path)
    monkeypatch.undo()
    connection = sqlite3.connect(path)
    assert shape(connection)[2] == 1
    connection.close()
    SqliteStore(path)._database.connection.close()  # type: ignore[union-attr]
