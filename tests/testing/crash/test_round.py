"""A round finds what is wrong with a run between its processes; here nobody is killed, the damage is done by hand."""

from __future__ import annotations

import contextlib
import sqlite3
import uuid
from typing import TYPE_CHECKING, Any

import msgspec

import durum
from durum.testing.crash.judge import Came, Fault, Verdict
from durum.testing.crash.moments import EMPTY
from durum.testing.crash.plans import in_order
from durum.testing.crash.round import Round
from durum.testing.crash.task import Answers, Crossing, Ended, Files, Task
from tests.testing.crash import flows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Act = Callable[[Task, Files], int]

CAME = Came("", "completed", None, None, "0")


class Nursery:
    """A double that does what a test wrote down for it, task by task, in this process."""

    def __init__(self, folder: Path, *acts: Act) -> None:
        self._files = Files(folder)
        self._acts = list(acts)
        self.verbs: list[str] = []

    def run(self, task: Task) -> Ended:
        """Do the next thing."""
        self.verbs.append(task.verb)
        act = self._acts.pop(0) if self._acts else judge_kindly
        return Ended(act(task, self._files), 0.0)


def judge_kindly(task: Task, files: Files) -> int:
    """Find nothing."""
    assert task.verb == "judge"
    files.result.write_bytes(msgspec.json.encode(Verdict([], [CAME])))
    return 0


def complete(task: Task, files: Files) -> int:
    """Drive the run to its end."""
    with durum.open(files.url) as service:
        service.start(flows.careless, run_id=task.run_id)
    return 0


def only_begin(task: Task, files: Files) -> int:
    """Begin the run and leave it."""
    with durum.open(files.url) as service:
        service.start(flows.careless, run_id=task.run_id, detach=True)
    return 0


def ask(task: Task, files: Files) -> int:
    """Drive the run until it asks."""
    with durum.open(files.url) as service:
        service.start(flows.asking, run_id=task.run_id)
    return 0


def lived(folder: Path, *acts: Act) -> tuple[Round, list[str]]:
    """Live a round and return it and which processes it wanted."""
    nursery: Any = Nursery(folder, *acts)
    task = Task("start", str(folder), str(folder), str(uuid.uuid4()), "flow.py")
    living = Round("1", nursery, task, folder)
    living.live(in_order(()))
    return living, nursery.verbs


def kinds(living: Round) -> list[str]:
    """Return what was found."""
    return [fault.kind for fault in living.faults]


def test_a_run_that_ends_well_is_judged(tmp_path: Path) -> None:
    """One process drives, one judges, and what it came to is kept."""
    living, verbs = lived(tmp_path, complete)
    assert (verbs, living.faults, living.came_to) == (["start", "judge"], [], [CAME])


def test_an_acknowledged_event_that_is_not_there_is_lost(tmp_path: Path) -> None:
    """What a process was told of must be in the store, whoever looks."""

    def tell_too_much(task: Task, files: Files) -> int:
        files.acknowledged.write_text(f"{task.run_id} 99 {'0' * 64}\n{task.run_id} 100 cut off")
        return complete(task, files)

    living, _ = lived(tmp_path, tell_too_much)
    assert kinds(living) == ["lost"]
    assert "event 99" in living.faults[0].text


def test_an_event_seen_before_that_is_gone_is_lost(tmp_path: Path) -> None:
    """Also what nobody was told of, but everybody could see; and the log has no gaps."""

    def ask_and_die(task: Task, files: Files) -> int:
        ask(task, files)
        return -9

    def remove(_: Task, files: Files) -> int:
        with contextlib.closing(sqlite3.connect(files.store)) as connection, connection:
            connection.execute("DELETE FROM events WHERE position = (SELECT max(position) - 1 FROM events)")
        return -9

    living, verbs = lived(tmp_path, ask_and_die, remove)
    assert verbs == ["start", "resume"]
    assert {*kinds(living)} == {"gap", "lost", "record"}


def test_a_run_that_rests_and_asks_for_nothing_is_told(tmp_path: Path) -> None:
    """Nobody here could bring it on: the round ends, and says what it waits for."""
    living, verbs = lived(tmp_path, only_begin)
    assert (verbs, kinds(living)) == (["start"], ["parked"])
    assert "waits for: nothing" in living.faults[0].text


def test_a_process_that_refuses_is_told_by_its_last_words(tmp_path: Path) -> None:
    """An exit code is no kill."""

    def refuse(_: Task, files: Files) -> int:
        files.said.write_text("a traceback\nTargetError: there is no such file\n")
        return 3

    living, _ = lived(tmp_path, refuse)
    assert kinds(living) == ["refused"]
    assert "TargetError: there is no such file" in living.faults[0].text


def test_a_process_that_keeps_dying_by_itself_ends_the_round(tmp_path: Path) -> None:
    """It is no kill of ours, but its place is known."""

    def die(_: Task, files: Files) -> int:
        files.crossings.write_bytes(msgspec.json.encode(Crossing("claim", "before")))
        return -9

    living, verbs = lived(tmp_path, die, die, die, die)
    assert (verbs, kinds(living)) == (["start"] * 3, ["endless"])
    assert living.killed == ["before claim"] * 3
    assert living.met == {EMPTY: 3}


def test_what_the_judge_finds_is_a_finding(tmp_path: Path) -> None:
    """With the round and its kills."""

    def judge_harshly(_: Task, files: Files) -> int:
        files.result.write_bytes(msgspec.json.encode(Verdict([Fault("duplicate", "twice")], [])))
        return 0

    living, _ = lived(tmp_path, complete, judge_harshly)
    assert living.faults == [Fault("duplicate", "twice", "1")]


def test_a_gate_that_nobody_can_answer_is_told_once_it_was_tried(tmp_path: Path) -> None:
    """The run is given one more chance, for others of its gates may have been answered."""

    def answer_nothing(_: Task, files: Files) -> int:
        files.result.write_bytes(msgspec.json.encode(Answers(open=["mail: nobody saw its end"])))
        return 0

    def stay(_: Task, __: Files) -> int:
        return 0

    living, verbs = lived(tmp_path, ask, answer_nothing, stay, answer_nothing)
    assert (verbs, kinds(living)) == (["start", "answer", "resume", "answer"], ["unanswered"])
    assert living.faults[0].text == "nobody can tell what became of mail: nobody saw its end"
