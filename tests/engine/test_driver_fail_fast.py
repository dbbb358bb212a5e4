"""Once a state failed for good under fail_fast nothing begins, not even what comes into being later; open questions stay."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from durum import RunConfig, Workflow
from tests.engine.crashes import RUN, opened
from tests.engine.families import Filming, Number, rows
from tests.engine.runs import Ran, run

if TYPE_CHECKING:
    from durum.stores.memory import MemoryBackend

STOPPING = RunConfig(fail_fast=True)


def skipped(ran: Ran) -> dict[str, str]:
    """Return state -> why it was skipped."""
    return {row["state_id"]: row["event"]["reason"] for row in ran.events("state.skipped")}


def test_items_counted_after_the_failure_do_not_begin() -> None:
    """Their state was under way when the other one failed: it ends, its items are skipped, and none of them acts."""
    acted: list[int] = []
    flow = Workflow("late")

    @flow.step
    def numbers() -> list[int]:
        return [1, 2, 3]

    @flow.step(after=[numbers])
    def bad() -> int:
        raise ValueError("bad")

    @flow.step(each="numbers", effects="apply_side_effect")
    def send(item: int) -> int:
        acted.append(item)
        return item

    ran = run(flow, config=STOPPING).sound()
    assert (ran.status, acted, ran.error["state_id"]) == ("failed", [], "late.bad.main")
    assert skipped(ran) == dict.fromkeys([f"late.send.{name}" for name in ("main", "i0", "i1", "i2")], "fail_fast")


def test_a_child_spawned_after_the_failure_does_not_begin() -> None:
    """Its parent's record says it was cancelled; there is no such run, and nobody waits for it."""
    acted: list[int] = []
    kid, flow = Workflow("kid", inputs=Number), Workflow("parent")

    @kid.step(effects="apply_side_effect")
    def act(n: int) -> int:
        acted.append(n)
        return n

    @flow.step
    def start() -> int:
        return 1

    @flow.step
    def bad(start: int) -> int:
        raise ValueError(start)

    @flow.step(child=kid)
    def sub(start: int) -> Number:
        return {"n": start}

    ran = run(flow, config=STOPPING).sound()
    assert (ran.status, acted, skipped(ran)) == ("failed", [], {"parent.sub.main": "fail_fast"})
    (spawned,), (over,) = ran.events("child.spawned"), ran.events("child.completed")
    assert over["event"]["child_run_id"] == spawned["event"]["child_run_id"]
    assert over["event"]["status"] == "cancelled"
    assert [row["run_id"] for row in ran.service.runs()] == [ran.id]


def doubting(*, more: bool) -> Workflow:
    """Return a workflow with a step that fails while another one acts; ``more``: and a step that waits for that one."""
    flow = Workflow("doubting")

    @flow.step
    async def bad() -> int:
        for _ in range(60):
            await asyncio.sleep(0)
        raise ValueError("bad")

    @flow.step(effects="apply_side_effect")
    async def send() -> int:
        for _ in range(300):
            await asyncio.sleep(0)
        return 1

    if more:
        flow.step(name="more")(lambda send: send)
    return flow


def stopped_while_acting() -> MemoryBackend:
    """Return what was durable when ``bad`` had failed and nobody knew yet what became of what ``send`` did."""
    store = Filming()
    opened(store).start(doubting(more=False), run_id=RUN, config=STOPPING)
    kinds = ["run.started", "state.entered", "state.entered", "effect.intended", "state.failed"]
    return next(left for left in store.film if [event["kind"] for event in rows(opened(left), RUN)] == kinds)


@pytest.mark.parametrize("more", [False, True])
def test_an_effect_in_doubt_stays_a_question(more: bool) -> None:  # noqa: FBT001
    """Whether or not the code has changed: the state has begun, so it is asked about and not skipped."""
    left = stopped_while_acting()
    service = opened(left)
    flow = doubting(more=more)
    ran = Ran(service, flow, service.resume(RUN, flow))
    assert (ran.status, ran.statuses()["send"]) == ("paused", "awaiting_answer")
    assert skipped(ran) == ({"doubting.more.main": "fail_fast"} if more else {})
    (gate,) = service.gates(RUN)
    service.answer(RUN, str(gate["gate"]), {"happened": True, "result": 5})
    over = ran.resume().sound()
    assert (over.status, over.context, over.statuses()["send"]) == ("failed", {"send": 5}, "completed")
