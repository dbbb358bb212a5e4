"""Who drives a run after a crash, and what it still waits for."""

from __future__ import annotations

import uuid
from pathlib import Path

import durum
from tests.crash.driving import Place, ended, killed

SLOW = Path(__file__).parent.parent / "workflows" / "slow.py"


def test_of_two_who_resume_at_once_exactly_one_drives(tmp_path: Path) -> None:
    """The others are told who drives it; the work is done once, under one new epoch."""
    place = Place(tmp_path / "durum.db", tmp_path, Path(f"{SLOW}:long"), str(uuid.uuid4()))
    process = place.drive("start")
    place.wait_for(process, "state.completed")
    killed(process)
    (tmp_path / "driven").unlink(missing_ok=True)

    outcomes = [ended(process) for process in [place.drive("resume") for _ in range(3)]]
    assert {code for code, _ in outcomes} == {0, 3}, outcomes  # a latecomer may find the run over
    assert all(said.startswith("RunOwnedError: ") for code, said in outcomes if code)
    assert (tmp_path / "driven").read_text() == "x\n"
    with durum.open(place.url) as service:
        assert service.show(place.run_id)["status"] == "completed"
        assert service.verify(place.run_id).first_bad is None
        epochs = [int(str(row["epoch"])) for row in service.events(place.run_id)]
    assert epochs == sorted(epochs)
    assert len(set(epochs)) == 2


def test_a_wait_that_was_under_way_is_waited_to_its_end_only(tmp_path: Path) -> None:
    """The moment set before the crash is the moment the next attempt begins; none is set anew."""
    place = Place(tmp_path / "durum.db", tmp_path, Path(f"{SLOW}:waiting"), str(uuid.uuid4()))
    process = place.drive("start")
    place.wait_for(process, "retry.scheduled")
    killed(process)
    before = len(place.log())
    code, said = ended(place.drive("resume"))
    assert code == 0, said
    with durum.open(place.url) as service:
        rows = [dict(row) for row in service.events(place.run_id)]
        status = service.show(place.run_id)["status"]
    kinds = [dict(row["event"])["kind"] for row in rows]  # type: ignore[arg-type]
    assert (status, kinds.count("retry.scheduled"), kinds[before - 1 :][:2]) == (
        "completed",
        1,
        ["retry.scheduled", "state.entered"],
    )
    due = dict(rows[before - 1]["event"])["due_ms"]  # type: ignore[arg-type]
    assert isinstance(due, int)
    assert int(str(rows[before]["ts_millis"])) >= due
