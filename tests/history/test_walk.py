"""What a record names is read some events ahead; what cannot be had so is asked for one by one."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import Raw
from msgspec.structs import replace

from durum import DependencyEdge, ExecutionPlan, StateMeta, StateNode, StateOutcome
from durum.core.events import StateCompleted, Write
from durum.engine.artifacts import ArtifactReader
from durum.engine.recovery import load_run
from durum.errors import CorruptionError, StoreUnavailableError
from durum.history.walk import walk
from durum.testing.faulty import Fault, FaultyStore, failing
from tests.engine.runs import Ran, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from durum.core.state import DynContext, EventRecorder

STATES = 100


class Telling:
    """A state that makes another value of a large key, which is no part of the snapshot's node."""

    def meta(self) -> StateMeta:
        """Return a plain one."""
        return StateMeta()

    async def handle(self, ctx: DynContext, io: Any, rec: EventRecorder) -> StateOutcome:
        """Say more."""
        del io, rec
        ctx.write("told", f"{ctx.read('told')} more")
        return StateOutcome()


@pytest.fixture(scope="module")
def recorded() -> Ran:
    """Give a run of many states."""
    nodes = tuple(StateNode(f"long.s{number}.main", Telling()) for number in range(STATES))
    edges = tuple(DependencyEdge(one.id, other.id) for one, other in pairwise(nodes))
    return run(ExecutionPlan("long", nodes, edges), {"told": "much " * 200})


def test_a_record_is_read_many_artifacts_at_a_time(recorded: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only those that no event names by itself are read one by one."""
    store = FaultyStore(recorded.service._store, None)
    monkeypatch.setattr(recorded.service, "_store", store)
    assert recorded.service.verify(recorded.id).first_bad is None
    assert store.calls["get_many"] >= 2
    assert store.calls["get"] < STATES / 10


@pytest.mark.parametrize("error", [StoreUnavailableError, CorruptionError])
def test_what_cannot_be_read_ahead_is_read_at_its_place(
    error: Callable[[str, str], BaseException], recorded: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is the matter is said there."""
    plan = failing("get_many", Fault.NOT_DONE)
    store = FaultyStore(recorded.service._store, plan, lambda what: error("the store", what))
    monkeypatch.setattr(recorded.service, "_store", store)
    recorded.sound()
    assert store.calls["get"] > STATES


def test_an_event_that_makes_no_sense_is_handed_out_at_its_place(recorded: Ran) -> None:
    """What is the matter with it is for whoever looks at it, after those before it."""
    service = recorded.service

    async def walked() -> list[int]:
        reader = ArtifactReader(service._store)
        envelopes = [
            replace(envelope, event=replace(envelope.event, writes=(Write("told", Raw(b'"\xff"'), "set"),)))
            if isinstance(envelope.event, StateCompleted)
            else envelope
            for envelope in (await load_run(service._store, reader, recorded.id)).envelopes
        ]
        return [envelope.seq async for envelope in walk(envelopes, reader)]

    assert asyncio.run(walked()) == [event["seq"] for event in recorded.events()]
