"""How a run stands after it was driven."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from durum.cli.outcome import Outcome
from durum.cli.verb import ExitCode, Session
from durum.core.events import RunStatus

if TYPE_CHECKING:
    from durum.core.canonical import JsonObject

RUN = "01890a5d-ac96-774b-bcce-b302099a8057"


def summary(status: str, **more: str) -> JsonObject:
    """Make a summary such as the service gives."""
    return {
        "run_id": RUN,
        "status": status,
        "head_hash": "ab" * 32,
        "final_snapshot_id": None,
        "error": None,
        "paused": None,
        "paused_effect": None,
        "states": {"completed": 1, "pending": 2},
        "started_ms": 1000,
        "updated_ms": 2500,
        **more,
    }


CODES = {
    RunStatus.COMPLETED: ExitCode.OK,
    RunStatus.FAILED: ExitCode.FAILED,
    RunStatus.CANCELLED: ExitCode.FAILED,
    RunStatus.COMPENSATED: ExitCode.FAILED,
    RunStatus.PARTIALLY_COMPENSATED: ExitCode.FAILED,
    RunStatus.PENDING: ExitCode.PARKED,
    RunStatus.RUNNING: ExitCode.PARKED,
    RunStatus.WAITING: ExitCode.PARKED,
    RunStatus.PAUSED: ExitCode.PARKED,
    RunStatus.INTERRUPTED: ExitCode.PARKED,
}


@pytest.mark.parametrize("status", RunStatus)
def test_every_status_has_an_exit_code(status: RunStatus) -> None:
    """Over and well, over and not well, not over."""
    assert Outcome(Session(), summary(status.value), None).code is CODES[status]


def test_a_paused_run_says_what_it_waits_for(capsys: pytest.CaptureFixture[str]) -> None:
    """And how to go on."""
    Outcome(Session(), summary("paused", paused="effect pay:\ndid it happen?", paused_effect="pay"), "flow.py").print()
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "paused, 1 of 3 states completed"
    assert "  waits for effect pay: did it happen?" in said
    assert f"  repeat it durum resume {RUN} --with flow.py --repeat pay" in said
    Outcome(Session(), summary("waiting"), "flow.py").print()
    assert f"  resume   durum resume {RUN} --with flow.py" in capsys.readouterr().out.splitlines()


def test_a_run_in_another_process_can_be_followed(capsys: pytest.CaptureFixture[str]) -> None:
    """It cannot be resumed while it runs."""
    Outcome(Session(), summary("running"), "flow.py").print()
    said = capsys.readouterr().out
    assert said.startswith("running in another process, 1 of 3 states completed\n")
    assert f"durum events {RUN} --follow" in said
    assert "durum resume" not in said
    Outcome(Session(json=True), summary("running"), "flow.py").print()
    assert '"resume"' not in capsys.readouterr().out
