"""A family of runs killed with ``kill -9``: whatever the moment, all of it ends as one that nobody killed."""

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
from durum.engine.attempts import child_run_id
from tests.crash.driving import Place, ended, killed

FAMILY = Path(__file__).parent.parent / "workflows" / "family.py"
SEED = int(os.environ.get("DURUM_CRASH_SEED", "0"))
KILLED, ITEMS = 12, 3
RUN_SECONDS = 0.5
ANSWER = {"exit_code": 0, "stdout": {"text": ""}, "stderr": {"text": ""}}
INPUTS = f'{{"n": {ITEMS}}}'


def place_in(folder: Path, target: str = "flow") -> Place:
    """Return a place for a family in a folder of its own, in the store beside it."""
    folder.mkdir()
    return Place(folder.parent / "durum.db", folder, Path(f"{FAMILY}:{target}"), str(uuid.uuid4()))


def family(place: Place) -> list[tuple[str, str]]:
    """Return path and id of every run of the family, parents first."""
    found = [("family", place.run_id)]
    for item in range(ITEMS):
        middle = child_run_id(place.run_id, f"family.spread.i{item}__spawn")
        found += [(f"middle {item}", middle), (f"deepest {item}", child_run_id(middle, "middle.below.spawn"))]
    return found


def meaning(place: Place) -> dict[str, tuple[object, ...]]:
    """Return what each run of the family came to, and check that its record is whole and nothing in it was done twice."""
    found: dict[str, tuple[object, ...]] = {}
    with durum.open(place.url) as service:
        for name, run_id in family(place):
            summary = service.show(run_id)
            assert service.verify(run_id).first_bad is None
            assert service.replay(run_id, "verify").divergence is None
            events: list[Any] = [row["event"] for row in service.events(run_id)]
            for kind, field in (("state.completed", "state_id"), ("child.completed", "child_run_id"), ("fact.recorded", "key")):
                seen = [event[field] for event in events if event["kind"] == kind]
                assert len(seen) == len(set(seen)), (name, kind, seen)
            found[name] = (summary["status"], summary["final_snapshot_id"], summary["semantic_digest"])
    return found


@pytest.fixture(scope="module")
def uncrashed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[object, ...]]:
    """Return what a family that nobody killed came to, without the digests, for each draws its own random bytes."""
    place = place_in(tmp_path_factory.mktemp("uncrashed") / "run")
    code, said = ended(place.drive("start", INPUTS))
    assert code == 0, said
    return meaning(place)


def check(seed: int, place: Place, uncrashed: dict[str, tuple[object, ...]]) -> int:
    """Kill a family up to three times at moments drawn from a seed, and hold it against the other; return the hits."""
    chance = random.Random(seed)
    process = place.drive("start", INPUTS)
    place.wait_for(process)
    hits = 0
    for _ in range(chance.choice([1, 2, 3])):
        time.sleep(chance.uniform(0, RUN_SECONDS))
        killed(process)
        hits += process.returncode < 0
        left = len(place.log())
        process = place.drive("resume")
        place.wait_for(process, after=left)
    code, said = ended(process)
    assert code == 0, said
    found = meaning(place)
    assert {name: what[:2] for name, what in found.items()} == {name: what[:2] for name, what in uncrashed.items()}
    above = {name: what for name, what in found.items() if not name.startswith("deepest")}
    assert above == {name: uncrashed[name] for name in above}
    assert sorted(file.name for file in (place.folder / "told").iterdir()) == ["1", "11", "21"]
    with durum.open(place.url) as service:
        again = service.replay(place.run_id, "reproduce", str(place.target))
    assert (again.divergence, again.live_calls) == (None, 0)
    return hits


def test_a_family_killed_at_any_moment_ends_as_if_nothing_had_happened(
    tmp_path: Path, uncrashed: dict[str, tuple[object, ...]]
) -> None:
    """Parent, children and grandchildren: same ids, final snapshots and digests, nothing recorded done again."""
    seeds = [SEED * 1_000 + number for number in range(KILLED)]
    with ThreadPoolExecutor(2) as both:
        futures = {seed: both.submit(check, seed, place_in(tmp_path / str(seed)), uncrashed) for seed in seeds}
    for seed, future in futures.items():
        error = future.exception()
        assert error is None, f"seed {seed} (DURUM_CRASH_SEED={SEED}): {error!r}"
    assert any(future.result() for future in futures.values()), "no kill met a living process"


def test_a_child_killed_in_an_effect_asks_and_its_parent_waits(tmp_path: Path) -> None:
    """Resumed, the parent parks as paused; the gate stands under the child; answered, resuming the parent ends both."""
    place = place_in(tmp_path / "run", "parked")
    child = child_run_id(place.run_id, "parked.asked.spawn")
    process = place.drive("start")
    Place(place.store, place.folder, place.target, child).wait_for(process, "effect.intended")
    while not (place.folder / "acts").exists():
        time.sleep(0.01)
    killed(process)
    with durum.open(place.url) as service:
        assert (service.show(place.run_id)["status"], service.show(child)["status"]) == ("interrupted", "interrupted")
    code, said = ended(place.drive("resume"))
    assert code == 0, said
    with durum.open(place.url) as service:
        (gate,) = service.gates()
        assert gate["run_id"] == child
        assert (service.show(place.run_id)["status"], service.show(child)["status"]) == ("paused", "paused")
        service.answer(child, str(gate["gate"]), {"happened": True, "result": ANSWER})
        summary = service.resume(place.run_id, str(place.target))
        assert summary["status"] == "completed", summary["error"]
        assert service.show(child)["status"] == "completed"
    assert (place.folder / "acts").read_text() == "x\n"


def test_a_child_that_another_process_drives_is_waited_for_and_taken_over_when_that_is_killed(tmp_path: Path) -> None:
    """A parent resumed meanwhile does not park; it ends with the child, whoever drives it to its end."""
    place = place_in(tmp_path / "run", "patient")
    kid = Place(place.store, place.folder, Path(f"{FAMILY}:lasting"), child_run_id(place.run_id, "patient.given.spawn"))
    process = place.drive("start")
    kid.wait_for(process, "state.entered")
    killed(process)
    left = len(kid.log())
    elsewhere = kid.drive("resume")
    kid.wait_for(elsewhere, "state.entered", after=left)
    left = len(kid.log())
    parent = place.drive("resume")
    with durum.open(place.url) as service:
        while not service.show(place.run_id)["driven"]:
            time.sleep(0.005)
    killed(elsewhere)
    kid.wait_for(parent, "state.entered", after=left)
    assert parent.poll() is None
    (place.folder / "free").write_text("")
    code, said = ended(parent)
    assert code == 0, said
    with durum.open(place.url) as service:
        assert service.show(place.run_id)["status"] == "completed"
        assert service.context(place.run_id, "given") == "freed"
        epochs = {row["epoch"] for row in service.events(kid.run_id)}
    assert len(epochs) == 3


def test_a_family_whose_process_was_killed_is_cancelled_by_another(tmp_path: Path) -> None:
    """Nobody drives it and no code is at hand: every log that began ends as cancelled, or had ended before."""
    place = place_in(tmp_path / "run", "parked")
    child = child_run_id(place.run_id, "parked.asked.spawn")
    process = place.drive("start")
    Place(place.store, place.folder, place.target, child).wait_for(process, "effect.intended")
    killed(process)
    with durum.open(place.url) as service:
        service.cancel(place.run_id, actor="ada")
        for run_id in (place.run_id, child):
            last: Any = service.events(run_id)[-1]["event"]
            assert (last["kind"], last["status"]) == ("run.completed", "cancelled")
            assert service.verify(run_id).first_bad is None
