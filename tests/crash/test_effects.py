"""Killed in the middle of an effect nobody may repeat: exactly one line, or a run that asks; never two lines."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import durum
from tests.crash.driving import Place, ended, killed
from tests.examples.repositories import known_history

NOTES = Path(__file__).parent.parent.parent / "examples" / "release_notes.py"
ACTING = Path(__file__).parent.parent / "workflows" / "acting.py"
SEED = int(os.environ.get("DURUM_CRASH_SEED", "0"))
KILLS = 8
KEYS = {"lines": "acting.line.main", "bodies": "acting.body.main"}
RESULTS = {"lines": {"exit_code": 0, "stdout": {"text": "done\n"}}, "bodies": "ready\ndone\n"}


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
    """Return the key of the effect a run asks about."""
    with durum.open(place.url) as service:
        (gate,) = service.gates(place.run_id)
    assert gate["kind"] == "unknown_effect"
    return str(gate["subject"])


def answer(place: Place, fields: dict[str, object]) -> None:
    """Say what became of the effect a run asks about, knowing nothing of its code."""
    with durum.open(place.url) as service:
        (gate,) = service.gates(place.run_id)
        service.answer(place.run_id, str(gate["gate"]), fields, actor="test")


def resume(place: Place) -> dict[str, Any]:
    """Drive a run on until it rests."""
    code, said = ended(place.drive("resume"))
    assert code == 0, said
    return shown(place)


def kill_and_ask(place: Place, seed: int) -> str:
    """Kill a run some time after an effect was intended and resume it; return which effect it asked about, if it did."""
    chance = random.Random(seed)
    process = place.drive("start")
    place.wait_for(process, "effect.intended")
    time.sleep(chance.uniform(0, 0.25))
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
    if before[blocked] and chance.random() < 0.5:  # a person looks: it is there
        answer(place, {"happened": True, "result": RESULTS[blocked]})
    else:  # undoes what there is, and lets it be done again
        (place.folder / blocked).unlink(missing_ok=True)
        answer(place, {"happened": False})
    if chance.random() < 0.5:  # an answer survives whoever was to act on it
        killed(place.drive("resume"))
        time.sleep(0.2)
    after = resume(place)
    if after["status"] == "paused":  # killed in the middle of it once more
        answer(place, {"happened": True, "result": RESULTS[blocked]} if lines(place, blocked) else {"happened": False})
        after = resume(place)
    assert after["status"] == "completed"
    assert {name: lines(place, name) for name in KEYS} == {"lines": 1, "bodies": 1}
    return blocked


def test_an_effect_that_was_cut_short_is_asked_about(tmp_path: Path) -> None:
    """Every run ends with one line of each effect, or asks and does nothing until it is told."""
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


# The file is written, and the process dies before anybody has heard of it.
AFTER_THE_WRITE = """
import os, signal, sys
import durum
from durum.transports.file import FileTransport

written = FileTransport.call

async def call(self, request, handle):
    result = await written(self, request, handle)
    if request["op"] == "write":
        os.kill(os.getpid(), signal.SIGKILL)
    return result

FileTransport.call = call
url, run_id, target, repo, out = sys.argv[1:]
with durum.open(url) as service:
    service.start(target, {"repo": repo, "out": out}, run_id=run_id)
"""


@pytest.mark.parametrize("happened", [True, False])
def test_the_example_killed_between_its_file_and_the_record_asks(happened: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """Resumed, it does not write again but asks; ``happened`` true ends it as it is, false has the file written once more."""
    known_history(tmp_path / "repo")
    out, url, run_id = tmp_path / "notes.md", f"sqlite:///{tmp_path}/durum.db", str(uuid.uuid4())
    command = [sys.executable, "-c", AFTER_THE_WRITE, url, run_id, str(NOTES), str(tmp_path / "repo"), str(out)]
    assert subprocess.run(command, check=False, timeout=60).returncode == -signal.SIGKILL
    notes = out.read_text()
    out.write_text("what a person made of it")
    with durum.open(url) as service:
        for _ in range(2):
            assert service.resume(run_id, str(NOTES))["status"] == "paused"
        (gate,) = service.gates(run_id)
        assert gate["subject"] == f"{run_id}/notes"
        service.answer(run_id, str(gate["gate"]), {"happened": happened}, actor="test")
        assert service.resume(run_id, str(NOTES))["status"] == "completed"
        assert service.verify(run_id).first_bad is None
        replayed = service.replay(run_id, "reproduce", str(NOTES))
        assert (replayed.divergence, replayed.live_calls) == (None, 0)
    assert out.read_text() == ("what a person made of it" if happened else notes)
