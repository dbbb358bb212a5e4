"""Which steps share a commit: plain ones side by side; never one behind another, nor one that takes its time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from durum import Workflow
from durum.core.config import RunConfig
from durum.stores.memory import MemoryBackend, MemoryStore
from tests.engine.crashes import RUN, opened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durum.ports import Artifact, StoredEvent

ITEMS = 100


class Counted(MemoryStore):
    """Counts appends; from the one on that it is told it is away, as if the process had died."""

    appends = 0
    last = 10_000

    async def append(
        self,
        run_id: str,
        expected_seq: int,
        epoch: int,
        events: Sequence[StoredEvent],
        artifacts: Sequence[Artifact] = (),
        consumed: Sequence[str] = (),
        *,
        sync: bool = True,
    ) -> int:
        """Append, and count."""
        if self.appends == self.last:
            raise KeyboardInterrupt
        self.appends += 1
        return await super().append(run_id, expected_seq, epoch, events, artifacts, consumed, sync=sync)


def fan(begun: list[int], *, waits: bool = False, seconds: float = 0.0) -> Workflow:
    """Return a workflow of many items, plain steps or such as may wait."""
    flow = Workflow("fan")

    @flow.step
    def numbers() -> list[int]:
        return list(range(ITEMS))

    def plain(item: int) -> int:
        begun.append(item)
        time.sleep(seconds)  # a plain step holds up everything else
        return item * 2

    async def waiting(item: int) -> int:
        return plain(item)

    flow.step(each="numbers", writes="doubled")(waiting if waits else plain)
    return flow


def driven(flow: Workflow, store: Counted, **settings: Any) -> dict[str, Any]:
    """Drive a run of it."""
    with opened(store) as service:
        return dict(service.start(flow, run_id=RUN, config=RunConfig(**settings)))


def test_plain_steps_side_by_side_share_commits_whatever_the_limit() -> None:
    """A hundred items at eight at a time need few commits, and come to what they come to one by one."""
    together, one_by_one = Counted(MemoryBackend()), Counted(MemoryBackend())
    many = driven(fan([]), together)
    few = driven(fan([]), one_by_one, max_concurrency=1)
    assert many["final_snapshot_id"] == few["final_snapshot_id"]
    assert many["semantic_digest"] == few["semantic_digest"]
    assert together.appends < 12, "a commit for every round of eight"


def test_steps_that_may_wait_are_on_record_before_they_begin() -> None:
    """They have a commit a round at least: what they ask of the outside must find their entry."""
    store = Counted(MemoryBackend())
    driven(fan([], waits=True), store)
    assert store.appends >= ITEMS // 8


def test_a_step_behind_another_waits_for_its_commit() -> None:
    """A chain of plain steps has a commit each, so none that is over is executed again."""
    flow, store = Workflow("chain"), Counted(MemoryBackend())

    def step() -> int:
        return 1

    flow.step(name="s0")(step)
    for place in range(1, 10):
        flow.step(name=f"s{place}", after=[f"s{place - 1}"])(step)
    assert driven(flow, store)["status"] == "completed"
    assert store.appends >= 10


def test_a_step_that_takes_its_time_shares_with_few() -> None:
    """Not more than a blink of work hangs on one commit."""
    store = Counted(MemoryBackend())
    driven(fan([], seconds=0.02), store)
    assert store.appends >= ITEMS // 8


@pytest.mark.parametrize("last", range(1, 6))
def test_cut_off_anywhere_it_ends_the_same(last: int) -> None:
    """What was under way is done again, what is on record is not; the end is that of a run nobody cut off."""
    begun: list[int] = []
    backend = MemoryBackend()
    store = Counted(backend)
    store.last = last
    with pytest.raises(KeyboardInterrupt):
        driven(fan(begun), store)
    whole = driven(fan([]), Counted(MemoryBackend()))
    with opened(backend) as service:
        backend.alive.discard(store.worker)
        durable = {row["state_id"] for row in service.states(RUN) if row["status"] == "completed"}
        before = len(begun)
        result = service.resume(RUN, fan(begun))
        assert result["final_snapshot_id"] == whole["final_snapshot_id"]
        again = begun[before:]
        assert not {f"fan.plain.i{item}" for item in again} & durable
        assert service.replay(RUN, "reproduce", fan([])).divergence is None
