"""A recorded run executed again from its record: alike in a process that can reach nothing, told apart from other code."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import durum
from durum import RunConfig, StepError, Workflow
from durum.core.config import FixedBackoff, RetryPolicy
from tests.engine.runs import run
from tests.engine.states import plan_of, reads, writes
from tests.history.edits import ALTERING, KEEPING, SOURCE, Edit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SYNTHETIC = SOURCE.with_name("synthetic.py")
RUN = "00000000-0000-7000-8000-0000000ed17e"
REPLAY = """
import json, sys
import durum

url, run_id, target = sys.argv[1:]
with durum.open(url, create=False) as service:
    result = service.replay(run_id, "reproduce", target).to_json()
heavy = ("httpx", "httpcore", "durum.transports", "pydantic_ai")
print(json.dumps({**result, "loaded": [name for name in sys.modules if name.startswith(heavy)]}))
"""
RECORD = """
import sys
import durum

url, run_id, target = sys.argv[1:]
with durum.open(url) as service:
    service.start(target, {"tone": "calm"}, run_id=run_id)
"""


@pytest.fixture(autouse=True)
def _loads_leave_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A workflow's folder goes onto the path when it is loaded; that ends with the test."""
    monkeypatch.setattr(sys, "path", [*sys.path])


def isolated() -> list[str]:
    """Return the command that cuts a process off the network, empty where the machine has none that works."""
    command = ["unshare", "--user", "--map-root-user", "--net"]
    found = shutil.which(command[0])
    works = found and subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
    return [str(found), *command[1:]] if works else []


def in_a_new_process(script: str, url: str, target: Path, run_id: str = RUN, **env: str) -> dict[str, Any]:
    """Run a script in a process with an empty environment, PATH included, and no network; return what it prints."""
    nothing = {"PATH": "", **env}
    command = [*isolated(), sys.executable, "-c", script, url, run_id, str(target)]
    done = subprocess.run(command, env=nothing, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    printed: dict[str, Any] = json.loads(done.stdout or "{}")
    return printed


def test_a_process_that_can_reach_nothing_reproduces_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PATH, network, environment or the folder it worked in: the same final snapshot, no transport, no live call."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    url = f"sqlite:///{tmp_path / 'durum.db'}"
    with durum.open(url) as service:
        summary = service.start(str(SYNTHETIC), run_id=RUN)
        assert (summary["status"], len(service.facts(RUN)) > 40) == ("completed", True)
    monkeypatch.chdir(tmp_path)
    shutil.rmtree(tmp_path / "work")
    result = in_a_new_process(REPLAY, url, SYNTHETIC)
    assert (result["result"], result["live_calls"], result["divergence"]) == ("same", 0, None)
    assert (result["final_snapshot_id"], result["loaded"]) == (summary["final_snapshot_id"], [])
    assert result["attempts"] >= 33


def test_an_order_that_depends_on_the_process_is_found_in_another_process(tmp_path: Path) -> None:
    """A set made a list is the same under one hash seed and another list under the next."""
    edit = next(edit for edit in ALTERING if edit.name == "unordered set")
    target = tmp_path / "edited.py"
    target.write_text(edit.apply(SOURCE.read_text()))
    url = f"sqlite:///{tmp_path / 'durum.db'}"
    in_a_new_process(RECORD, url, target, PYTHONHASHSEED="1")
    assert in_a_new_process(REPLAY, url, target, PYTHONHASHSEED="1")["result"] == "same"
    other = in_a_new_process(REPLAY, url, target, PYTHONHASHSEED="2")
    assert (other["result"], other["divergence"]["state_id"]) == ("diverged", "edited.unique.main")
    assert other["divergence"]["code_changed"] is False


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[durum.Durum]:
    """Return a store with one run of the text as it stands."""
    with durum.open(f"sqlite:///{tmp_path_factory.mktemp('recorded') / 'durum.db'}") as service:
        at_once = RunConfig(retry_policy=RetryPolicy(2, FixedBackoff(0), 0.0))
        summary = service.start(str(SOURCE), {"tone": "calm"}, run_id=RUN, config=at_once)
        assert summary["status"] == "completed", summary["error"]
        yield service


def replayed(service: durum.Durum, edit: Edit, folder: Path) -> dict[str, Any]:
    """Return what replaying the run with the edited text comes to."""
    target = folder / "edited.py"
    target.write_text(edit.apply(SOURCE.read_text()))
    compile(target.read_text(), str(target), "exec")
    return dict(service.replay(RUN, "reproduce", str(target)).to_json())


@pytest.mark.parametrize("edit", ALTERING, ids=lambda edit: edit.name)
def test_a_change_that_alters_something_diverges(edit: Edit, recorded: durum.Durum, tmp_path: Path) -> None:
    """The report names the state, says what differs, and that the step's code is another; the log is left alone."""
    before = len(recorded.events(RUN))
    result = replayed(recorded, edit, tmp_path)
    assert (result["result"], result["live_calls"]) == ("diverged", 0)
    divergence = result["divergence"]
    assert (divergence["state_id"], divergence["what"]) == (f"edited.{edit.state}.main", edit.what), divergence["message"]
    assert divergence["state_id"] in divergence["message"]
    expected = None if edit.what == "plan" else "writes=" not in edit.new  # a declaration is no code
    assert divergence["code_changed"] is expected
    assert len(recorded.events(RUN)) == before


@pytest.mark.parametrize("edit", KEEPING, ids=lambda edit: edit.name)
def test_a_change_that_alters_nothing_does_not(edit: Edit, recorded: durum.Durum, tmp_path: Path) -> None:
    """Replay is the judge, not the text: the same final snapshot, no divergence."""
    result = replayed(recorded, edit, tmp_path)
    assert (result["result"], result["divergence"], result["live_calls"]) == ("same", None, 0)
    assert result["final_snapshot_id"] == recorded.show(RUN)["final_snapshot_id"]


def test_there_are_enough_changes_of_both_kinds() -> None:
    """Every name is used once."""
    assert (len(ALTERING) >= 20, len(KEEPING) >= 20) == (True, True)
    names = [edit.name for edit in (*ALTERING, *KEEPING)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("before", "now"), [(True, 1), (0, False), ([{"a": 1}], [{"a": True}])])
def test_an_event_that_only_python_takes_for_the_same_diverges(before: object, now: object) -> None:
    """In JSON true is no number: the report names both."""
    says = [before]
    flow = durum.Workflow("says")

    @flow.step
    async def one(io: durum.Io) -> None:
        io.emit("said", says[0])

    with durum.open("memory://") as service:
        service.start(flow, run_id=RUN)
        assert service.replay(RUN, "reproduce", flow).divergence is None
        says[0] = now
        found = service.replay(RUN, "reproduce", flow).divergence
    assert found is not None
    assert found.what == "events"
    assert found.diff


def told(recorded: str, now: str) -> bool:
    """Tell whether replay takes what a step raises now for what the record says it raised."""
    flow = Workflow("telling")
    said = [recorded, now]

    @flow.step
    def step() -> None:
        raise StepError(said.pop(0))

    ran = run(flow)
    divergence = ran.service.replay(ran.id, "reproduce", flow).divergence
    assert divergence is None or divergence.what == "outcome"
    return divergence is None


@pytest.mark.parametrize(
    ("recorded", "now", "same"),
    [
        ("no [secret A] here", "no value here", True),
        ("no [secret A] here", "no [secret A] here", True),
        ("[secret A] and [secret file:/b] end", "1 and 2 and 3 end", True),
        ("[secret A][secret B]", "", True),
        ("no [secret A] here", "no value there", False),
        ("no [secret A] here", "na value here", False),
        ("a [secret A] b [secret B] c", "a 1 2 c", False),
        ("ab[secret A]ba", "aba", False),
        ("no [secret] here", "no value here", False),
        ("no value here", "no [secret A] here", False),
        ("x" * 3990 + "[secret NAME]", "x" * 3990 + "value", True),
        ("x" * 3995 + "[secret NAME]", "x" * 3995 + "value", True),
        ("[secret A]" + "x" * 5000, "y" + "x" * 5000, True),
        ("[secret A] b [secret B]" + "x" * 5000, "1 c 2" + "x" * 5000, False),
    ],
    ids=range(14),
)
def test_where_a_message_names_a_secret_replay_goes_by_the_text_around(recorded: str, now: str, same: bool) -> None:  # noqa: FBT001
    """The value is not there to be replaced, and all else counts, but for the end of a text that was cut."""
    assert told(recorded, now) is same


@pytest.mark.parametrize(("many", "others"), [(1, 0), (1, 1), (40, 0), (40, 60)])
def test_a_write_that_changes_nothing_is_told_from_none_and_from_others(many: int, others: int) -> None:
    """The snapshot is the same either way; whether a branch wrote a key decides what a join makes of it. 40 are an artifact."""
    held = {f"key{number:02}": number for number in range(80)}
    before, now = [*held][:many], [*held][80 - others :]
    ran = run(plan_of({"again": writes(**{key: held[key] for key in before})}), held)
    ran.sound()
    divergence = ran.service.replay(
        ran.id, "reproduce", plan_of({"again": writes(**{key: held[key] for key in now})})
    ).divergence
    assert divergence is not None
    assert (divergence.what, divergence.message) == ("writes", "p.again.main attempt 1: it writes other keys to the same end")
    assert divergence.expected == {key: ["set", [held[key]]] for key in before if key not in now}
    assert divergence.got == {key: ["set", [held[key]]] for key in now if key not in before}
    assert divergence.diff


def test_another_contribution_to_the_same_end_is_told() -> None:
    """The largest of all stays what it is; among others it would make a difference."""
    ran = run(plan_of({"adds": writes(most=1)}, merges={"most": "max"}), {"most": 9})
    ran.sound()
    divergence = ran.service.replay(ran.id, "reproduce", plan_of({"adds": writes(most=2)}, merges={"most": "max"})).divergence
    assert divergence is not None
    assert divergence.message == "p.adds.main attempt 1: it contributes something else to the same end"
    assert (divergence.expected, divergence.got) == ({"most": ["reduce", [1]]}, {"most": ["reduce", [2]]})
    assert divergence.diff == [{"path": "$.most[1][0]", "expected": 1, "got": 2}]


@pytest.mark.parametrize("many", [10, 40])
def test_other_keys_read_are_told(many: int) -> None:
    """Though the same comes of them; 40 are an artifact."""
    held = {f"key{number:02}": 0 for number in range(80)}
    before, now = [*held][:many], [*held][5 : many + 3]
    ran = run(plan_of({"looks": reads(*before)}), held)
    ran.sound()
    divergence = ran.service.replay(ran.id, "reproduce", plan_of({"looks": reads(*now)})).divergence
    assert divergence is not None
    assert (divergence.what, divergence.message) == ("writes", "p.looks.main attempt 1: it reads other keys")
    assert (divergence.expected, divergence.got) == (before[:5], now[-3:])
    assert divergence.diff
