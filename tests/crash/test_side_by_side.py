"""Real ``kill -9`` of a process that drives many runs whose commits are shared: nothing it was told is durable is lost."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
import uuid
from pathlib import Path

import durum
from tests.crash.drive_side_by_side import flow

SEED = int(os.environ.get("DURUM_CRASH_SEED", "0"))
RUNS, KILLS = 40, 12
ROOT = Path(__file__).parents[2]


def driving(store: Path, told: Path, run_ids: list[str]) -> subprocess.Popen[bytes]:
    """Start a process that drives the runs, and notes which events were acknowledged to it."""
    command = [sys.executable, "-m", "tests.crash.drive_side_by_side", str(store), *run_ids]
    with told.open("ab") as out:
        return subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.PIPE)


def whole_lines(told: Path) -> set[tuple[str, ...]]:
    """Return (run, seq, hash) of every event that was acknowledged; a line the kill cut in half says nothing."""
    text = told.read_text(encoding="utf-8")
    lines = [line.split() for line in text[: text.rfind("\n") + 1].splitlines()]
    return {tuple(line) for line in lines if len(line) == 3}


def test_runs_that_share_commits_lose_nothing_they_were_told(tmp_path: Path) -> None:
    """Killed again and again, all of them end, gapless, and reproduce from their records."""
    chance = random.Random(SEED)
    store, told, hits = tmp_path / "durum.db", tmp_path / "told", 0
    run_ids = [str(uuid.UUID(int=chance.getrandbits(128), version=4)) for _ in range(RUNS)]
    for _ in range(KILLS):
        process = driving(store, told, run_ids)
        enough = told.stat().st_size + chance.randrange(12_000)  # bytes, of some 100,000: whatever the speed of the machine
        while process.poll() is None and told.stat().st_size < enough:
            time.sleep(0.001)
        process.kill()
        process.communicate()
        hits += process.returncode < 0
    process = driving(store, told, run_ids)
    _, said = process.communicate()
    assert process.returncode == 0, said.decode()
    assert hits > 1, "hardly a kill met a living process"
    with durum.open(f"sqlite:///{store}") as service:
        stored = {(run_id, str(row["seq"]), str(row["hash"])) for run_id in run_ids for row in service.events(run_id)}
        assert whole_lines(told) <= stored, "events that were acknowledged are gone"
        for run_id in run_ids:
            assert service.show(run_id)["status"] == "completed"
            assert service.verify(run_id).first_bad is None
        for run_id in run_ids[:3]:
            assert service.replay(run_id, "reproduce", flow).divergence is None
