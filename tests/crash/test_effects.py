"""Killed in the middle of an effect nobody may repeat: exactly one line, or a run that asks; never two lines."""

from __future__ import annotations

import os
import random
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

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


def shown(place: Place) -> dict[str, Any]:
    """Return a run's summary, once its record was checked."""
    with durum.open(place.url) as service:
        assert service.verify(place.run_id).first_bad is None
        assert service.replay(place.run_id, "reproduce", str(ACTING)).divergence is None
        return dict(service.show(place.run_id))


def asked_for(place: Place) -> str:
    """Return the key of the effect a paused run asks about."""
    with durum.open(place.url) as service:
        rows: list[dict[str, Any]] = [dict(row) for row in service.events(place.run_id)]
    paused = rows[-1]["event"]
    assert (paused["kind"], paused["reason"]) == ("run.paused", "effect_unknown")
    return str(paused["effect_key"])


def resume(place: Place, repeat: str = "") -> dict[str, Any]:
    """Drive a run on until it rests."""
    code, said = ended(place.drive("resume", repeat))
    assert code == 0, said
    return shown(place)


def kill_and_ask(place: Place, seed: int) -> str:
    """Kill a run some time after an effect was intended and resume it; return which effect it asked about, if it did."""
    process = place.drive("start")
    place.wait_for(process, "effect.intended")
    time.sleep(random.Random(seed).uniform(0, 0.25))
    killed(process)
    time.sleep(0.2)  # what the effect's own process still does, it does now
    before = {name: lines(place, name) for name in KEYS}
    if resume(place)["status"] == "completed":
        assert {name: lines(place, name) for name in KEYS} == {"lines": 1, "bodies": 1}
        return ""
    key = asked_for(place)
    blocked = next(name for name, state in KEYS.items() if key == f"{place.run_id}/{state}")
    assert lines(place, blocked) == before[blocked] <= 1
    assert resume(place)["status"] == "paused", "asking again is no answer"
    assert lines(place, blocked) == before[blocked]
    (place.folder / blocked).unlink(missing_ok=True)  # a person looks, undoes what there is, and lets it be tried again
    assert resume(place, key)["status"] == "completed"
    assert {name: lines(place, name) for name in KEYS} == {"lines": 1, "bodies": 1}
    return blocked


def test_an_effect_that_was_cut_short_is_asked_about(tmp_path: Path) -> None:
    """Every run ends with one line of each effect, or pauses with ``effect_unknown`` and does nothing until told."""
    places = []
    for number in range(KILLS):
        (tmp_path / str(number)).mkdir()
        places.append(Place(tmp_path / "durum.db", tmp_path / str(number), ACTING, str(uuid.uuid4())))
    with ThreadPoolExecutor(2) as both:
        futures = [both.submit(kill_and_ask, place, SEED * 1_000 + number) for number, place in enumerate(places)]
    asked = []
    for number, future in enumerate(futures):
        error = future.exception()
        assert error is None, f"seed {SEED * 1_000 + number} (DURUM_CRASH_SEED={SEED}): {error!r}"
        asked.append(future.result())
    assert any(asked), "no kill met an effect under way"
