"""What to type next for a run that is not over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from durum.app.service import Durum
from durum.cli.next_steps import NextSteps, answer_commands, gates_below, resume_command, root_of
from durum.cli.verb import Session
from durum.errors import NotFoundError

if TYPE_CHECKING:
    from pathlib import Path

    from durum.core.canonical import JsonObject


class Family(Durum):
    """A service that knows a few summaries."""

    def __init__(self, **runs: JsonObject) -> None:
        self._runs = runs

    def show(self, run_id: str) -> JsonObject:
        """Return a run's summary."""
        if run_id not in self._runs:
            raise NotFoundError("run", run_id, "")
        return self._runs[run_id]

    def events(self, run_id: str, from_seq: int = 1) -> list[JsonObject]:
        """Return nothing: which step started a child run is not told here."""
        assert (run_id in self._runs, from_seq) == (True, 1)
        return []

    def artifact(self, artifact_id: str) -> bytes:
        """Return what every gate here asks of the world."""
        assert artifact_id == "ab" * 32
        return b'{"namespace":"bank","request":{"sum":7}}'


def run(
    run_id: str, status: str = "interrupted", *, children: list[str] | None = None, parent: str | None = None
) -> JsonObject:
    """Make a summary; a paused run has a gate."""
    gate: JsonObject = {
        "run_id": run_id,
        "gate": f"{run_id}@3f2a91c0",
        "kind": "unknown_effect",
        "state_id": "wf.charge.i1",
        "subject": "pay",
        "prompt": "did it?",
        "request_id": "ab" * 32,
    }
    gates = [gate] if status == "paused" else []
    return {
        "run_id": run_id,
        "status": status,
        "parent": parent,
        "children": [*(children or ())],
        "gates": [*gates],
        "paused": "did it?" if gates else None,
        "driven": False,
    }


def test_gates_of_children_stand_with_their_parents() -> None:
    """However deep; one that has not begun or is over has none."""
    top, mid, low = (
        run("top", children=["mid", "gone"]),
        run("mid", children=["low", "old"], parent="top"),
        run("low", "paused"),
    )
    family = Family(top=top, mid=mid, low=low, old=run("old", "completed"))
    assert [gate["gate"] for gate in gates_below(family, top)] == ["low@3f2a91c0"]
    assert gates_below(family, {**run("x", "paused"), "status": "cancelled"}) == []


def test_a_child_is_resumed_by_its_first_parent() -> None:
    """Unless that is over or not in this store; then by the last one that is not."""
    mid, low = run("mid", parent="top"), run("low", "paused", parent="mid")
    assert root_of(Family(top=run("top"), mid=mid), low)["run_id"] == "top"
    assert root_of(Family(top=run("top", "cancelled"), mid=mid), low)["run_id"] == "mid"
    assert root_of(Family(mid=mid), low)["run_id"] == "mid"
    assert NextSteps(Session(), Family(top=run("top"), mid=mid), low, "f.py").resume == "durum resume top --with f.py"


def test_a_child_whose_parent_is_driven_is_resumed_later() -> None:
    """What a command would be refused now says when it will not be."""
    low = run("low", "paused", parent="top")
    steps = NextSteps(Session(), Family(top={**run("top"), "driven": True}), low, "f.py")
    assert steps.lines()[-1] == ("when its process has ended", "durum resume top --with f.py")


def test_code_is_named_where_it_is_not_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pyproject.toml that cannot be read configures nothing."""
    monkeypatch.chdir(tmp_path)
    session = Session(store="sqlite:///x.db")
    assert resume_command(session, "r", "f.py") == "durum resume r --with f.py --store sqlite:///x.db"
    assert resume_command(session, "r", None) == "durum resume r --with FILE.py --store sqlite:///x.db"
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text('[tool.durum]\nworkflows = ["f.py"]\n')
    assert resume_command(session, "r", None) == "durum resume r --store sqlite:///x.db"
    assert resume_command(session, "r", "g.py") == "durum resume r --with g.py --store sqlite:///x.db"
    pyproject.write_text("[tool.durum")
    assert resume_command(session, "r", None) == "durum resume r --with FILE.py --store sqlite:///x.db"


def test_a_kind_of_gate_nobody_knows_yet_has_no_commands() -> None:
    """What a later version asks is not answered by guessing."""
    approval: JsonObject = {"run_id": "r", "gate": "g@0", "kind": "approval", "subject": ""}
    assert answer_commands(Session(), [approval]) == [[]]


@pytest.mark.parametrize(("needed_if", "result"), [("happened", " --field result=JSON"), ("", "")])
def test_a_result_that_is_needed_is_a_blank_to_fill(needed_if: str, result: str) -> None:
    """Without it the printed command would be refused; where it is not needed nothing has to be known."""
    field: JsonObject = {"name": "result", "type": "json", "needed_if": needed_if}
    gate: JsonObject = {"run_id": "r", "gate": "g@3f2a91c0", "kind": "unknown_effect", "fields": [field]}
    assert answer_commands(Session(), [gate]) == [
        [
            ("it happened", f"durum answer r g@3f2a91c0 --field happened=true{result}"),
            ("it did not", "durum answer r g@3f2a91c0 --field happened=false"),
        ]
    ]
