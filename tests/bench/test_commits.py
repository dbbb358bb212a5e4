"""The bare loop commits what the engine commits: the same rows in the same commits, no more and no fewer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.commits import RecordingStore, replay_bare, stored
from bench.driving import drive_recorded
from bench.plans import CONTEXT, AppendItem, PassAlong, sequence
from durum.stores import sqlite_file

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

    import pytest

STATES = 20
BESIDE = 2  # the claim before the first append and the release after the last


def commits_of(connection: sqlite3.Connection, seen: list[str]) -> None:
    """Count a connection's transactions that write."""
    connection.set_trace_callback(lambda sql: seen.append(sql) if sql.startswith("COMMIT") else None)


def test_every_commit_of_a_run_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as SQLite itself was asked for, but for taking the run and giving it up."""
    seen: list[str] = []
    begun: Callable[[RecordingStore, Path], None] = RecordingStore.__init__

    def traced(store: RecordingStore, path: Path) -> None:
        begun(store, path)
        with store._database as connection:
            commits_of(connection, seen)

    monkeypatch.setattr(RecordingStore, "__init__", traced)
    commits = drive_recorded(tmp_path / "runs.db", sequence("chain", STATES, PassAlong), CONTEXT)
    assert len(seen) == len(commits) + BESIDE


def test_the_bare_store_holds_the_same_rows_from_as_many_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events and artifacts, byte for byte, in their order."""
    commits = drive_recorded(tmp_path / "runs.db", sequence("items", STATES, AppendItem), {})
    seen: list[str] = []
    opened = sqlite_file.open_database

    def traced(path: Path, *, create: bool) -> sqlite3.Connection:
        connection = opened(path, create=create)
        commits_of(connection, seen)
        return connection

    monkeypatch.setattr("bench.commits.open_database", traced)
    replay_bare(commits, tmp_path / "bare.db")
    assert len(seen) == len(commits)
    assert stored(tmp_path / "bare.db") == stored(tmp_path / "runs.db")
    assert sum(len(commit.events) for commit in commits) == len(stored(tmp_path / "runs.db")[0])
