"""A crash test finds what is broken, finds nothing where nothing is, and tidies up."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest

from durum.errors import ConfigError
from durum.testing.crash import CrashReport, crash_test
from durum.testing.crash.judge import COMPARED

FLOWS = Path(__file__).parent / "flows.py"
DOUBLES = "tests.crash.doubles"


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """Give a folder for runs to work in copies of."""
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the place for temporary folders."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path / "temporary"


def crashed(flow: str, empty: Path, *double: str, kills: int = 8, **options: Any) -> CrashReport:
    """Test a workflow of this folder, with whole or broken processes."""
    harness = (DOUBLES, *double) if double else ("durum.testing.crash",)
    return crash_test(f"{FLOWS}:{flow}", kills=kills, scratch=empty, harness=harness, **options)


def kinds(report: CrashReport) -> set[str]:
    """Return what was found."""
    return {fault.kind for fault in report.faults}


# --- where nothing is wrong -------------------------------------------------------------------------------------------


def test_nothing_is_found_where_nothing_is_wrong(empty: Path, temporary: Path) -> None:
    """So many kills; runs that draw something are compared in the rest only; and nothing is left behind."""
    seen: list[tuple[int, int, int]] = []
    report = crashed("sound", empty, seed=3, watch=lambda *done: seen.append(done))
    assert (report.faults, report.kills, report.compared, report.status) == ([], 8, ("status", "error"), "completed")
    assert seen[-1] == (8, 8, 0)
    assert sum(report.met.values()) >= 8
    assert list(temporary.iterdir()) == list(empty.iterdir()) == []
    assert report.kept is None
    assert report.to_json()["result"] == "ok"


def test_stores_are_kept_where_one_wants_them(empty: Path, tmp_path: Path) -> None:
    """All of them, in a folder that must be new or empty."""
    kept = tmp_path / "kept"
    report = crashed("sound", empty, kills=1, keep=kept)
    assert report.kept == str(kept)
    assert len([folder for folder in kept.iterdir() if (folder / "durum.db").exists()]) == report.rounds + 2
    with pytest.raises(ConfigError, match="is not empty"):
        crashed("sound", empty, kills=1, keep=kept)


@pytest.mark.slow
def test_every_boundary_is_met(empty: Path) -> None:
    """Of a run and of one that was interrupted; kills number as many, whatever the boundaries are called."""
    report = crashed("tiny", empty, kills=0, every_boundary=True, jobs=2)
    assert report.faults == []
    assert all(boundary.met for boundary in report.boundaries)
    names = {boundary.crossing.name.partition(" ")[0] for boundary in report.boundaries}
    assert {"claim", "append", "commit", "release", "link"} <= names
    assert {boundary.process for boundary in report.boundaries} == {0, 1}
    assert report.kills >= len(report.boundaries)


# --- where something is -----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("double", "kind"),
    [
        ("early", "lost"),  # a store that acknowledges an append before it is durable
        ("blind", "duplicate"),  # an engine that repeats an effect whose outcome it does not know
        ("hasty", "record"),  # a driver whose snapshot depends on who finishes last
        ("amnesiac", "lost"),  # a store that forgets intents
    ],
)
def test_a_planted_bug_is_found(double: str, kind: str, empty: Path) -> None:
    """And the round it was found in is kept, with the kills before it."""
    report = crashed("sound", empty, double, kills=40)
    assert kind in kinds(report)
    assert not report.ok
    assert report.kept is not None
    assert list(Path(report.kept).glob("*/durum.db"))
    assert all(fault.round for fault in report.faults)


@pytest.mark.slow
def test_a_step_that_remembers_past_its_context_is_found(empty: Path) -> None:
    """A module's own variable dies with its process: a killed run comes to something else."""
    report = crashed("careless", empty, kills=40)
    assert report.compared == COMPARED
    assert kinds(report) & {"replay", "differs"}
    assert all(fault.killed for fault in report.faults)


@pytest.mark.slow
def test_a_receiver_that_answers_otherwise_after_a_crash_is_found(empty: Path) -> None:
    """The record is whole and replays, but undisturbed runs come to something else."""
    report = crashed("counting", empty, kills=40)
    assert (report.compared, kinds(report)) == (COMPARED, {"differs"})
    assert "the run has final_snapshot_id " in report.faults[0].text


@pytest.mark.slow
def test_an_effect_that_nobody_can_answer_for_is_found(empty: Path) -> None:
    """A failure that may have come after the effect: the journal does not guess."""
    report = crashed("dead", empty, kills=40)
    assert kinds(report) == {"unanswered"}
    assert "it failed with line_dead, perhaps after it happened" in report.faults[0].text


def test_a_run_that_cannot_even_run_undisturbed_is_not_killed(empty: Path) -> None:
    """What goes wrong without a kill is told, and nothing else is tried."""
    report = crashed("endless", empty)
    assert (kinds(report), report.rounds) == ({"endless"}, 1)
    assert report.faults[0].round == "undisturbed"


# --- wrong calls ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kills": 0}, "either a number of kills"),
        ({"kills": -1}, "either a number of kills"),
        ({"kills": 1, "every_boundary": True}, "either a number of kills"),
        ({"kills": 1, "jobs": 0}, "at least one job"),
        ({"kills": 1, "scratch": "nowhere"}, "nowhere is no folder"),
        ({"kills": 1, "harness": ["no_such_module"]}, "No module named no_such_module"),
    ],
)
def test_a_wrong_call_is_refused(options: dict[str, Any], said: str, temporary: Path) -> None:
    """In one sentence, and nothing is left behind."""
    with pytest.raises(ConfigError, match=said):
        crash_test(f"{FLOWS}:sound", **options)
    assert list(temporary.iterdir()) == []
