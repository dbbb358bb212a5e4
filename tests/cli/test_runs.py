"""Verbs that show runs: shapes of their JSON, and what people see of items, child runs and what to type next."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from durum import open as open_store
from tests.cli.flows import FAMILY, MANY

if TYPE_CHECKING:
    from tests.cli.command_line import CommandLine
    from tests.cli.conftest import Shelf


def test_ls_lists_the_newest_run_first(shelf: Shelf) -> None:
    """As lines of JSON, and as a table with whole ids where nobody's window ends."""
    rows = shelf.durum("ls", "--json").lines
    assert [row["run_id"] for row in rows] == [shelf.failed, shelf.completed]
    assert rows[0].keys() >= {"run_id", "status", "op_id", "head_seq", "final_snapshot_id", "semantic_digest", "error"}
    header, first, second = shelf.durum("ls").out.splitlines()
    assert header.split() == ["run", "workflow", "status", "states", "started", "took"]
    assert first.startswith(f"{shelf.failed}  flaky     ✗ failed        0/2")
    assert second.startswith(f"{shelf.completed}  notes     ✓ completed     3/3")


def test_an_empty_store_says_how_to_start(durum: CommandLine) -> None:
    """No runs is no error, and no data."""
    store = f"sqlite:///{durum.path('empty.db')}"
    open_store(store).close()
    ran = durum("ls", "--store", store)
    assert ran.out == ""
    assert "durum run TARGET" in ran.err
    assert durum("ls", "--json", "--store", store).out == ""


def test_show_has_a_header_and_the_states(shelf: Shelf) -> None:
    """Attempts count from 1; a skipped state says why."""
    page = shelf.durum("show", shelf.failed).out.splitlines()
    assert page[0] == "flaky  failed"
    assert f"  run      {shelf.failed}" in page
    assert "  error    fetch: the upstream is \\x1b[31mbusy now (busy)" in page
    states = [line.split() for line in page[page.index("") + 2 :]]
    assert states[0][:6] == ["fetch", "✗", "failed", "2", "of", "2"]
    assert states[1][:4] == ["count", "-", "skipped", "a"]


def test_a_beginning_of_an_id_will_do(shelf: Shelf) -> None:
    """Whole ids are for machines."""
    unique = next(n for n in range(4, 36) if not shelf.failed.startswith(shelf.completed[:n]))
    assert shelf.durum("show", shelf.completed[:unique].upper(), "--json").json["run_id"] == shelf.completed


def test_many_items_are_one_row(durum: CommandLine) -> None:
    """With how many came to what; ``--json`` has them all."""
    durum.write("many.py", MANY)
    durum.write("fail", "")
    run_id = durum("run", "many.py", code=1).out.split()[0]
    page = durum("show", run_id).out.splitlines()
    assert "  error    square[7]: ValueError: no, at many.py:14" in page
    (row,) = [line.split() for line in page if line.startswith("square[")]
    assert row == ["square[0..59]", "✗", "failed", "60", "items,", "58", "completed,", "2", "failed"]
    rows = durum("show", run_id, "--json").json["state_rows"]
    assert [row["path"] for row in rows if row["path"]] == [f"square[{number}]" for number in range(60)]
    drawn = durum("graph", run_id).out.splitlines()
    assert "└─ ✗ square[0..59]  60 items, 58 completed, 2 failed  ← square.each" in drawn
    assert len(drawn) < 20
    lines = durum("events", run_id).out
    assert "  plan.extended    square.each  60 items\n" in lines
    assert "  state.completed  square[59]   writes squares\n" in lines


def test_a_parent_and_its_child_name_each_other(durum: CommandLine) -> None:
    """In both tables and on both pages; a child that waits says what to type, and so does its parent."""
    durum.write("family.py", FAMILY)
    parent = durum("run", "family.py:top", "--json", code=-signal.SIGKILL).err.split()[0]
    durum("resume", parent, "--with", "family.py", code=3)
    rows = {row["op_id"]: row for row in durum("ls", "--json").lines}
    child = rows["kid"]["run_id"]
    assert rows["kid"]["parent"] == parent
    header, first, second = durum("ls").out.splitlines()
    assert header.split()[-1] == "parent"
    assert first.startswith(f"{child}  ↳ kid ")
    assert first.endswith(parent)
    assert second.startswith(f"{parent}  top ")
    assert f"  parent   {parent}" in durum("show", child).out.splitlines()
    shown = durum("show", parent)
    assert shown.out.splitlines()[-1].split() == [child, "kid", "mail", "‖", "paused"]
    for page in (shown, durum("show", child)):
        assert f"it happened: durum answer {child} send@" in page.err
        assert f"then resume: durum resume {parent} --with FILE.py\n" in page.err
    assert "parent" not in durum.on_terminal("ls", columns=80)
