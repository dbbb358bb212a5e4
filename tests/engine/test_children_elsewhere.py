"""A child that another process drives, ends, parks or lets go: its parent waits for it, and takes it up where it stands."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

import durum
from durum import Durum, Workflow
from durum.engine.attempts import child_run_id
from durum.engine.stop import Stop
from tests.engine.crashes import RUN
from tests.engine.families import Driven, Slow, rows, starting, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHILD = child_run_id(RUN, "parent.given.spawn")
OPENED: list[Durum] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """Close what a test opened."""
    yield
    while OPENED:
        OPENED.pop().close()


def interrupted(path: Path, slow: Slow) -> tuple[Durum, Durum, Workflow]:
    """Return two handles on a store whose only family was let go in the middle of the child."""
    flow = starting(slow.flow)
    one, other = (durum.open(f"sqlite:///{path}/durum.db") for _ in range(2))
    OPENED.extend((one, other))
    stop = Stop()
    driven = Driven(lambda: one.start(flow, {"n": 5}, run_id=RUN, stop=stop))
    assert slow.entered.wait(30)
    stop.now()
    assert driven.ended()["status"] == "interrupted"
    assert one.show(CHILD)["status"] == "interrupted"
    slow.entered.clear()
    return one, other, flow


def test_a_parent_waits_for_a_child_that_someone_else_drives(tmp_path: Path) -> None:
    """It neither parks nor drives it a second time, and goes on with the word the other sends."""
    slow = Slow()
    one, other, flow = interrupted(tmp_path, slow)
    elsewhere = Driven(lambda: other.resume(CHILD, slow.flow))
    assert slow.entered.wait(30)
    epoch = rows_epoch(one, CHILD)
    parent = Driven(lambda: one.resume(RUN, flow))
    until(lambda: bool(other.show(RUN)["driven"]))
    assert one.show(RUN)["status"] == "waiting"
    threading.Event().wait(0.5)  # longer than several looks at who drives the child
    assert parent.under_way
    slow.free.set()
    assert elsewhere.ended()["status"] == "completed"
    assert (parent.ended()["status"], one.context(RUN, "end")) == ("completed", 10)
    assert (len(slow.ran), rows_epoch(one, CHILD)) == (2, epoch)
    assert len(rows(one, RUN, "child.completed")) == 1


def rows_epoch(service: Durum, run_id: str) -> Any:
    """Return the epoch of a run's last event."""
    return service.events(run_id)[-1]["epoch"]


def test_a_child_that_is_let_go_elsewhere_is_taken_over(tmp_path: Path) -> None:
    """The one who drove it stops in the middle; the waiting parent drives it to its end."""
    slow = Slow()
    one, other, flow = interrupted(tmp_path, slow)
    stop = Stop()
    elsewhere = Driven(lambda: other.resume(CHILD, slow.flow, stop=stop))
    assert slow.entered.wait(30)
    parent = Driven(lambda: one.resume(RUN, flow))
    until(lambda: bool(other.show(RUN)["driven"]))
    slow.entered.clear()
    stop.now()
    assert elsewhere.ended()["driven"] in {False, True}
    assert slow.entered.wait(30)
    slow.free.set()
    assert (parent.ended()["status"], one.context(RUN, "end")) == ("completed", 10)


def test_a_parent_told_to_stop_does_not_wait_for_others(tmp_path: Path) -> None:
    """Draining ends what is under way here; a child that another process drives is not."""
    slow = Slow()
    one, other, flow = interrupted(tmp_path, slow)
    elsewhere = Driven(lambda: other.resume(CHILD, slow.flow))
    assert slow.entered.wait(30)
    stop = Stop()
    parent = Driven(lambda: one.resume(RUN, flow, stop=stop))
    until(lambda: bool(other.show(RUN)["driven"]))
    threading.Event().wait(0.3)  # by now it waits
    stop.drain()
    assert parent.ended()["status"] == "waiting"
    slow.free.set()
    assert elsewhere.ended()["status"] == "completed"
    assert one.show(RUN)["status"] == "interrupted"  # resuming takes up what the child left
    assert one.resume(RUN, flow)["status"] == "completed"


def test_a_child_finished_by_someone_else_counts(tmp_path: Path) -> None:
    """The parent's process is gone; whoever ends the child tells the parent, who finds it on resuming."""
    slow = Slow()
    one, other, flow = interrupted(tmp_path, slow)
    slow.free.set()
    assert other.resume(CHILD, slow.flow)["status"] == "completed"
    assert one.show(RUN)["status"] == "interrupted"
    assert one.resume(RUN, flow)["status"] == "completed"
    assert one.context(RUN, "end") == 10
    assert len(slow.ran) == 2


def test_a_child_paused_while_someone_else_drives_it_stays_paused(tmp_path: Path) -> None:
    """The waiting parent takes it up where it stands: paused, for whoever said so meant it; the parent parks as paused."""
    slow = Slow()

    @slow.flow.step
    def after(doubled: int) -> int:
        return doubled

    one, other, flow = interrupted(tmp_path, slow)
    elsewhere = Driven(lambda: other.resume(CHILD, slow.flow))
    assert slow.entered.wait(30)
    parent = Driven(lambda: one.resume(RUN, flow))
    until(lambda: bool(other.show(RUN)["driven"]))
    threading.Event().wait(0.3)  # by now it waits
    other.pause(CHILD, actor="ada")
    until(lambda: bool(rows(other, CHILD, "run.paused")))
    slow.free.set()
    assert elsewhere.ended()["status"] == "paused"
    assert parent.ended()["status"] == "paused"
    assert not rows(one, CHILD, "run.resumed")
    assert one.resume(RUN, flow)["status"] == "completed"
