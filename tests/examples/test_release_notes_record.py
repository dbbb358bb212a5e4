"""The record of a release notes run: the same end for every run, whoever kills it, and a replay that needs nothing."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import durum
from examples.release_notes import notes
from tests.examples.repositories import known_history

if TYPE_CHECKING:
    from durum.core.canonical import JsonObject

WORKFLOW = Path(__file__).resolve().parent.parent.parent / "examples" / "release_notes.py"
KILLS = 20
START = """
import sys, durum
from durum.engine.engine import Watcher
watcher = Watcher(event=lambda envelope: print(envelope.run_id, flush=True))
with durum.open(sys.argv[1]) as store:
    inputs = {"repo": sys.argv[3], "out": sys.argv[4]}
    store.start(sys.argv[2], inputs, watcher=watcher)
"""


def test_two_runs_of_one_history_end_in_the_same_snapshot(tmp_path: Path) -> None:
    """Nothing of the clock, of chance or of the order in which calls were answered is in the results."""
    repo, out = known_history(tmp_path / "thing").path, tmp_path / "notes.md"
    with durum.open("memory://") as store:
        first, second = (store.start(notes, {"repo": str(repo), "out": str(out)}) for _ in range(2))
    assert first["status"] == second["status"] == "completed"
    assert first["run_id"] != second["run_id"]
    assert first["final_snapshot_id"] == second["final_snapshot_id"]
    assert first["semantic_digest"] == second["semantic_digest"]


def test_a_replay_needs_neither_git_nor_the_repository(tmp_path: Path) -> None:
    """The command line replays the run with an empty PATH after the repository and the notes are gone."""
    repository, out, url = known_history(tmp_path / "thing"), tmp_path / "notes.md", f"sqlite:///{tmp_path}/runs.db"
    with durum.open(url) as store:
        run = store.start(str(WORKFLOW), {"repo": str(repository.path), "out": str(out)})
    repository.path.rename(tmp_path / "elsewhere")
    out.unlink()
    words = ["replay", str(run["run_id"]), "--mode", "reproduce", "--with", str(WORKFLOW), "--store", url, "--json"]
    command = [sys.executable, "-m", "durum", *words]
    ended = subprocess.run(command, env={**os.environ, "PATH": ""}, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout)
    assert (result["result"], result["live_calls"], result["divergence"]) == ("same", 0, None)
    assert result["final_snapshot_id"] == run["final_snapshot_id"]
    assert not out.exists()


def test_a_run_killed_at_any_moment_ends_as_one_that_was_not(tmp_path: Path) -> None:
    """After each of 20 kills -9 at random moments, resuming leads to the same snapshot and file, and an intact record.

    One that lands between writing the file and recording it has the run ask; whoever looks for the file can tell.
    """
    repo, out, url = known_history(tmp_path / "thing").path, tmp_path / "notes.md", f"sqlite:///{tmp_path}/runs.db"
    moments = random.Random(2026)
    cut_off = 0
    with durum.open(url) as store:
        undisturbed = store.start(str(WORKFLOW), {"repo": str(repo), "out": str(out)})
        events = len(store.events(str(undisturbed["run_id"])))
        text = out.read_bytes()
        for _ in range(KILLS):
            out.unlink()
            run_id = started_and_killed(url, repo, out, moments.randrange(1, events - 4), moments.uniform(0, 0.005))
            cut_off += store.show(run_id)["status"] == "interrupted"
            resumed = store.resume(run_id, str(WORKFLOW))
            if resumed["status"] == "paused":
                resumed = answered(store, run_id, out)
            assert ended_alike(resumed, undisturbed)
            assert out.read_bytes() == text
            assert store.verify(run_id).first_bad is None
            assert store.replay(run_id, "reproduce", str(WORKFLOW)).divergence is None
            assert answered_twice(store, run_id) == set()
    assert cut_off >= KILLS // 2, f"only {cut_off} of {KILLS} kills hit a run under way"


def started_and_killed(url: str, repo: Path, out: Path, events: int, seconds: float) -> str:
    """Start a run in a process of its own, kill -9 that so long after so many of its events, and return the run's id."""
    command = [sys.executable, "-c", START, url, str(WORKFLOW), str(repo), str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        seen = [child.stdout.readline().strip() for _ in range(events)]
        time.sleep(seconds)
        child.kill()
    return seen[0]


def answered(store: durum.Durum, run_id: str, out: Path) -> JsonObject:
    """Tell a run whether its file is there, and drive it on."""
    (gate,) = store.gates(run_id)
    assert gate["state_id"] == "release_notes.written.main"
    store.answer(run_id, str(gate["gate"]), {"happened": out.exists()})
    return store.resume(run_id, str(WORKFLOW))


def ended_alike(run: JsonObject, other: JsonObject) -> bool:
    """Tell whether two runs completed with the same result."""
    return [run[field] for field in ("status", "final_snapshot_id", "error")] == ["completed", other["final_snapshot_id"], None]


def answered_twice(store: durum.Durum, run_id: str) -> set[str]:
    """Return the keys of calls that were made again although their answer was on record."""
    keys = [str(fact["key"]) for fact in store.facts(run_id) if fact["outcome"] == "success"]
    return {key for key in keys if keys.count(key) > 1}
