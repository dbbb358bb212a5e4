"""``durum verify`` on a store that was changed behind its back: exit 4, the run and the event, no traceback."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

import pytest

from tests.cli.flows import NOTES

if TYPE_CHECKING:
    from tests.cli.command_line import CommandLine

EDITS = {
    "body": ("UPDATE events SET body = CAST(replace(CAST(body AS TEXT), 'ts_millis', 'ts_nillis') AS BLOB) WHERE {at} = 3", 3),
    "hash": ("UPDATE events SET hash = zeroblob(32) WHERE {at} = 4", 4),
    "deleted": ("DELETE FROM events WHERE {at} = 2", 2),
    "moved": ("UPDATE events SET position = position + 4294967296 WHERE {at} = 5", 5),
    "number": ("UPDATE events SET body = 7 WHERE {at} = 3", 3),
    "artifact": ("UPDATE artifacts SET data = x'7b7d', size = 2 WHERE kind = 'manifest'", 1),
    "artifact gone": ("DELETE FROM artifacts WHERE kind = 'manifest'", 1),
    "head": ("UPDATE runs SET head_seq = head_seq - 1", None),
    "head of another type": ("UPDATE runs SET head_seq = 'many'", None),
    "cut": ("DELETE FROM events WHERE {at} > 6", 7),
}


def change(durum: CommandLine, statement: str) -> None:
    """Change the store as anyone with an SQL prompt can."""
    with contextlib.closing(sqlite3.connect(durum.path(".durum/durum.db"))) as connection, connection:
        assert connection.execute(statement.format(at="(position & 4294967295)")).rowcount
    connection.close()


@pytest.fixture(name="run_id")
def _run_id(durum: CommandLine) -> str:
    """Make a finished run."""
    durum.write("notes.py", NOTES)
    return durum("run", "notes.py", "--input", "words=1").out.split()[0]


@pytest.mark.parametrize("edit", EDITS)
def test_a_changed_store_is_broken_at_an_event(edit: str, run_id: str, durum: CommandLine) -> None:
    """The report has the run and the event, in JSON and in words."""
    statement, seq = EDITS[edit]
    change(durum, statement)
    ran = durum("verify", run_id, "--json", code=4)
    bad = ran.json["first_bad"]
    assert (ran.json["result"], bad["run_id"], type(bad["seq"])) == ("broken", run_id, int)
    assert seq in {None, bad["seq"]}
    assert bad["reason"]
    said = durum("verify", run_id, code=4)
    assert said.out.startswith("broken\n")
    assert f"event {bad['seq']}" in said.out
    assert "Traceback" not in ran.err + said.err


def test_a_log_written_anew_is_found_by_the_head_that_was_kept(run_id: str, durum: CommandLine) -> None:
    """Cut off, its head with it, it is as whole as it was when it was that short; the kept head tells."""
    head = durum("verify", run_id, "--json").json["head_hash"]
    change(durum, "DELETE FROM events WHERE {at} > 5")
    change(durum, "UPDATE runs SET head_seq = 5, head_hash = (SELECT hash FROM events WHERE {at} = 5)")
    assert durum("verify", run_id, "--json").json["result"] == "intact"
    found = durum("verify", run_id, "--head", head, "--json", code=4).json["first_bad"]
    assert (found["run_id"], found["seq"], found["what"]) == (run_id, 5, "head")
