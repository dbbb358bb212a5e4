"""Code that was changed under a run: refused, or found by replay with run, event, expected and got, and no effect done."""

from __future__ import annotations

import re
import sqlite3
import sys
from typing import TYPE_CHECKING, Any

import pytest

import durum
from durum import RunConfig
from durum.core.config import FixedBackoff, RetryPolicy
from durum.errors import PlanChangedError
from tests.history.edits import ALTERING, SECOND, SOURCE, Edit

if TYPE_CHECKING:
    from pathlib import Path

RUN = "00000000-0000-7000-8000-0000000ed17f"
JOURNAL = "journal.txt"
REFUSED = {"removed step", "another dependency"}
GROWS = {"added step"}  # it fits the log, and is done

EXTRA = 'io.call("echo", {"say": "three"})'
SENT = '    told = await io.call("echo", {"send": summary["loud"]}, read=False)\n'
HOSTILE = [
    Edit("a swallowed call", SECOND, f"{SECOND}    try:\n        await {EXTRA}\n    except BaseException:\n        pass\n"),
    Edit("a call left behind", SECOND, f"{SECOND}    asyncio.get_running_loop().create_task({EXTRA})\n"),
    Edit("calls side by side", SECOND, f"{SECOND}    await asyncio.gather({EXTRA}, {EXTRA}, return_exceptions=True)\n"),
    Edit(
        "a second effect, swallowed",
        SENT,
        f'{SENT}    try:\n        await io.call("echo", {{"send": 0}}, read=False)\n    except BaseException:\n        pass\n',
        "send",
    ),
    Edit("the effect sent twice", SENT, SENT + SENT, "send"),
    Edit("the effect left out", SENT, "    told = 1\n", "send"),
    Edit("the effect made a read", SENT, SENT.replace("summary", "dict(summary, loud=1)").replace(", read=False", ""), "send"),
]
REFUSED_LIVE_TOO = Edit(
    "a swallowed effect in a step that reads",
    SECOND,
    f"{SECOND}    try:\n        await {EXTRA.replace('})', '}, read=False)')}\n    except BaseException:\n        pass\n",
)
CHANGES = [*ALTERING, *(edit._replace(state=edit.state or "ordered", what="call") for edit in HOSTILE)]


def written(folder: Path, edit: Edit | None = None) -> str:
    """Write the workflow, changed or not, with a transport that leaves a line for every call it gets."""
    text = SOURCE.read_text("utf-8")
    text = text if edit is None else edit.apply(text)
    counting = f"        self.calls += 1\n        with open({str(folder / JOURNAL)!r}, 'a') as file:\n"
    counting += "            file.write(f'{request}\\n')\n"
    text = text.replace("        self.calls += 1\n", counting).replace(
        "from typing import", "import asyncio\nfrom typing import", 1
    )
    target = folder / ("edited.py" if edit is None else "changed.py")
    target.write_text(text, encoding="utf-8")
    return str(target)


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give a store with a run that did everything, its effect too, but was cut off before it was over."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    url = f"sqlite:///{tmp_path / 'durum.db'}"
    at_once = RunConfig(retry_policy=RetryPolicy(2, FixedBackoff(0), 0.0))
    with durum.open(url) as first:
        assert first.start(written(tmp_path), {"tone": "calm"}, run_id=RUN, config=at_once)["status"] == "completed"
    connection = sqlite3.connect(tmp_path / "durum.db")
    with connection:
        connection.execute("DELETE FROM events WHERE position = (SELECT max(position) FROM events)")
        last = connection.execute("SELECT position & 4294967295, hash FROM events ORDER BY position DESC LIMIT 1").fetchone()
        connection.execute("UPDATE runs SET head_seq = ?, head_hash = ?", last)
    connection.close()
    assert (tmp_path / JOURNAL).read_text("utf-8").count("'send'") == 1
    (tmp_path / JOURNAL).unlink()
    with durum.open(url, create=False) as again:
        yield again


def events(service: durum.Durum) -> list[dict[str, Any]]:
    """Return the run's envelopes."""
    return [dict(row) for row in service.events(RUN)]


def found(service: durum.Durum, target: str, edit: Edit) -> None:
    """See a replay tell where the code went another way, and how."""
    told: dict[str, Any] = dict(service.replay(RUN, "reproduce", target).to_json())
    assert (told["result"], told["run_id"], told["live_calls"]) == ("diverged", RUN, 0)
    divergence = told["divergence"]
    assert (divergence["state_id"], divergence["what"]) == (f"edited.{edit.state}.main", edit.what), divergence["message"]
    assert divergence["expected"] != divergence["got"]
    event = next(row["event"] for row in events(service) if row["seq"] == divergence["seq"])
    assert event["kind"] == "run.started" if edit.what == "plan" else event["state_id"] == divergence["state_id"], event


@pytest.mark.parametrize("edit", CHANGES, ids=lambda edit: edit.name)
def test_a_replay_finds_a_planted_change_and_does_nothing(edit: Edit, service: durum.Durum, tmp_path: Path) -> None:
    """Run, event, expected and got are told; no transport is asked, and the log stays as it is."""
    before = service.events(RUN)
    found(service, written(tmp_path, edit), edit)
    assert not (tmp_path / JOURNAL).exists()
    assert service.events(RUN) == before


@pytest.mark.parametrize("edit", CHANGES, ids=lambda edit: edit.name)
def test_a_resume_refuses_a_planted_change_or_leaves_it_to_replay(edit: Edit, service: durum.Durum, tmp_path: Path) -> None:
    """What no longer fits is refused without a write; else the change is on record, no effect is done again, replay tells."""
    before = service.events(RUN)
    target = written(tmp_path, edit)
    if edit.name in REFUSED:
        with pytest.raises(PlanChangedError, match=re.escape(f"edited.{edit.state}.main")):
            service.resume(RUN, target)
        assert service.events(RUN) == before
    else:
        assert service.resume(RUN, target)["status"] == "completed"
        changed = [row["event"] for row in events(service) if row["event"]["kind"] == "code.changed"]
        assert changed[0]["steps"] == [f"edited.{edit.state}.main"] or edit.name == "changed constant"
        if edit.name in GROWS:
            assert service.replay(RUN, "reproduce", target).divergence is None
        else:
            found(service, target, edit)
    assert not (tmp_path / JOURNAL).exists()
    assert service.verify(RUN).first_bad is None


def test_an_effect_that_is_refused_live_is_refused_in_replay(service: durum.Durum, tmp_path: Path) -> None:
    """A step that only reads tries one and swallows the refusal: nothing was done, and nothing comes of it."""
    assert service.replay(RUN, "reproduce", written(tmp_path, REFUSED_LIVE_TOO)).divergence is None
    assert not (tmp_path / JOURNAL).exists()


def test_there_are_enough_changes() -> None:
    """Twenty at least, hostile ones among them, each named once."""
    names = [edit.name for edit in CHANGES]
    assert (len(set(names)), len(names) >= 20, len(HOSTILE) >= 5) == (len(names), True, True)


def counted(length: str) -> durum.Workflow:
    """Return a workflow with a state for each item; ``length`` is the step whose items they are."""
    flow = durum.Workflow("counted")

    @flow.step
    def one() -> list[int]:
        return [1]

    @flow.step
    def two() -> list[int]:
        return [1, 2]

    @flow.step(each=length, after=["one", "two"])
    def seen(item: int) -> int:
        return item

    return flow


def test_a_rule_that_adds_other_states_is_told() -> None:
    """The items of another step: the replay says which rule the record has, and which one the code."""
    with durum.open("memory://") as service:
        service.start(counted("one"), run_id=RUN)
        assert service.replay(RUN, "reproduce", counted("one")).divergence is None
        divergence = service.replay(RUN, "reproduce", counted("two")).divergence
    assert divergence is not None
    assert (divergence.what, divergence.state_id, divergence.seq) == ("plan", "counted.seen.each", 1)
    assert ("one" in str(divergence.expected), "two" in str(divergence.got)) == (True, True)
