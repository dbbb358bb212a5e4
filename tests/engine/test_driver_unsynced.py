"""Which commits wait for no disk: those behind which there are plain steps alone, of which nobody outside can learn."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from durum import Io, Workflow
from tests.engine.crashes import RUN, opened
from tests.engine.doubles import counting
from tests.engine.test_recorder_unsynced import SyncedStore

if TYPE_CHECKING:
    from collections.abc import Callable


def asked_of(flow: Workflow) -> list[bool | str]:
    """Drive a run, and return what its commits asked for, from the one behind which its first step begins."""
    store = SyncedStore()
    with opened(store) as service:
        assert service.start(flow, run_id=RUN)["status"] == "completed"
    return store.asked[1:]


def test_plain_steps_one_behind_another_wait_for_no_disk() -> None:
    """But for the beginning and the end, of which somebody is told."""
    flow = Workflow("plain")

    @flow.step
    def one() -> int:
        return 1

    @flow.step
    def two(one: int) -> int:
        return one + 1

    assert asked_of(flow) == [False, False, True]


def test_before_a_step_that_may_reach_outside_the_disk_has_everything() -> None:
    """The commit in front of it waits, and the plain ones around it do not."""
    flow = Workflow("reaching", transports={"fake": counting})

    @flow.step
    def one() -> int:
        return 1

    @flow.step
    async def asked(one: int, io: Io) -> int:
        return one + int(str(await io.call("fake", {})))

    @flow.step
    def two(asked: int) -> int:
        return asked + 1

    assert asked_of(flow) == [False, True, True, False, True]


def test_before_a_step_that_says_it_looks_outside_the_disk_has_everything() -> None:
    """It may do so on its own, though it is a plain one."""
    flow = Workflow("looking")

    @flow.step
    def one() -> int:
        return 1

    @flow.step(effects="read_only_io")
    def looked(one: int) -> int:
        return one + 1

    assert asked_of(flow) == [False, True, True]


@pytest.mark.parametrize("blocking", [False, True])
def test_beside_a_step_that_takes_its_time_every_commit_waits(*, blocking: bool) -> None:
    """It may reach outside at any moment."""
    flow, over = Workflow("beside"), threading.Event()

    async def waits() -> None:
        await asyncio.to_thread(over.wait, 10)

    def blocks() -> None:
        over.wait(10)

    slow: Callable[[], object] = blocks if blocking else waits
    flow.step(name="slow", blocking=blocking)(slow)

    @flow.step
    def one() -> int:
        return 1

    @flow.step
    def two(one: int) -> int:
        return one + 1

    @flow.step
    def three(two: int) -> int:
        over.set()
        return two + 1

    assert False not in asked_of(flow)


def test_a_child_begins_when_the_disk_has_what_started_it() -> None:
    """The word of its parent for it comes first, on the disk as well."""
    child = Workflow("child")

    @child.step
    def only() -> int:
        return 1

    flow = Workflow("parent")

    @flow.step(child=child, result="only")
    def given() -> dict[str, int]:
        return {}

    store = SyncedStore()
    events: list[tuple[str, bool | str]] = []
    claim = store.claim

    async def claimed(run_id: str, **options: object) -> object:
        events.extend((run_id, asked) for asked in store.asked[-1:])
        return await claim(run_id, **options)  # type: ignore[arg-type]

    store.claim = claimed  # type: ignore[method-assign, assignment]
    with opened(store) as service:
        assert service.start(flow, run_id=RUN)["status"] == "completed"
    assert [asked for run_id, asked in events if run_id != RUN] == [True]
