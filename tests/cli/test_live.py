"""A run in a terminal window."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

from tests.cli.flows import FAMILY, FLAKY, NOTES

if TYPE_CHECKING:
    from tests.cli.command_line import CommandLine

HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
WAITING = """
import time
from durum import Io, Workflow
from datetime import timedelta
wf = Workflow("wf")

@wf.step
async def sleeper(io: Io) -> int:
    io.progress("counting \\x1b[2J sheep")
    await io.sleep(timedelta(seconds=0.4))
    return 1
"""
ITEMS = """
import asyncio
from typing import TypedDict
from durum import Workflow

class Inputs(TypedDict):
    many: int

wf = Workflow("wf", inputs=Inputs)

@wf.step
def numbers(many: int) -> list[int]:
    return list(range(many))

@wf.step(each="numbers", writes="waited")
async def slow(item: int) -> int:
    await asyncio.sleep(0.05)
    return item
"""


def test_what_is_over_scrolls_by_in_colour(durum: CommandLine) -> None:
    """Each end of a state is one line; the id stands first and once; prints come through; the cursor comes back."""
    durum.write("notes.py", NOTES)
    shown = durum.on_terminal("run", "notes.py", "--input", "words=1")
    run_id = shown.split("\n", 1)[0]
    assert shown.count(f"{run_id}\n") == 2  # the id itself, and `durum show` at the end
    assert "said prints this" in shown
    assert "\x1b[32m✓ said   \x1b[0m" in shown
    assert "completed in" in shown
    assert shown.index(HIDE_CURSOR) < shown.rindex(SHOW_CURSOR)


def test_what_is_under_way_stays_below(durum: CommandLine) -> None:
    """The running state with its latest message, which cannot clear the screen, and how many are done."""
    durum.write("wf.py", WAITING)
    shown = durum.on_terminal("run", "wf.py", columns=100)
    assert "counting \\x1b[2J sheep" in shown
    assert "0 of 1 state" in shown
    assert "\x1b[2J" not in shown


def test_many_items_are_one_row_with_a_bar(durum: CommandLine) -> None:
    """Neither what is under way nor what is over has a line of its own; a few items have."""
    durum.write("items.py", ITEMS)
    shown = durum.on_terminal("run", "items.py", "--input", "many=60", columns=100, NO_COLOR="1")
    words = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    assert re.search(r"slow +[━─]{24} \d+ of 60 items", words)
    assert "slow[" not in words
    assert re.search(r"✓ slow +completed, 60 items", words)
    words = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", durum.on_terminal("run", "items.py", "--input", "many=3", columns=100))
    assert words.count("✓ slow[2]") == 1
    assert "━" not in words


def test_a_failure_is_told_once_as_it_happens(durum: CommandLine) -> None:
    """A try that is followed by another is no failure yet."""
    durum.write("flaky.py", FLAKY)
    shown = durum.on_terminal("run", "flaky.py", columns=140, NO_COLOR="1")
    assert "\x1b[31m" not in shown
    words = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    assert words.count("↻ fetch  attempt 1 of 2 failed") == 1
    assert words.count("✗ fetch  attempt 2 of 2 failed") == 1
    assert "- count  skipped: fetch did not complete" in words


def test_a_child_run_that_waits_has_a_line(durum: CommandLine) -> None:
    """By its step, below the one that started it; other events of a child run are not told."""
    durum.write("family.py", FAMILY)
    parent = durum("run", "family.py:top", "--json", code=-signal.SIGKILL).err.split()[0]
    shown = durum.on_terminal("resume", parent, "--with", "family.py", columns=120, NO_COLOR="1")
    words = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    assert f"‖ mail > send  waits for an answer: durum gates {parent}\n" in words
    assert "started" not in words


def test_colour_is_for_terminals_that_want_it(durum: CommandLine) -> None:
    """None in a pipe, none with NO_COLOR; tables fit the window."""
    durum.write("flaky.py", FLAKY)
    durum("run", "flaky.py", code=1)
    assert "\x1b" not in durum("ls").out
    coloured = durum.on_terminal("ls", columns=80)
    assert "\x1b[31m✗ failed" in coloured
    plain = durum.on_terminal("ls", columns=80, NO_COLOR="1").replace("\x1b[2m", "").replace("\x1b[0m", "")
    assert "\x1b" not in plain
    assert all(len(line) <= 80 for line in plain.splitlines())
    run_id = plain.splitlines()[1].split()[0]
    assert len(run_id) == 13
    for verb in ("show", "events"):
        durum.on_terminal(verb, run_id, columns=60)
    assert "error: " in durum.on_terminal("lss", NO_COLOR="1")
    assert "\x1b[1;31merror:\x1b[0m " in durum.on_terminal("lss")
