"""``durum crash-test``: asks before it touches the outside, says what it found, and ends with 4 if that is anything."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from durum.cli.crash_test import _print
from durum.cli.verb import Session
from durum.testing.crash.judge import Fault
from durum.testing.crash.report import Boundary, CrashReport
from durum.testing.crash.task import Crossing
from tests.cli.command_line import ended

if TYPE_CHECKING:
    from tests.cli.command_line import CommandLine

PATIENCE_SECONDS = 30
SOUND = """
from typing import TypedDict

from durum import Io, Workflow


class Given(TypedDict):
    size: int


sound = Workflow("sound", inputs=Given)


@sound.step(effects="apply_side_effect")
async def page(size: int, io: Io) -> int:
    await io.write_file("page", "x" * size)
    return size
"""
CARELESS = """
from durum import Workflow

careless = Workflow("careless")
seen = []


@careless.step
def first() -> int:
    seen.append(1)
    return 1


@careless.step(after=[first])
def second() -> int:
    return len(seen)
"""


def test_a_sound_workflow_is_found_sound(durum: CommandLine) -> None:
    """Exit 0, where the kills landed, what it was held against; nothing is left behind but what the steps wrote."""
    durum.write("sound.py", SOUND)
    (durum.folder / "empty").mkdir()
    call = ("crash-test", "sound.py", "--kills", "4", "--input", "size=3", "--yes", "--scratch", "empty")
    ran = durum(*call)
    assert ran.err == ""
    heading, *rest = ran.out.splitlines()
    assert heading.startswith("nothing found: 4 kills, ")
    assert heading.endswith(" of sound.py")
    assert rest[0].split()[0] == "judged"
    assert "undisturbed runs (completed): status, error, final snapshot, semantic digest" in ran.out
    assert "kills  landed" in ran.out
    assert sorted(path.name for path in durum.folder.iterdir() if path.name != "__pycache__") == ["empty", "sound.py"]
    again = durum(*call, "--json").json
    assert (again["result"], again["kills"], len(again["compared"]), again["faults"]) == ("ok", 4, 4, [])


@pytest.mark.slow
def test_a_workflow_that_does_not_survive_is_found_out(durum: CommandLine) -> None:
    """Exit 4, each finding with its run and its kills, the store kept; a workflow that is pure is tested without a question."""
    durum.write("careless.py", CARELESS)
    (durum.folder / "empty").mkdir()
    ran = durum("crash-test", "careless.py", "--every-boundary", "--scratch", "empty", "--keep", "kept", code=4)
    assert ran.out.splitlines()[0].split(":")[0] in {"1 finding", "2 findings", "3 findings"}
    assert "it writes another second" in ran.out
    assert ", killed " in ran.out
    assert f"{durum.folder}/kept" in ran.out
    assert list((durum.folder / "kept").glob("*/durum.db"))


def test_nothing_outside_is_touched_without_a_word(durum: CommandLine) -> None:
    """Who reaches the outside is named; a person at a terminal is asked."""
    durum.write("sound.py", SOUND)
    call = ("crash-test", "sound.py", "--kills", "1", "--input", "size=3")
    said = "a crash test really performs the calls of page (effects), in every run"
    assert durum(*call, code=2).err == f"error: {said}; if that may be, add --yes\n"
    shown = durum.on_terminal(*call, typed="n\n", columns=200)
    assert (durum.last_code, f"{said}; type y for yes:" in shown, "nothing was done" in shown) == (2, True, True)
    assert not (durum.folder / "page").exists()
    shown = durum.on_terminal(*call, typed="y\n", columns=200)
    assert (durum.last_code, "nothing found: 1 kill" in shown) == (0, True)
    assert (durum.folder / "page").read_text() == "xxx"


def test_ctrl_c_ends_it_and_what_it_began(durum: CommandLine) -> None:
    """At once, though many kills are to come."""
    durum.write("sound.py", SOUND)
    call = ("crash-test", "sound.py", "--kills", "1000", "--jobs", "2", "--input", "size=3", "--yes")
    process = durum.begin(*call, TMPDIR=str(durum.folder))
    until = time.monotonic() + PATIENCE_SECONDS
    while len(list(durum.folder.glob("durum-crash-*/*"))) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert ended(process).code == 130
    assert list(durum.folder.glob("durum-crash-*")) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sound.py", "--input", "size=3"], "say how to kill: give --kills N or --every-boundary"),
        (["sound.py", "--input", "size=3", "--kills", "1", "--every-boundary"], "say how to kill"),
        (["sound.py", "--input", "size=3", "--kills", "0"], "Invalid value for '--kills'"),
        (["sound.py", "--kills", "1", "--yes"], "size"),
        (["nothing.py", "--kills", "1", "--yes"], "there is no such file"),
        (["sound.py", "--input", "size=3", "--kills", "1", "--store", "memory://"], "crash-test makes stores of its own"),
        (["sound.py", "--input", "size=3", "--kills", "1", "--yes", "--scratch", "nowhere"], "nowhere is no folder"),
        (["sound.py", "--input", "size=3", "--kills", "1", "--yes", "--keep", "."], ". is not empty"),
    ],
)
def test_a_wrong_call_is_told_what_is_wrong(durum: CommandLine, arguments: list[str], said: str) -> None:
    """Exit 2, one line, before any run."""
    durum.write("sound.py", SOUND)
    ran = durum("crash-test", *arguments, code=2)
    assert said in ran.err
    assert ran.err.count("\n") == 1


def test_the_report_says_what_a_person_needs(capsys: pytest.CaptureFixture[str]) -> None:
    """Findings first, bounded in number; which boundaries were not met; how to see it again."""
    fault = Fault("lost", "event 7 is gone", "0012", ("before claim", "after append 3 (domain)", "after commit", "after claim"))
    report = CrashReport("flow.py", 5, status="completed", faults=[fault] * 25, kept="/tmp/x", kills=1, rounds=30)
    places = {1: Crossing("claim", "before"), 2: Crossing("commit", "after")}
    report.boundaries = [Boundary(0, number, crossing, met=number == 1) for number, crossing in places.items()]
    report.held = 6
    report.answers.update(happened=2, did_not_happen=1)
    _print(Session(), report)
    said = capsys.readouterr().out
    assert said.startswith("25 findings: 1 kill, 30 runs of flow.py\n")
    assert "event 7 is gone (run 0012, killed after append 3 (domain), after commit, after claim)" in said
    assert said.count("event 7 is gone") == 20
    assert "and 5 more: see --json" in said
    assert "against undisturbed runs (completed): nothing, for these differ" in said
    assert "1 of 2 met (claim 1); not met: after commit; 6 more during an effect" in said
    assert "3 unknown effects, of which 2 had happened" in said
    assert "/tmp/x" in said
