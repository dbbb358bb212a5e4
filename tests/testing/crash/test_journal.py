"""The journal of effects tells what really happened, and says so when it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pytest

from durum.core.state import Happened
from durum.testing.crash.journal import Line, read_lines, repeated, verdict, why_unknown, write_line

if TYPE_CHECKING:
    from pathlib import Path

KEY = "run/mail"


def line(what: Literal["begun", "done", "failed", "given_up"], **rest: Any) -> Line:
    """Return a line of one effect."""
    return Line(KEY, what, "flow.mail.main", "0" * 64, **rest)


BEGUN, DONE = line("begun"), line("done", result={"sent": 1})
REFUSED, FAILED, GIVEN_UP = line("failed", code="http_connect"), line("failed", code="http_timeout"), line("given_up")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], False),
        ([BEGUN], None),
        ([BEGUN, DONE], Happened({"sent": 1})),
        ([BEGUN, REFUSED], False),
        ([BEGUN, FAILED], None),
        ([BEGUN, GIVEN_UP], None),
        ([BEGUN, REFUSED, BEGUN], None),
        ([BEGUN, FAILED, BEGUN, DONE], Happened({"sent": 1})),
        ([BEGUN, DONE, BEGUN], Happened({"sent": 1})),
    ],
)
def test_the_verdict_is_what_is_known(lines: list[Line], expected: object) -> None:
    """Never begun or refused before anything was done: it did not happen. Begun and not ended: nobody knows."""
    assert verdict(lines, KEY) == expected
    assert verdict(lines, "run/other") is False


def test_an_effect_done_twice_is_seen_unless_it_may_be() -> None:
    """Two ends of one key are a repetition, but not where the step says that its receiver knows the key."""
    assert repeated([BEGUN, DONE, BEGUN]) == []
    assert repeated([BEGUN, DONE, BEGUN, DONE]) == ["run/mail of flow.mail.main was done 2 times"]
    again = line("done", idempotent=True)
    assert repeated([again, again]) == []


def test_lines_survive_the_file(tmp_path: Path) -> None:
    """What is written is read, in order; a journal nobody began is empty."""
    file = tmp_path / "effects"
    assert read_lines(file) == []
    for each in (BEGUN, DONE, FAILED):
        write_line(file, each)
    assert read_lines(file) == [BEGUN, DONE, FAILED]


def test_why_nobody_knows_is_said() -> None:
    """A failure is told by its code."""
    assert why_unknown([BEGUN], KEY) == "it was begun, and nobody saw its end"
    assert why_unknown([BEGUN, FAILED], KEY) == "it failed with http_timeout, perhaps after it happened"
