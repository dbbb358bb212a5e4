"""How things are said."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durum.cli import words

if TYPE_CHECKING:
    from durum.core.canonical import JsonObject


@pytest.mark.parametrize(
    ("ms", "said"),
    [
        (None, ""),
        (-5, "0 ms"),
        (999, "999 ms"),
        (1000, "1.00 s"),
        (59_990, "59.99 s"),
        (60_000, "1 min 00 s"),
        (125_000, "2 min 05 s"),
        (3_720_000, "1 h 02 min"),
    ],
)
def test_spans_grow_with_their_units(ms: int | None, said: str) -> None:
    """Two units at most, the second one padded."""
    assert words.span(ms) == said


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s ago"), (90, "1 min ago"), (7200, "2 h ago"), (90_000, "25 h ago"), (200_000, "2 days ago")]
)
def test_how_long_ago(seconds: int, said: str) -> None:
    """One unit; a clock that went back is no negative time."""
    now = time.time_ns() // 1_000_000
    assert words.ago(now - seconds * 1000 - 1) == said
    assert words.ago(now + 60_000) == "0 s ago"


def test_moments_are_local(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the time zone of whoever looks."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    try:
        assert words.moment(1_700_000_000_123) == "2023-11-14 22:13:20"
        assert words.time_of_day(1_700_000_000_123) == "22:13:20.123"
    finally:
        monkeypatch.undo()
        time.tzset()


@given(st.text())
def test_one_line_is_one_line_a_terminal_only_shows(text: str) -> None:
    """Nothing in it moves a cursor, changes a colour or turns the writing direction."""
    line = words.one_line(text)
    assert line.splitlines() in ([], [line])
    assert not any(ord(character) < 32 or 0x7F <= ord(character) < 0xA0 or character in "\u202e\u2066" for character in line)


def test_only_what_a_terminal_obeys_is_spelled_out() -> None:
    """Other scripts, accents and emoji stay as they are; line ends stay where several lines may stand."""
    assert words.visible("naïve 🦉\n\tdoğru") == "naïve 🦉\n\tdoğru"
    assert words.one_line("a\n b\x1b[2J\x9b") == "a  b\\x1b[2J\\x9b"


def test_names_of_steps() -> None:
    """The workflow and the usual last segment say nothing new."""
    assert words.step_name("demo.fetch.main") == "fetch"
    assert words.step_name("demo.fetch.i7") == "fetch[7]"
    assert words.step_name("demo.fetch.i7__draft") == "fetch[7].draft"
    assert words.step_name("demo.fetch.i07") == "fetch.i07"
    assert words.state_name({"state_id": "demo.fetch.i7", "path": "fetch[7][2]"}) == "fetch[7][2]"
    assert words.state_name({"state_id": "demo.fetch.i7", "path": ""}) == "fetch[7]"
    assert words.step_name("odd") == "odd"


def test_attempts_beyond_the_budget_stand_alone() -> None:
    """Those of dead owners do not count against it."""
    assert words.attempt_of(2, 3) == "attempt 2 of 3"
    assert words.attempt_of(4, 3) == "attempt 4"


def test_failures_add_their_code_where_it_says_something() -> None:
    """And where the exception was raised."""
    failure: JsonObject = {"code": "busy", "message": "no\nanswer", "details": None}
    assert words.failure_text(failure) == "no answer (busy)"
    raised: JsonObject = {"code": "step_raised", "message": "ValueError: x", "details": {"raised_at": "f.py:3"}}
    assert words.failure_text(raised) == "ValueError: x, at f.py:3"
    assert words.failure_text(None) == ""
    assert words.run_error_text({**failure, "state_id": "wf.a.main"}) == "a: no answer (busy)"
    assert words.run_error_text({**failure, "state_id": None}) == "no answer (busy)"
    assert words.run_error_text(None) == ""


@given(st.lists(st.text(alphabet=st.characters(exclude_characters="\x00"))))
def test_commands_survive_a_shell(arguments: list[str]) -> None:
    """What is printed can be pasted."""
    assert shlex.split(words.command(*arguments)) == ["durum", *arguments]


def test_short_ids_tell_runs_apart() -> None:
    """As long as it takes, and the same id given twice is one."""
    near = ["01890a5d-ac96-7", "01890a5d-ac96-8", "01890a5d-ac96-7"]
    assert words.short_ids(near) == {identity: identity for identity in near}
    assert words.short_ids(["01890a5d-ac96-774b", "11890a5d-ac96-774b"])["01890a5d-ac96-774b"] == "01890a5d-ac96"
