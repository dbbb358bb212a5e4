"""Forty states, fifty items, a child run, five effects nobody may repeat, 100 ``kill -9``: each was done exactly once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import durum
from tests.crash.drive_forty import TARGET
from tests.crash.killing import (
    CHILD,
    EFFECT,
    EMPTY,
    ENVIRONMENT,
    GONE,
    ITEMS,
    PATIENCE_SECONDS,
    ROOT,
    Forty,
    Pace,
    Story,
    after_a_line,
    at_random,
    live_through,
    until,
)
from tests.workflows.forty import EFFECTS
from tests.workflows.journal import lines_of, short_key

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SEED = os.environ.get("DURUM_CRASH_SEED", "0")
KILLS = int(os.environ.get("DURUM_KILLS", "100"))
BATCHES = 10
QUOTA = max(1, KILLS // BATCHES)
ENOUGH = 10  # kills a batch, for certain moments to be met for sure
TRIES = 20
PARKED = 3
TARGETS = (TARGET, "tests.workflows.forty:child")


class Ended(NamedTuple):
    """What a run came to."""

    status: str
    error: Any
    final_snapshot_id: str
    semantic_digest: str


class Uncrashed(NamedTuple):
    """What a run nobody killed came to, its child run too, and how long it took."""

    pace: Pace
    ended: list[Ended]
    journal: list[tuple[str, Any]]


def new_run(folder: Path, double: str = "true") -> Forty:
    """Return a run with a folder and a store of its own."""
    folder.mkdir()
    return Forty(folder / "durum.db", folder, str(uuid.uuid4()), double)


def ends_of(forty: Forty) -> list[Ended]:
    """Return what the run and its child run came to."""
    with durum.open(forty.url) as service:
        summaries: list[Any] = [service.show(run_id) for run_id in forty.run_ids]
    return [Ended(*(summary[name] for name in Ended._fields)) for summary in summaries]


@pytest.fixture(scope="module")
def uncrashed(tmp_path_factory: pytest.TempPathFactory) -> Uncrashed:
    """Give what a run nobody killed came to."""
    forty = new_run(tmp_path_factory.mktemp("uncrashed") / "run")
    begun = time.monotonic()
    process = forty.drive("start")
    until(process, bool)
    first = time.monotonic()
    _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, said
    found = Uncrashed(Pace(first - begun, time.monotonic() - first), ends_of(forty), lines_of(forty.folder))
    assert [ended.status for ended in found.ended] == ["completed", "completed"]
    with durum.open(forty.url) as service:
        states = [str(row["state_id"]) for row in service.states(forty.run_id)]
    items = [state for state in states if state.startswith("forty.height.i")]
    assert (len(states) - len(items), len(items)) == (40, 50)
    assert sorted(key for key, _ in found.journal) == sorted(EFFECTS)
    return found


# --- what may be wrong with a run that was killed ---------------------------------------------------------------------


def faults_of(forty: Forty, uncrashed: Uncrashed, *, elsewhere: bool) -> list[str]:
    """Return in what a run differs from the one nobody killed, and what is wrong with its record."""
    faults = [*log_faults(forty), *journal_faults(lines_of(forty.folder), uncrashed.journal)]
    ended = ends_of(forty)
    if ended != uncrashed.ended:
        faults.append(f"it came to {ended}, not to {uncrashed.ended}")
    with durum.open(forty.url) as service:
        for run_id, target, expected in zip(forty.run_ids, TARGETS, uncrashed.ended, strict=True):
            if bad := service.verify(run_id).first_bad:
                faults.append(f"its record is damaged: {bad}")
            found = replayed_elsewhere(forty, run_id, target) if elsewhere else replayed(service, run_id, target)
            if found != ("same", 0, expected.final_snapshot_id):
                faults.append(f"replay came to {found}")
    return faults


def replayed(service: durum.Durum, run_id: str, target: str) -> tuple[Any, ...]:
    """Return result, live calls and snapshot of a replay in this process."""
    found = service.replay(run_id, "reproduce", target).to_json()
    return found["result"], found["live_calls"], found["final_snapshot_id"]


def replayed_elsewhere(forty: Forty, run_id: str, target: str) -> tuple[Any, ...]:
    """Return result, live calls and snapshot of a replay in a new process that has nothing in its environment."""
    command = [sys.executable, "-m", "durum", "replay", run_id, "--mode", "reproduce", "--with", target, "--json"]
    command += ["--store", forty.url]
    done = subprocess.run(command, cwd=ROOT, env={}, capture_output=True, check=False, timeout=PATIENCE_SECONDS)
    if done.returncode != 0:
        return done.returncode, done.stdout.decode(), done.stderr.decode()
    found = json.loads(done.stdout)
    return found["result"], found["live_calls"], found["final_snapshot_id"]


def log_faults(forty: Forty) -> list[str]:
    """Return gaps, epochs with two owners or out of order, and facts that were bound twice."""
    faults = []
    bodies = forty.bodies()
    for run_id in forty.run_ids:
        log = [body for place, body in bodies.items() if place.run_id == run_id]
        if [body["seq"] for body in log] != list(range(1, len(log) + 1)):
            faults.append(f"the log of {run_id} has gaps")
        owners = [(body["epoch"], body["writer"]) for body in log]
        epochs = [epoch for epoch, _ in owners]
        if epochs != sorted(epochs) or len(set(owners)) != len(set(epochs)):
            faults.append(f"the log of {run_id} has an epoch with two owners: {sorted(set(owners))}")
        facts = [body["body"] for body in log if body["kind"] == "fact.recorded"]
        bound = Counter(fact["key"] for fact in facts if fact["outcome"] == "success" and fact["scope"] == "run")
        faults += [f"{key} was bound {count} times" for key, count in bound.items() if count > 1]
    return faults


def journal_faults(lines: Sequence[tuple[str, Any]], expected: Sequence[tuple[str, Any]]) -> list[str]:
    """Return which effects were not done exactly once, or not as they should be."""
    done = Counter(key for key, _ in lines)
    faults = [f"{key} was done {done[key]} times" for key in sorted({*done, *EFFECTS}) if done[key] != 1]
    return faults or [f"{line} is not as it should be" for line in lines if line not in expected]


# --- 100 kills --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("batch", range(BATCHES))
def test_killed_at_any_moment_every_effect_is_done_exactly_once(
    batch: int, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, uncrashed: Uncrashed
) -> None:
    """Whoever answers from the journal what became of effects gets the run nobody killed: snapshot, digest, journal, replay.

    ``DURUM_KILLS`` asks for more kills in all, ``DURUM_CRASH_SEED`` for other moments.
    """
    chance = random.Random(f"{SEED}/{batch}")
    total, number = Story(), 0
    while total.kills < QUOTA:
        forty = new_run(tmp_path / str(number))
        story = live_through(forty, at_random(chance, uncrashed.pace), QUOTA - total.kills)
        faults = story.faults or faults_of(forty, uncrashed, elsewhere=number == 0)
        assert faults == [], f"run {number} of batch {batch}, DURUM_CRASH_SEED={SEED}, {story}"
        total.kills += story.kills
        total.met += story.met
        total.answers += story.answers
        number += 1
    check_moments(tally(tmp_path_factory, batch, total))


def tally(factory: pytest.TempPathFactory, batch: int, story: Story) -> list[dict[str, Any]]:
    """Leave what a batch met where the other batches, in other processes perhaps, leave it too; return it all."""
    folder = factory.getbasetemp()
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "forty"
    folder.mkdir(exist_ok=True)
    told = json.dumps({"kills": story.kills, "met": story.met, "answers": story.answers})
    (folder / f"{batch}.new").write_text(told)
    (folder / f"{batch}.new").rename(folder / f"{batch}.json")
    return [json.loads(file.read_text()) for file in folder.glob("*.json")]


def check_moments(tallies: Sequence[dict[str, Any]]) -> None:
    """See, once all batches are over, that the kills met what is hard to get right, and gates were answered either way."""
    if len(tallies) < BATCHES:
        return
    assert sum(found["kills"] for found in tallies) == QUOTA * BATCHES
    met: Counter[str] = sum((Counter(found["met"]) for found in tallies), Counter())
    answers: Counter[str] = sum((Counter(found["answers"]) for found in tallies), Counter())
    if QUOTA < ENOUGH:
        return
    assert not {EMPTY, EFFECT, ITEMS, CHILD} - met.keys(), met
    assert not {"happened=true", "happened=false"} - answers.keys(), answers


# --- by hand ----------------------------------------------------------------------------------------------------------


def begin(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Call the command line in a folder."""
    command = [sys.executable, "-m", "durum", *arguments, "--store", "sqlite:///durum.db"]
    return subprocess.Popen(
        command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )


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
    until(process, lambda _: bool(lines_of(folder)))
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


def first_faults(tmp_path: Path, uncrashed: Uncrashed, double: str, *, lie: bool) -> str:
    """Kill runs of which something is broken until that shows, and return how."""
    for number in range(TRIES):
        forty = new_run(tmp_path / str(number), double)
        story = live_through(forty, after_a_line, 1, lie=lie)
        faults = story.faults + journal_faults(lines_of(forty.folder), uncrashed.journal)
        if any("was done 2 times" in fault for fault in faults):
            return "\n".join(faults)
    return ""


def test_an_answer_that_is_not_true_is_found_out(tmp_path: Path, uncrashed: Uncrashed) -> None:
    """Planted: whoever answers says that nothing happened, whatever the journal says."""
    assert "was done 2 times" in first_faults(tmp_path, uncrashed, "true", lie=True)


def test_an_intent_that_is_not_durable_before_its_effect_is_found_out(tmp_path: Path, uncrashed: Uncrashed) -> None:
    """Planted: the store acknowledges an intent it has not written, so a killed run knows nothing of its effect."""
    faults = first_faults(tmp_path, uncrashed, "forgetful", lie=False)
    assert "was done 2 times" in faults
    assert GONE in faults
