"""`durum events`: what each profile keeps, and the log followed while a run is driven."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest

from tests.cli.command_line import ended, wait_for
from tests.cli.flows import SLOW

if TYPE_CHECKING:
    from tests.cli.command_line import CommandLine

REPORTS = """
from durum import Io, Workflow
wf = Workflow("reports")

@wf.step
async def say(io: Io) -> int:
    io.emit("report.done", {"n": 1})
    io.emit("report.detail", {"n": 2}, verbose=True)
    io.emit("other", {"n": 3})
    await io.random_bytes(4)
    await io.record_value("v", 1)
    return 1

@wf.step
def end(say: int) -> int:
    return say
"""

EMITS = """
import sys
from durum import Io, Workflow
wf = Workflow("emits")

@wf.step
async def say(io: Io) -> int:
    io.emit(NAME, {})
    return 1
"""


@pytest.mark.parametrize(
    ("profile", "kept"),
    [
        ("minimal", []),
        ("normal", ["report.done", "other"]),
        ("verbose", ["report.done", "report.detail", "other"]),
        ("report.*", ["report.done", "report.detail"]),
        ("report.detail, oth*", ["report.detail", "other"]),
        ("minmal*", []),  # a name like any other: an event may be called so
    ],
)
def test_each_profile_keeps_other_events_and_every_fact(durum: CommandLine, profile: str, kept: list[str]) -> None:
    """What the profile drops is no divergence; facts are always there."""
    durum.write("reports.py", REPORTS)
    run_id = durum("run", "reports.py", "--events", profile, "--json").json["run_id"]
    log = durum("events", run_id, "--json").lines
    assert [row["event"]["name"] for row in log if row["event"]["kind"] == "domain"] == kept
    assert len([row for row in log if row["event"]["kind"] == "fact.recorded"]) == 2
    assert durum("replay", run_id, "--with", "reports.py", "--mode", "reproduce", "--json").json["result"] == "same"


def test_a_misspelt_profile_is_refused(durum: CommandLine) -> None:
    """With the word that was meant, before anything is made."""
    durum.write("reports.py", REPORTS)
    assert "did you mean 'minimal'?" in durum("run", "reports.py", "--events", "minmal", code=2).err
    assert not durum.path(".durum").exists()


@pytest.mark.parametrize(
    "name", ["fact_recorded", "artifact_written", "op_boundary", "child_run_spawned", "state.entered", "domain"]
)
def test_names_of_the_engine_are_refused(durum: CommandLine, name: str) -> None:
    """In one line that says what to do, whatever the profile keeps."""
    durum.write("emits.py", EMITS.replace("NAME", repr(name)))
    ran = durum("run", "emits.py", "--events", "minimal", "--json", code=1)
    assert ran.json["error"]["message"] == f"event name {name!r} is reserved for the engine; choose another"


def test_a_log_is_followed_to_its_end_from_any_place(durum: CommandLine) -> None:
    """Every event once, in order, one envelope a line; Ctrl-C ends it quietly; the run's end ends it with 0."""
    durum.write("slow.py", SLOW)
    run = durum.begin("run", "slow.py")
    wait_for(run, "second: started")
    run_id = durum("ls", "--json").lines[0]["run_id"]
    whole = durum.begin("events", run_id, "--json", "--follow")
    late = durum.begin("events", run_id, "--json", "--follow", "--from", "3")
    stopped = durum.begin("events", run_id, "--json", "--follow")
    assert stopped.stdout is not None
    assert json.loads(stopped.stdout.readline())["seq"] == 1  # at once, while the run goes on
    stopped.send_signal(signal.SIGINT)
    assert ended(stopped)[::2] == (0, "")
    durum.write("go", "")
    ended(run)
    log = durum("events", run_id, "--json").out
    assert (ended(whole), ended(late).out) == ((0, log, ""), "".join(log.splitlines(keepends=True)[2:]))


def test_a_run_that_is_over_or_not_there_is_not_waited_for(durum: CommandLine) -> None:
    """The one is printed, the other is a wrong call."""
    durum.write("reports.py", REPORTS)
    run_id = durum("run", "reports.py", "--json").json["run_id"]
    assert durum("events", run_id, "--follow").out == durum("events", run_id).out
    durum("events", run_id[:-4] + "0000", "--follow", "--json", code=2)
