"""A worker that lost its run, or its store, stops: whatever the step does, nothing more is written or done outside."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from durum import Io, Workflow
from durum.core.events import DomainEvent
from durum.engine import recorder
from durum.errors import ConcurrencyError, DurumError, StoreUnavailableError
from durum.stores.memory import MemoryBackend, MemoryStore
from tests.engine.crashes import RUN, opened
from tests.engine.doubles import Scripted
from tests.engine.runs import Ran, run
from tests.engine.states import Does, plan_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durum.ports import Artifact, StoredEvent


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries of an append come at once."""
    monkeypatch.setattr(recorder, "_RETRY_SECONDS", 0)


class Losing(MemoryStore):
    """A store that takes the run away, or goes away itself, at its n-th append."""

    def __init__(self, backend: MemoryBackend, at: int, how: str) -> None:
        super().__init__(backend)
        self._shared = backend
        self._left = at
        self._how = how

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
        """Append, until it is time."""
        await asyncio.sleep(0)
        self._left -= 1
        if self._left == 0 and self._how == "adopted":
            self._shared.alive.discard(self.worker)  # as if the lock were gone
            await MemoryStore(self._shared).claim(run_id)
        if self._left <= 0 and self._how == "away":
            store, reason = "double", "away"
            raise StoreUnavailableError(store, reason)
        return await super().append(run_id, expected_seq, epoch, events, artifacts, consumed, sync=sync)


class Outside:
    """Counts what it is asked for and what is done to it."""

    def __init__(self) -> None:
        self.asked = 0
        self.acts: list[str | None] = []

    async def answer(self, request: Any, call: Any) -> int:
        """Count a read."""
        del request, call
        self.asked += 1
        await asyncio.sleep(0)
        return self.asked

    async def act(self, request: Any, call: Any) -> str:
        """Count an effect."""
        del request
        self.acts.append(call.effect_key)
        await asyncio.sleep(0)
        return "done"


def stubborn(outside: Outside) -> Workflow:
    """Return a workflow whose steps take no error for an answer."""
    flow = Workflow("stubborn", transports={"ask": lambda: Scripted(outside.answer), "act": lambda: Scripted(outside.act)})

    async def insists(io: Io, namespace: str) -> str:
        for _ in range(3):
            try:
                await io.call(namespace, {}, read=namespace == "ask")
            except DurumError:
                continue
        return "fine"

    @flow.step
    async def reads(io: Io) -> str:
        return await insists(io, "ask")

    @flow.step(effects="apply_side_effect", idempotency="k", idempotent=True)
    async def acts(io: Io) -> str:
        return await insists(io, "act")

    @flow.step
    def end(reads: str, acts: str) -> str:
        return reads + acts

    return flow


@pytest.mark.parametrize("how", ["adopted", "away"])
@pytest.mark.parametrize("at", range(2, 11))
def test_a_step_that_swallows_the_loss_of_its_run_cannot_go_on(how: str, at: int) -> None:
    """The run stops with the store's error; the log holds nothing unacknowledged; the next owner finishes, each effect once."""
    backend, outside = MemoryBackend(), Outside()
    flow = stubborn(outside)
    service = opened(Losing(backend, at, how))
    with pytest.raises((ConcurrencyError, StoreUnavailableError)):
        service.start(flow, run_id=RUN)
    stored = len(backend.runs[RUN].events)
    intents = sum(b'"effect.intended"' in event.body for event in backend.runs[RUN].events)
    assert len(outside.acts) == len(set(outside.acts)) <= intents

    backend.alive.clear()
    again = opened(backend)
    ran = Ran(again, flow, again.resume(RUN, flow)).sound()
    assert (ran.status, ran.context["end"]) == ("completed", "finefine")
    assert len(ran.events()) > stored
    assert set(outside.acts) == {"k", "k/1", "k/2"}


class LosingLate(MemoryStore):
    """A store that takes the run away, or goes away itself, once the intent of the n-th effect is durable."""

    def __init__(self, backend: MemoryBackend, at: int, how: str) -> None:
        super().__init__(backend)
        self._shared = backend
        self._left = at
        self._how = how

    def check_lease(self, run_id: str, epoch: int) -> None:
        """Make sure, until it is time."""
        self._left -= 1
        if self._left == 0 and self._how == "adopted":
            run = self._shared.runs[run_id]
            run.head = msgspec.structs.replace(run.head, epoch=run.head.epoch + 1, owner="thief")
        if self._left <= 0 and self._how == "away":
            store, reason = "double", "away"
            raise StoreUnavailableError(store, reason)
        super().check_lease(run_id, epoch)


@pytest.mark.parametrize("how", ["adopted", "away"])
@pytest.mark.parametrize("at", range(1, 4))
def test_who_lost_its_run_after_the_intent_does_not_act(how: str, at: int) -> None:
    """Its lease is looked at right before the call: the intent stays without an outcome, and whoever goes on knows that."""
    backend, outside = MemoryBackend(), Outside()
    flow = stubborn(outside)
    with pytest.raises((ConcurrencyError, StoreUnavailableError)):
        opened(LosingLate(backend, at, how)).start(flow, run_id=RUN)
    intents = sum(b'"effect.intended"' in event.body for event in backend.runs[RUN].events)
    assert (len(outside.acts), intents) == (at - 1, at)

    backend.alive.clear()
    again = opened(backend)
    assert Ran(again, flow, again.resume(RUN, flow)).sound().status == "completed"
    assert set(outside.acts) == {"k", "k/1", "k/2"}
    assert len(outside.acts) == 3


def test_a_run_of_one_long_step_stops_when_it_is_adopted() -> None:
    """The step does not hear of it, its outcome is refused at the append."""
    backend = MemoryBackend()
    flow = Workflow("long")

    @flow.step
    async def step() -> int:
        backend.alive.clear()
        await MemoryStore(backend).claim(RUN)
        return 1

    before = opened(backend)
    with pytest.raises(ConcurrencyError):
        before.start(flow, run_id=RUN)
    ran = Ran(before, flow, before.show(RUN))
    assert [row["event"]["kind"] for row in ran.events()] == ["run.started", "state.entered"]


def test_what_could_not_be_read_back_is_not_written() -> None:
    """An event of another shape than declared is refused where it would be staged; the log stays readable."""

    def act(ctx: object, io: object, rec: Any) -> None:
        del ctx, io
        rec._sink(DomainEvent(name=7, payload=msgspec.Raw(b"1")))  # type: ignore[arg-type]

    ran = run(plan_of({"one": Does(act)}))
    assert ran.service.verify(ran.id).first_bad is None
    assert (ran.status, ran.error["code"], ran.events("domain")) == ("failed", "corruption", [])
