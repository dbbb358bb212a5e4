"""Killed after any event and resumed, a run comes to what it would have come to."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durum import Io, Retry, StepError, TransportError, Workflow
from durum.stores.memory import MemoryBackend
from tests.engine.crashes import RUN, cut, opened
from tests.engine.doubles import Scripted
from tests.engine.runs import Ran

AGAIN = Retry(attempts=3, delay=timedelta(milliseconds=5), jitter=0.5)


class Receiver:
    """The world outside: it counts what it was asked to do, and does nothing twice under one key if it is ``careful``."""

    def __init__(self, *, careful: bool) -> None:
        self.done: dict[str, int] = {}
        self._careful = careful

    async def act(self, request: Any, call: Any) -> str:
        """Do what is asked."""
        await asyncio.sleep(0)
        if not (self._careful and call.effect_key in self.done):
            self.done[call.effect_key] = self.done.get(call.effect_key, 0) + 1
        return f"did {request['n']}"

    async def answer(self, request: Any, call: Any) -> str:
        """Answer a read; every third request fails."""
        del call
        await asyncio.sleep(0)
        if request["n"] % 3 == 2:
            raise TransportError("no third", code="third", details={"n": request["n"]})
        return f"answer {request['n']}"


def flow_of(receiver: Receiver, idempotency: str | None) -> Workflow:
    """Return a workflow of branches, joins, a retry, reads side by side, a list merge and two effects."""
    flow = Workflow("crashing", transports={"act": lambda: Scripted(receiver.act), "ask": lambda: Scripted(receiver.answer)})
    flow.key("log", merge="append")
    add_reads(flow)

    @flow.step(writes="log")
    def left(asks: list[str]) -> list[str]:
        return [f"left {len(asks)}"]

    @flow.step(writes="log")
    def right(stumbles: str) -> list[str]:
        return ["right", stumbles]

    options: Any = {"effects": "apply_side_effect", "retry": AGAIN} | (
        {"idempotency": idempotency, "idempotent": True} if idempotency else {}
    )

    @flow.step(**options)
    async def acts(log: list[Any], io: Io) -> list[Any]:
        return [await io.call("act", {"n": number, "log": log}, read=False) for number in range(2)]

    @flow.step
    def end(acts: list[Any], log: list[str]) -> dict[str, int]:
        return {"acts": len(acts), "log": len(log)}

    return flow


def add_reads(flow: Workflow) -> None:
    """Add the steps that only read: chance, calls side by side, and one that stumbles twice."""

    @flow.step
    async def start(io: Io) -> dict[str, Any]:
        io.emit("started", {"large": "x" * 20_000})
        return {"dice": (await io.random_bytes(4)).hex(), "id": str(await io.uuid())}

    @flow.step
    async def asks(start: dict[str, Any], io: Io) -> list[str]:
        async def ask(number: int) -> str:
            try:
                first = await io.call("ask", {"n": number})
            except TransportError as error:
                return error.transport_code
            return str(first) + str(await io.call("ask", {"n": number + 12}, keep="attempt"))

        return [start["dice"], *await asyncio.gather(*(ask(number) for number in range(4)))]

    @flow.step(retry=AGAIN)
    async def stumbles(start: dict[str, Any], io: Io) -> str:
        """Fail until it is the third attempt, by the answers it got."""
        for number in range(2):
            if await io.get_recorded_fact(f"tried{number}") is None:
                await io.record_value(f"tried{number}", number)
                message = f"try {number}"
                raise StepError(message, retryable=True)
        return str(start["id"])


def whole(idempotency: str | None) -> tuple[MemoryBackend, Ran]:
    """Run to the end without a crash."""
    backend = MemoryBackend()
    flow = flow_of(Receiver(careful=False), idempotency)
    service = opened(backend)
    return backend, Ran(service, flow, service.start(flow, run_id=RUN)).sound()


@cache
def once() -> tuple[MemoryBackend, Ran]:
    """Return the run without a crash that many examples begin with."""
    return whole("{run_id}/act")


def kinds_at(ran: Ran, events: int) -> list[str]:
    """Return the kinds of a log's first events."""
    return [row["event"]["kind"] for row in ran.events()[:events]]


def effect_is_open(kinds: list[str]) -> bool:
    """Tell whether the log ends between an effect's intent and its outcome."""
    if "effect.intended" not in kinds:
        return False
    after = kinds[len(kinds) - kinds[::-1].index("effect.intended") :]
    return "fact.recorded" not in after


def test_cut_after_any_event_a_run_ends_the_same() -> None:
    """For every event of the log: resumed from there it ends with the same snapshot and meaning, each effect done once."""
    backend, ran = whole("{run_id}/act")
    length = len(ran.events())
    assert length > 35
    for events in range(1, length):
        receiver = Receiver(careful=True)
        flow = flow_of(receiver, "{run_id}/act")
        service = opened(cut(backend, events))
        again = Ran(service, flow, service.resume(RUN, flow)).sound()
        assert again.status == "completed", (events, again.error)
        assert again.summary["final_snapshot_id"] == ran.summary["final_snapshot_id"], events
        assert again.summary["semantic_digest"] == ran.summary["semantic_digest"], events
        assert set(receiver.done.values()) <= {1}
        before, after = ran.events()[:events], again.events()
        assert [row["hash"] for row in before] == [row["hash"] for row in after[:events]]


def test_cut_within_an_effect_without_a_key_the_run_asks() -> None:
    """Exactly where an intent has no outcome the run pauses, having done nothing again; everywhere else it ends the same."""
    backend, ran = whole(None)
    paused = 0
    for events in range(1, len(ran.events())):
        receiver = Receiver(careful=False)
        flow = flow_of(receiver, None)
        service = opened(cut(backend, events))
        again = Ran(service, flow, service.resume(RUN, flow)).sound()
        if effect_is_open(kinds_at(ran, events)):
            assert (again.status, receiver.done) == ("paused", {}), events
            paused += 1
        else:
            assert again.summary["final_snapshot_id"] == ran.summary["final_snapshot_id"], events
    assert paused == 2


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=2, max_size=4))
def test_cut_again_and_again(shares: list[float]) -> None:
    """A run that is killed several times, each time further on, still ends the same."""
    backend, ran = once()
    receiver = Receiver(careful=True)
    flow = flow_of(receiver, "{run_id}/act")
    events = 0
    for share in shares:
        length = len(backend.runs[RUN].events)
        events = max(1, events + int((length - 1 - events) * share))
        backend = cut(backend, events)
        service = opened(backend)
        service.resume(RUN, flow)
    again = Ran(service, flow, service.show(RUN)).sound()
    assert again.summary["final_snapshot_id"] == ran.summary["final_snapshot_id"]
    assert again.summary["semantic_digest"] == ran.summary["semantic_digest"]
    assert set(receiver.done.values()) <= {1}


@pytest.mark.parametrize("key", ["{run_id}/act", None])
def test_a_run_that_is_over_is_resumed_without_a_write(key: str | None) -> None:
    """Resuming a finished run returns it as it is: not one event, epoch or artifact more."""
    backend, ran = whole(key)
    before = (backend.runs[RUN].head, len(backend.runs[RUN].events), set(backend.artifacts))
    again = ran.resume()
    assert (backend.runs[RUN].head, len(backend.runs[RUN].events), set(backend.artifacts)) == before
    assert again.summary == ran.summary
