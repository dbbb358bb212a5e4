"""Killed in the middle of an effect nobody may repeat: exactly one line, or a run that asks; never two lines."""

from __future__ import annotations

import os
import random
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import durum
from tests.crash.driving import Place, ended, killed

ACTING = Path(__file__).parent.parent / "workflows" / "acting.py"
SEED = int(os.environ.get("DURUM_CRASH_SEED", "0"))
KILLS = 8
KEYS = {"lines": "acting.line.main", "bodies": "acting.body.main"}


def lines(place: Place, name: str) -> int:
    """Return how often an effect was seen outside."""
    file = place.folder / name
    return len(file.read_text().splitlines()) if file.exists() else 0


def kill_within(place: Place, seed: int) -> str:
    """Kill a run some time after an effect was intended, resume it until it rests, and return its status then."""
    chance = random.Random(seed)
    process = place.drive("start")
    place.wait_for(process, "effect.intended")
    time.sleep(chance.uniform(0, 0.25))
    killed(process)
    time.sleep(0.2)  # what the effect's own process still does, it does now
    status = ""
    for answered in range(3):
        done = {name: lines(place, name) for name in KEYS}
        code, said = ended(place.drive("resume"))
        assert code == 0, said
        with durum.open(place.url) as service:
            status = str(service.show(place.run_id)["status"])
            assert service.verify(place.run_id).first_bad is None
            paused = [dict(row["event"]) for row in map(dict, service.events(place.run_id)) if row["event"]["kind"] == "run.paused"]
            if status != "paused":
                assert service.replay(place.run_id, "reproduce", str(ACTING)).divergence is None
                return status
            assert paused[-1]["reason"] == "effect_unknown"
            assert paused[-1]["effect_key"] in {f"{place.run_id}/{state}" for state in KEYS.values()}
            blocked = next(name for name, state in KEYS.items() if paused[-1]["effect_key"].endswith(state))
            assert lines(place, blocked) == done[blocked] <= 1, "the effect was repeated without being asked for"
            assert answered < len(KEYS)
            (place.folder / blocked).unlink(missing_ok=True)  # a person undoes what there is, and lets it be tried again
            os.chdir(place.folder)
            service.resume(place.run_id, str(ACTING), repeat=paused[-1]["effect_key"])
    return status
