"""A small run with everything a store's faults could spoil: steps side by side, facts, a retry, an effect, a large value."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from durum import Io, Retry, StepError, Workflow
from durum.core.canonical import JsonObject, JsonValue, digest_bytes
from durum.core.config import RunConfig
from durum.core.manifest import BuildProvenance, RunManifest
from durum.engine.engine import Engine, StartRun, Store, Watcher
from durum.engine.transports import TransportRegistry
from durum.testing.clock import ManualClock

if TYPE_CHECKING:
    from durum.core.events import Envelope
    from durum.core.plan import ExecutionPlan
    from durum.core.run_state import RunState
    from durum.ports import TransportCall

RUN = "01890a5d-ac96-774b-bcce-b302099a8057"


class Outside:
    """The world, its clock included: every read is counted, every effect kept under its key."""

    def __init__(self) -> None:
        self.clock = ManualClock(auto_advance=True)
        self.reads = 0
        self.applied: list[str | None] = []

    async def call(self, request: JsonObject, call: TransportCall) -> JsonValue:
        """Answer by the request alone, so that every order gives the same run."""
        if call.effect_key is None:
            self.reads += 1
        else:
            self.applied.append(call.effect_key)
        await asyncio.sleep(0)
        return {"echo": request}

    async def close(self) -> None:
        """Nothing is held."""


class SameEntropy:
    """Chance that never changes, so that no order of draws can matter."""

    def random_bytes(self, n: int) -> bytes:
        """Return the same bytes."""
        return b"\x07" * n

    def uniform(self) -> float:
        """Return the middle."""
        return 0.5


def workflow() -> Workflow:
    """Return the workflow."""
    flow = Workflow("small")

    @flow.step
    async def left(io: Io) -> list[str]:
        return [str(await io.call("world", {"ask": number})) for number in range(2)]

    @flow.step
    async def right(io: Io) -> str:
        chance = (await io.random_bytes(4)).hex()
        await io.call("world", {"chance": chance})
        return chance * 20_000

    @flow.step(retry=Retry(attempts=3, delay=timedelta(seconds=10)))
    async def stubborn(io: Io) -> int:
        tries = len(str(await io.call("world", {"try": True}, keep="attempt")))
        if (await io.now_millis()) < ManualClock().now_ms() + 5_000:
            message = "too early"
            raise StepError(message, retryable=True)
        return tries

    @flow.step(effects="apply_side_effect", idempotency="{run_id}/told", idempotent=True)
    async def told(left: list[str], right: str, stubborn: int, io: Io) -> int:
        await io.call("world", {"tell": len(left) + stubborn}, read=False)
        await io.call("world", {"tell": right[:4]}, read=False)
        return len(right)

    @flow.step
    def end(told: int) -> int:
        return told + 1

    return flow


def second_end(left: list[str]) -> int:
    """Follow from one of the first steps only."""
    return len(left)


def manifest_of(plan: ExecutionPlan) -> RunManifest:
    """Return a manifest that names no machine."""
    shape = plan.shape
    return RunManifest(
        op_id=shape.op_id,
        op_version="1",
        input_params=msgspec.Raw(b"{}"),
        run_config=RunConfig(),
        build=BuildProvenance(),
        plan_id=digest_bytes(shape.stored),
    )


class Drive:
    """Drives the run on a store; a new one stands for a new process. ``told`` is what its watcher was told to be durable."""

    def __init__(self, store: Store, outside: Outside, *, two_ends: bool = False) -> None:
        self.told: list[Envelope] = []
        flow = workflow()
        if two_ends:  # then the final snapshot joins two states that no state joins
            flow.step(second_end)
        self.plan = flow.plan()
        registry = TransportRegistry({"world": lambda: outside})
        self._engine = Engine(store, registry, outside.clock, SameEntropy(), Watcher(event=self.told.append))

    async def start(self) -> RunState:
        """Start the run and drive it to its end."""
        return await self._engine.start(StartRun(RUN, manifest_of(self.plan), self.plan, {}))

    async def resume(self) -> RunState:
        """Drive it on."""
        return await self._engine.resume(RUN, self.plan)
