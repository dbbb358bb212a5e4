"""Forty states, fifty items, a child run, five effects nobody may repeat, 100 ``kill -9``: each was done exactly once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import durum
from durum.testing.crash import CrashReport, crash_test
from durum.testing.crash.judge import COMPARED
from durum.testing.crash.moments import CHILD, EFFECT, EMPTY, ITEMS
from tests.workflows.forty import EFFECTS
from tests.workflows.journal import lines_of, short_key

if TYPE_CHECKING:
    from collections.abc import Callable

SEED = int(os.environ.get("DURUM_CRASH_SEED", "0"))
KILLS = int(os.environ.get("DURUM_KILLS", "100"))
ENOUGH = 100  # kills, for certain moments to be met for sure
TARGET = "tests.workflows.forty:flow"
ROOT = Path(__file__).parent.parent.parent
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
PATIENCE_SECONDS = 60
LOOK_SECONDS = 0.004
TRIES = 20
PARKED = 3


def forty_killed(folder: Path, kills: int, double: str) -> CrashReport:
    """Kill runs of the forty states, each in a folder of its own; all are kept."""
    empty = folder / "empty"
    empty.mkdir()
    harness = ("tests.crash.doubles", double)
    kept = folder / "kept"
    return crash_test(TARGET, {"begin": 5}, kills=kills, seed=SEED, scratch=empty, keep=kept, jobs=2, harness=harness)


@pytest.mark.slow
def test_killed_at_any_moment_every_effect_is_done_exactly_once(tmp_path: Path) -> None:
    """Whoever answers from the journal what became of effects gets the run nobody killed: snapshot, digest, journal, replay.

    ``DURUM_KILLS`` asks for more kills, ``DURUM_CRASH_SEED`` for other moments.
    """
    report = forty_killed(tmp_path, KILLS, "forty")
    assert report.faults == [], f"DURUM_CRASH_SEED={SEED}: {report}"
    assert (report.compared, report.status) == (COMPARED, "completed")
    assert report.kills >= KILLS
    for number in ("0001", f"{report.rounds:04}"):  # one that nobody disturbed, and one that was killed
        check_by_hand(tmp_path / "kept" / number)
    if KILLS >= ENOUGH:
        assert not {EMPTY, EFFECT, ITEMS, CHILD} - report.met.keys(), report.met
        assert min(report.answers["happened"], report.answers["did_not_happen"]) > 0, report.answers


def check_by_hand(folder: Path) -> None:
    """See that a run has forty states beside its items, and replays in a new process that has nothing in its environment."""
    url = f"sqlite:///{folder}/durum.db"
    with durum.open(url) as service:
        (run,) = [summary for summary in service.runs() if summary["parent"] is None]
        states = [str(row["state_id"]) for row in service.states(str(run["run_id"]))]
    items = [state for state in states if state.startswith("forty.height.i")]
    assert (len(states) - len(items), len(items)) == (40, 50)
    assert sorted(key for key, _ in lines_of(folder / "desk")) == sorted(EFFECTS)
    command = [sys.executable, "-m", "durum", "replay", str(run["run_id"]), "--with", TARGET, "--json", "--store", url]
    done = subprocess.run(command, cwd=ROOT, env={}, capture_output=True, check=False, timeout=PATIENCE_SECONDS)
    found = json.loads(done.stdout)
    assert (found["result"], found["live_calls"]) == ("same", 0), done
    assert found["final_snapshot_id"] == run["final_snapshot_id"]


# --- by hand ----------------------------------------------------------------------------------------------------------


def begin(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Call the command line in a folder."""
    command = [sys.executable, "-m", "durum", *arguments, "--store", "sqlite:///durum.db"]
    return subprocess.Popen(
        command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )


def until(process: subprocess.Popen[bytes], come: Callable[[], bool]) -> None:
    """Wait until something has come, or the process is over."""
    for _ in range(round(PATIENCE_SECONDS / LOOK_SECONDS)):
        if process.poll() is not None or come():
            return
        time.sleep(LOOK_SECONDS)


def call(folder: Path, *arguments: str) -> tuple[int, list[Any]]:
    """Call the command line and return its exit code and the JSON values it printed."""
    process = begin(folder, *arguments, "--json")
    out, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode in {0, PARKED}, said.decode()
    return process.returncode, [json.loads(line) for line in out.splitlines()]


def answer_all(folder: Path) -> int:
    """Answer every gate from the journal and return how many said that an effect happened."""
    journal, found = dict(lines_of(folder)), 0
    for gate in call(folder, "gates")[1]:
        key = short_key(gate["subject"])
        fields = ["--field", "happened=false"]
        if key in journal:
            fields = ["--field", "happened=true", "--field", f"result={json.dumps(journal[key])}"]
            found += 1
        assert call(folder, "answer", gate["run_id"], gate["gate"], *fields, "--as", "journal")[0] in {0, PARKED}
    return found


def brought_to_its_end(folder: Path) -> int:
    """Kill a run once its journal has a line, bring it to its end, and return how many effects were said to have happened."""
    run_id = str(uuid.uuid4())
    process = begin(folder, "run", TARGET, "--input", "begin=1", "--run-id", run_id)
    until(process, lambda: bool(lines_of(folder)))
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=PATIENCE_SECONDS)
    happened = 0
    while call(folder, "resume", run_id, "--with", TARGET)[0] == PARKED:
        happened += answer_all(folder)
    assert sorted(key for key, _ in lines_of(folder)) == sorted(EFFECTS)
    assert call(folder, "show", run_id)[1][0]["status"] == "completed"
    return happened


def test_whoever_has_only_the_command_line_gets_there_too(tmp_path: Path) -> None:
    """Killed with an effect's line written and no outcome, ``resume``, ``gates`` and ``answer`` bring the run to its end."""
    for number in range(TRIES):  # a busy machine may kill too late
        (tmp_path / str(number)).mkdir()
        if brought_to_its_end(tmp_path / str(number)):
            return
    pytest.fail("no kill met an effect under way")


# --- the check can fail -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_answer_that_is_not_true_is_found_out(tmp_path: Path) -> None:
    """Planted: whoever answers says that nothing happened, whatever the journal says."""
    found = {fault.text for fault in forty_killed(tmp_path, TRIES, "liar").faults}
    assert any("was done 2 times" in text for text in found), found


@pytest.mark.slow
def test_an_intent_that_is_not_durable_before_its_effect_is_found_out(tmp_path: Path) -> None:
    """Planted: the store acknowledges an intent it has not written, so a killed run knows nothing of its effect."""
    faults = forty_killed(tmp_path, TRIES, "forgetful").faults
    assert "lost" in {fault.kind for fault in faults}, faults
