"""A run that may begin nothing asks for nothing over and over, and one that was told something does not come to rest."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import Any

import pytest

from durum import Io, Retry, Workflow
from durum.core import decide as d
from durum.engine import inbox
from durum.engine.inbox import Answer, Steer
from durum.engine.stop import Stop
from durum.stores.memory import MemoryBackend, MemoryStore
from durum.testing.clock import ManualClock
from durum.testing.faulty import Fault, FaultyStore
from tests.engine.crashes import RUN, opened
from tests.engine.doubles import counting
from tests.engine.families import rows
from tests.engine.questions import AGAIN, BUSY, acting, told
from tests.engine.runs import Ran

TURNS = 2_000  # of the loop, that a step stays under way
FEW = 40
LATER = Retry(attempts=5, backoff="fixed", delay=timedelta(seconds=1), jitter=0)


@pytest.fixture
def decided(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """When what to do next was asked for."""
    moments: list[int] = []
    decide = d.decide

    def counted(state: Any, now_ms: int) -> list[d.Command]:
        moments.append(now_ms)
        return decide(state, now_ms)

    monkeypatch.setattr(d, "decide", counted)
    return moments


def holding(until: asyncio.Event, clock: ManualClock) -> Workflow:
    """Return a workflow with a retry that comes due while another step is under way and does not let itself be cancelled."""
    flow = Workflow("holding")

    @flow.step
    async def slow() -> int:
        with contextlib.suppress(asyncio.CancelledError):
            await until.wait()
        clock.advance(60_000)
        for _ in range(TURNS):
            await asyncio.sleep(0)
        return 1

    @flow.step(retry=LATER)
    def flaky() -> int:
        raise ValueError("not yet")

    return flow


@pytest.mark.parametrize("word", ["drain", "cancel"])
def test_a_retry_that_may_not_begin_keeps_nobody_busy(word: str, decided: list[int]) -> None:
    """The process lets go of the run, or the run is cancelled: what is under way ends, and meanwhile nobody looks again."""
    backend, clock, stop, noticed = MemoryBackend(), ManualClock(), Stop(), asyncio.Event()
    flow = holding(noticed, clock)

    @flow.step
    async def steering() -> int:
        while not rows(service, RUN, "retry.scheduled"):  # noqa: ASYNC110 - it is written elsewhere
            await asyncio.sleep(0)
        if word == "drain":
            stop.drain()
            noticed.set()
        else:
            told(backend, RUN, "cancel", Steer(actor="test"))
        return 1

    service = opened(backend, clock)
    summary = service.start(flow, run_id=RUN, stop=stop)
    assert summary["status"] == {"drain": "interrupted", "cancel": "cancelled"}[word]
    assert len(rows(service, RUN, "retry.scheduled")) == 1
    assert len(decided) < FEW
    assert service.verify(RUN).first_bad is None


def test_a_run_whose_answer_is_in_its_log_does_not_park(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was about to, while a commit was in doubt; meanwhile the answer came, and whoever reads the inbox took it."""
    monkeypatch.setattr(inbox, "POLL_SECONDS", 0.001)
    backend, fake = MemoryBackend(), counting([BUSY])
    flow = acting("parking", fake)
    over: list[bool] = []
    failures: list[str] = []

    @flow.step(effects="apply_side_effect", retry=AGAIN)
    async def send(io: Io) -> Any:
        return await io.call("fake", {}, read=False)

    @flow.step
    async def beside() -> int:
        while not (over or opened(backend).gates(RUN)):  # noqa: ASYNC110 - it is written elsewhere
            await asyncio.sleep(0)
        over.append(True)
        return 1

    def plan(method: str, number: int) -> Fault | None:
        del number
        if method != "append" or not over or len(failures) == 3:
            return None
        if not failures:
            (gate,) = opened(backend).gates(RUN)
            told(backend, RUN, "answer", Answer("send", str(gate["digest"]), {"happened": True, "result": 7}, "eve"))
        failures.append(method)
        return Fault.NOT_DONE

    service = opened(FaultyStore(MemoryStore(backend), plan))
    ran = Ran(service, flow, service.start(flow, run_id=RUN)).sound()
    assert (ran.status, ran.context, len(failures)) == ("completed", {"send": 7, "beside": 1}, 3)
