"""How a run stands after it was driven."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from durum.app.service import Durum
from durum.cli.outcome import Outcome
from durum.cli.verb import ExitCode, Session
from durum.core.events import RunStatus

if TYPE_CHECKING:
    from durum.core.canonical import JsonObject, JsonValue

RUN = "01890a5d-ac96-774b-bcce-b302099a8057"


class OneRun(Durum):
    """A service of a run without parent and children, whose gates ask a bank."""

    def __init__(self) -> None:
        pass

    def show(self, run_id: str) -> JsonObject:
        """Return that it has no parent."""
        assert run_id == RUN
        return {"parent": None}

    def artifact(self, artifact_id: str) -> bytes:
        """Return what is asked of the bank."""
        assert artifact_id == "ab" * 32
        return b'{"namespace":"bank","request":{"sum":7}}'


def summary(status: str, **more: JsonValue) -> JsonObject:
    """Make a summary such as the service gives."""
    return {
        "run_id": RUN,
        "status": status,
        "head_hash": "ab" * 32,
        "final_snapshot_id": None,
        "error": None,
        "paused": None,
        "gates": [],
        "children": [],
        "parent": None,
        "driven": False,
        "states": {"completed": 1, "pending": 2},
        "started_ms": 1000,
        "updated_ms": 2500,
        **more,
    }


def outcome(given: JsonObject, *, json: bool = False) -> Outcome:
    """Make the outcome of a run of flow.py."""
    return Outcome(Session(json=json), OneRun(), given, "flow.py")


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
    assert outcome(summary(status.value)).code is CODES[status]


GATE: JsonObject = {
    "run_id": RUN,
    "gate": "pay@3f2a91c0",
    "kind": "unknown_effect",
    "state_id": "wf.charge.i1",
    "subject": "pay",
    "prompt": "effect pay: did it\nhappen?",
    "request_id": "ab" * 32,
}


def test_a_gate_is_told_with_both_answers(capsys: pytest.CaptureFixture[str]) -> None:
    """And with the way on behind them."""
    outcome(summary("paused", paused=GATE["prompt"], gates=[GATE])).print()
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "paused, 1 of 3 states completed"
    assert [line.strip() for line in said[1:]] == [
        'waits for   charge[1]: bank {"sum":7}; did it happen?; gate pay@3f2a91c0; effect pay',
        f"it happened durum answer {RUN} pay@3f2a91c0 --field happened=true",
        f"it did not  durum answer {RUN} pay@3f2a91c0 --field happened=false",
        f"then resume durum resume {RUN} --with flow.py",
        f"look        durum show {RUN}",
    ]


def test_many_gates_are_listed_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the list is, is said."""
    outcome(summary("paused", paused="; ".join([str(GATE["prompt"])] * 5), gates=[GATE] * 5)).print()
    said = capsys.readouterr().out
    assert said.count("--field happened=true") == 3
    assert f"durum gates {RUN}\n" in said


def test_a_paused_run_says_who_paused_it(capsys: pytest.CaptureFixture[str]) -> None:
    """And how to go on."""
    outcome(summary("paused", paused="paused by anna: lunch")).print()
    said = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert "waits for paused by anna: lunch" in said
    assert f"resume    durum resume {RUN} --with flow.py" in said


def test_a_run_in_another_process_can_be_followed(capsys: pytest.CaptureFixture[str]) -> None:
    """It cannot be resumed while it runs."""
    outcome(summary("running", driven=True)).print()
    said = capsys.readouterr().out
    assert said.startswith("running in another process, 1 of 3 states completed\n")
    assert f"durum events {RUN} --follow" in said
    assert "durum resume" not in said
    outcome(summary("running", driven=True), json=True).print()
    assert '"resume"' not in capsys.readouterr().out


def test_json_carries_the_way_on(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever reads stderr sees the answers too."""
    outcome(summary("paused", paused=GATE["prompt"], gates=[GATE]), json=True).print()
    data, notes = capsys.readouterr()
    assert f'"resume":"durum resume {RUN} --with flow.py"' in data
    assert f"it did not: durum answer {RUN} pay@3f2a91c0 --field happened=false\n" in notes
