"""Real ``kill -9`` among a thousand items: what was done is not done again, and the run ends as if nothing had happened."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import durum
from tests.crash import driving
from tests.crash.driving import Place, ended

if TYPE_CHECKING:
    from collections.abc import Mapping

ITEMS = Path(__file__).parent.parent / "workflows" / "items.py"
AT_A_TIME = 8


def place_in(folder: Path) -> Place:
    """Return a place for a run of the thousand items."""
    folder.mkdir()
    return Place(folder / "durum.db", folder, ITEMS, str(uuid.uuid4()))


def executed(place: Place, step: str) -> Counter[int]:
    """Return index -> how often an item of a step was executed, as the files it left behind say."""
    file = place.folder / step
    return Counter(map(int, file.read_text(encoding="utf-8").split())) if file.exists() else Counter()


def done(place: Place, step: str) -> set[int]:
    """Return which items of a step are recorded as completed."""
    with durum.open(place.url) as service:
        rows = service.states(place.run_id)
    start = f"items.{step}.i"
    return {
        int(str(row["state_id"]).removeprefix(start)) for row in rows if row["snapshot_id"] and start in str(row["state_id"])
    }


def checked(place: Place, uncrashed: dict[str, Any]) -> None:
    """Check that a run ended as one that nobody killed, and that its record is whole and repeatable without a call."""
    with durum.open(place.url) as service:
        summary = dict(service.show(place.run_id))
        assert (summary["status"], summary["error"]) == ("completed", None)
        assert service.verify(place.run_id).first_bad is None
        replayed = service.replay(place.run_id, "reproduce", str(place.target))
        assert (replayed.divergence, replayed.live_calls) == (None, 0)
        assert replayed.final_snapshot_id == summary["final_snapshot_id"]
    for field in ("final_snapshot_id", "semantic_digest"):
        assert summary[field] == uncrashed[field]


def uncrashed(inputs: Mapping[str, object], folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the summary of a run nobody killed, in memory; every item of it is executed once."""
    folder.mkdir()
    monkeypatch.chdir(folder)
    with durum.open("memory://") as service:
        summary = dict(service.start(str(ITEMS), inputs))
    place = Place(folder, folder, ITEMS, "")
    assert executed(place, "one_by_one") == Counter(range(int(str(inputs["count"]))))
    assert executed(place, "together") == Counter(range(int(str(inputs["few"]))))
    return summary


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand commits take their time where others are at work."""
    monkeypatch.setattr(driving, "PATIENCE_SECONDS", 300)


def test_killed_at_item_700_of_1000_it_goes_on_at_item_700(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The items before it are recorded as done and never executed again; item 700 is, for its attempt had no end."""
    inputs = {"count": 1_000, "few": 3}
    place = place_in(tmp_path / "run")
    (place.folder / "deadly").write_text("one_by_one 700", encoding="utf-8")
    code, _ = ended(place.drive("start", json.dumps(inputs)))
    assert code == -9
    assert (executed(place, "one_by_one"), done(place, "one_by_one")) == (Counter(range(701)), set(range(700)))
    code, said = ended(place.drive("resume"))
    assert code == 0, said
    assert executed(place, "one_by_one") == Counter([*range(1_000), 700])
    assert executed(place, "together") == Counter(range(3))
    checked(place, uncrashed(inputs, tmp_path / "uncrashed", monkeypatch))


@pytest.mark.parametrize("deadly", [0, 7, 31, 99])
def test_killed_with_eight_items_under_way_only_those_are_executed_again(
    deadly: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was recorded as done is executed once in all, and at most eight items twice, the deadly one among them."""
    inputs = {"count": 2, "few": 100}
    place = place_in(tmp_path / "run")
    (place.folder / "deadly").write_text(f"together {deadly}", encoding="utf-8")
    code, _ = ended(place.drive("start", json.dumps(inputs)))
    assert code == -9
    before = done(place, "together")
    assert len(before) >= deadly - AT_A_TIME
    code, said = ended(place.drive("resume"))
    assert code == 0, said
    again = executed(place, "together") - Counter(range(100))
    assert deadly in again
    assert not before & set(again)
    assert (set(again.values()), again.total() <= AT_A_TIME) == ({1}, True)
    assert executed(place, "one_by_one") == Counter(range(2))
    checked(place, uncrashed(inputs, tmp_path / "uncrashed", monkeypatch))
