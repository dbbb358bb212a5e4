"""Real ``kill -9`` at random moments: whatever the moment, a resumed run ends as one that was never killed."""

from __future__ import annotations

import os
import random
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import durum
from tests.crash.driving import Place, ended, killed

SYNTHETIC = Path(__file__).parent.parent / "workflows" / "synthetic.py"
SEED = int(os.environ.get("DURUM_CRASH_SEED", "0"))
BATCHES, KILLS = 4, 5
RUN_SECONDS = 0.25
INPUTS = '{"begin": 5}'


def place_in(folder: Path, store: Path, run_id: str | None = None) -> Place:
    """Return a place for a run of the synthetic workflow in a folder of its own."""
    folder.mkdir()
    return Place(store, folder, SYNTHETIC, run_id or str(uuid.uuid4()))


@pytest.fixture(scope="module")
def uncrashed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the summary of a run nobody killed."""
    folder = tmp_path_factory.mktemp("uncrashed")
    place = place_in(folder / "run", folder / "durum.db")
    code, said = ended(place.drive("start", INPUTS))
    assert code == 0, said
    with durum.open(place.url) as service:
        summary: dict[str, Any] = dict(service.show(place.run_id))
        assert (summary["status"], len(service.states(place.run_id)) > 30) == ("completed", True)
    return summary


def crashed(seed: int, place: Place) -> tuple[str, int]:
    """Start a run, kill it, resume it, perhaps kill it again.

    Return what was lost on the way, nothing if all is well, and how many kills met a living process.
    """
    chance = random.Random(seed)
    process = place.drive("start", INPUTS)
    place.wait_for(process)
    lost, hits = "", 0
    for _ in range(chance.choice([1, 1, 2, 3])):
        time.sleep(chance.uniform(0, RUN_SECONDS))
        seen = {(event.seq, event.hash.hex()) for event in place.log()}
        told = set(killed(process))
        hits += process.returncode < 0
        left = {(event.seq, event.hash.hex()) for event in place.log()}
        lost += f" seen and gone {sorted(seen - left)}" if seen - left else ""
        lost += f" told and gone {sorted(told - left)}" if told - left else ""
        process = place.drive("resume")
        place.wait_for(process, after=len(left))
    code, said = ended(process)
    return (lost if code == 0 else f"{lost} exit {code}: {said}"), hits


def check(seed: int, place: Place, uncrashed: dict[str, Any]) -> int:
    """Kill a run at moments drawn from a seed, and hold what it came to against the run nobody killed; return the hits."""
    lost, hits = crashed(seed, place)
    assert lost == ""
    assert [event.seq for event in place.log()] == list(range(1, len(place.log()) + 1))
    with durum.open(place.url) as service:
        assert service.verify(place.run_id).first_bad is None
        summary = service.show(place.run_id)
        assert (summary["status"], summary["error"]) == ("completed", None)
        assert summary["final_snapshot_id"] == uncrashed["final_snapshot_id"]
        replayed = service.replay(place.run_id, "reproduce", str(place.target))
        assert (replayed.divergence, replayed.final_snapshot_id) == (None, uncrashed["final_snapshot_id"])
    told = (place.folder / "told").read_text().splitlines()
    assert told == [f"{place.run_id}/told 0", f"{place.run_id}/told/1 1"]
    return hits


@pytest.mark.parametrize("batch", range(BATCHES))
def test_killed_at_any_moment_a_run_ends_as_if_nothing_had_happened(
    batch: int, tmp_path: Path, uncrashed: dict[str, Any]
) -> None:
    """Nothing acknowledged or seen is lost, the log is whole, the final snapshot that of an uncrashed run, effects done once.

    Two runs share the store and are killed side by side; ``DURUM_CRASH_SEED`` draws other moments.
    """
    seeds = [SEED * 1_000 + batch * KILLS + number for number in range(KILLS)]
    with ThreadPoolExecutor(2) as both:
        futures = {
            seed: both.submit(check, seed, place_in(tmp_path / str(seed), tmp_path / "durum.db"), uncrashed) for seed in seeds
        }
    for seed, future in futures.items():
        error = future.exception()
        assert error is None, f"seed {seed} (DURUM_CRASH_SEED={SEED}): {error}"
    assert any(future.result() for future in futures.values()), "no kill met a living process"
