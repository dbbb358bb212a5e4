"""A cancelled attempt ends whatever its step does, and nothing that outlives its attempt calls or records anything."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from durum import Io, Retry, TransportError, Workflow
from durum.app import wiring
from durum.app.invocation import invocation, start_run
from durum.engine import effects
from durum.engine.engine import Engine
from durum.engine.inbox import Steer
from durum.engine.recorder import Recorder
from durum.stores.memory import MemoryBackend
from tests.engine.crashes import RUN, opened
from tests.engine.doubles import Scripted
from tests.engine.questions import AGAIN, told
from tests.engine.runs import Ran

if TYPE_CHECKING:
    from collections.abc import Callable

BY_TEST = Steer(actor="test", reason="enough")


class World:
    """A store, and an outside whose call ``word`` sends that word to the run and then hangs."""

    def __init__(self) -> None:
        self.backend = MemoryBackend()
        self.released = asyncio.Event()
        self.transport = Scripted(self._answer)
        self.late: list[str] = []

    async def _answer(self, request: Any, call: Any) -> str:
        del call
        if request.get("word"):
            told(self.backend, RUN, request["word"], BY_TEST)
        if request.get("hangs"):
            await asyncio.sleep(3600)
        await asyncio.sleep(request.get("takes", 0))
        return "done"

    def flow(self) -> Workflow:
        """Return an empty workflow that reaches this outside."""
        return Workflow("steered", transports={"fake": lambda: self.transport})

    def start(self, flow: Workflow) -> Ran:
        """Start the run and check what holds for every run."""
        service = opened(self.backend)
        return Ran(service, flow, service.start(flow, run_id=RUN)).sound()


def test_a_step_may_clean_up_when_its_run_is_cancelled() -> None:
    """It sees the cancellation where it waits, and has a moment; nothing that follows begins."""
    world = World()
    flow = world.flow()

    @flow.step(retry=AGAIN)
    async def act(io: Io) -> Any:
        try:
            return await io.call("fake", {"word": "cancel", "hangs": True})
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)
            world.late.append("cleaned up")
            raise

    @flow.step
    def after(act: str) -> str:
        return act

    ran = world.start(flow)
    assert (ran.status, ran.attempts("act"), world.late) == ("cancelled", ["run_cancelled"], ["cleaned up"])
    assert ran.statuses() == {"act": "cancelled", "after": "pending"}
    (asked,) = ran.events("cancel.requested")
    assert (asked["event"]["actor"], asked["event"]["reason"]) == ("test", "enough")
    assert ran.events()[-1]["event"]["kind"] == "run.completed"


async def tries_everything(world: World, io: Io) -> None:
    """Note in ``late`` which calls are refused."""
    calls: dict[str, Callable[[], Any]] = {
        "call": lambda: io.call("fake", {"late": 1}),
        "effect": lambda: io.call("fake", {"late": 2}, read=False),
        "record": lambda: io.record_value("late", 1),
        "fact": lambda: io.get_recorded_fact("late"),
        "now": io.now,
        "uuid": io.uuid,
        "sleep": lambda: io.sleep(timedelta(0)),
    }
    for name, call in calls.items():
        try:
            await call()
        except asyncio.CancelledError:
            world.late.append(name)
    io.emit("late")
    world.released.set()


def test_a_step_that_swallows_the_cancellation_is_left_behind_and_its_io_is_revoked() -> None:
    """Every call of what outlives its attempt is refused and recorded nowhere; the run does not wait for it."""
    world = World()
    flow = world.flow()

    @flow.step(effects="apply_side_effect")
    async def act(io: Io) -> str:
        while not world.released.is_set():
            try:
                await io.call("fake", {"word": "cancel", "hangs": True})
            except asyncio.CancelledError:
                await asyncio.sleep(0.35)  # longer than it is given
                await tries_everything(world, io)
        return "too late"

    @flow.step
    async def beside(io: Io) -> int:
        try:
            await io.sleep(timedelta(hours=0.01))
        finally:
            await asyncio.sleep(0.2)
        return 1

    service = opened(world.backend)

    async def drive() -> None:
        asked = invocation(flow, {}, None)
        engine = Engine(service._store, wiring.transports(flow), service._clock, service._entropy)
        await engine.start(start_run(RUN, asked))
        before = len(world.backend.runs[RUN].events)
        await asyncio.wait_for(world.released.wait(), 5)
        assert len(world.backend.runs[RUN].events) == before

    asyncio.run(drive())
    ran = Ran(service, flow, service.show(RUN)).sound()
    assert world.late == ["call", "effect", "record", "fact", "now", "uuid", "sleep"]
    assert (ran.status, ran.context, ran.events("domain")) == ("cancelled", {}, [])
    assert [request.get("late") for request in world.transport.seen] == [None]


def test_a_thread_that_outlives_its_attempt_records_nothing() -> None:
    """A thread cannot be stopped: the run ends without it, and what it does after that is refused."""
    world = World()
    flow = world.flow()
    held, over = threading.Event(), threading.Event()

    def works(io: Io) -> None:
        io.emit("begun", 1)
        told(world.backend, RUN, "cancel", BY_TEST)
        held.wait(10)
        io.emit("late", 2)
        try:
            asyncio.run(io.call("fake", {"late": 1}))
        except asyncio.CancelledError:
            world.late.append("refused")
        over.set()

    @flow.step
    async def blocks(io: Io) -> None:
        threading.Thread(target=works, args=(io,), daemon=True).start()
        await io.sleep(timedelta(minutes=1))

    ran = world.start(flow)
    assert (ran.status, ran.attempts("blocks")) == ("cancelled", ["run_cancelled"])
    before = ran.events()
    held.set()
    assert over.wait(10)
    assert (world.late, world.transport.seen, ran.events()) == (["refused"], [], before)
    assert [row["event"]["name"] for row in ran.events("domain")] == ["begun"]


def test_threads_that_report_side_by_side_break_no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events are chained in one thread: what threads of steps emit arrives whole, in each one's order."""
    world = World()
    flow = world.flow()

    stage, chained_in = Recorder.stage, set()

    def noting(*args: Any, **options: Any) -> Any:
        chained_in.add(threading.get_ident())
        return stage(*args, **options)

    monkeypatch.setattr(Recorder, "stage", noting)

    def emits(io: Io) -> None:
        for number in range(200):
            io.emit("tick", number)

    async def step(io: Io) -> None:
        await asyncio.to_thread(emits, io)

    for name in ("one", "two", "three"):
        flow.step(name=name)(step)
    ran = world.start(flow)
    assert (ran.status, chained_in) == ("completed", {threading.get_ident()})
    for name in ("one", "two", "three"):
        rows = [row for row in ran.events("domain") if row["state_id"] == f"steered.{name}.main"]
        assert [row["event"]["payload"] for row in rows] == list(range(200))


@pytest.mark.parametrize(("takes", "outcome"), [(0.3, "success"), (3600, None)])
def test_an_effect_under_way_gets_its_time_when_the_run_is_cancelled(
    takes: float, outcome: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it ends within its patience its outcome is recorded; else it is given up, begun and unknown, as the log says."""
    monkeypatch.setattr(effects, "_PATIENCE_SECONDS", 2 if outcome else 0.05)
    world = World()
    flow = world.flow()

    @flow.step(effects="apply_side_effect")
    async def act(io: Io) -> Any:
        return await io.call("fake", {"word": "cancel", "takes": takes}, read=False)

    ran = world.start(flow)
    assert (ran.status, ran.attempts("act"), len(ran.events("effect.intended"))) == ("cancelled", ["run_cancelled"], 1)
    assert [fact["outcome"] for fact in ran.facts() if fact["outcome"] != "cancelled"] == ([outcome] if outcome else [])


def test_an_effect_nobody_waits_for_is_cut_by_a_cancellation_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The step has returned; its effect hangs; the run, which waited for it, ends when it is told to."""
    monkeypatch.setattr(effects, "_PATIENCE_SECONDS", 0.05)
    world = World()
    flow = world.flow()

    @flow.step(effects="apply_side_effect")
    async def act(io: Io) -> str:
        try:
            await asyncio.wait_for(io.call("fake", {"word": "cancel", "hangs": True}, read=False), 0.01)
        except TimeoutError:
            return "gave up"
        return "done"

    ran = world.start(flow)
    assert (ran.status, ran.attempts("act")) == ("cancelled", ["completed"])


def test_a_retry_that_waits_is_cut() -> None:
    """Nobody waits for the moment of the next attempt."""

    class Never:
        def now_ms(self) -> int:
            return 0

        async def sleep_until(self, due_ms: int) -> None:
            del due_ms
            told(world.backend, RUN, "cancel", BY_TEST)
            await asyncio.sleep(3600)

    world = World()
    flow = world.flow()

    @flow.step(retry=Retry(attempts=2, delay=timedelta(days=1), max_delay=timedelta(days=1), jitter=0))
    def act() -> int:
        raise TransportError("again", retryable=True)

    service = opened(world.backend, clock=Never())
    ran = Ran(service, flow, service.start(flow, run_id=RUN)).sound()
    assert (ran.status, ran.attempts("act")) == ("cancelled", ["transport_failed"])


def test_what_is_under_way_ends_when_the_run_is_paused_and_nothing_enters() -> None:
    """The step completes, the next one does not begin until the run is resumed."""
    world = World()
    flow = world.flow()

    @flow.step
    async def act(io: Io) -> Any:
        return await io.call("fake", {"word": "pause", "takes": 0.3})

    @flow.step
    def after(act: str) -> str:
        return act

    ran = world.start(flow)
    assert (ran.status, ran.statuses()) == ("paused", {"act": "completed", "after": "ready"})
    again = ran.resume().sound()
    assert (again.status, again.context["after"]) == ("completed", "done")
    assert [row["event"]["kind"] for row in again.events("run.paused", "run.resumed")] == ["run.paused", "run.resumed"]


def test_plain_steps_one_after_another_notice_a_cancellation() -> None:
    """None of them waits for anything, and still the word gets through long before the last one."""
    world = World()
    flow = world.flow()
    steps = 4_000

    def step(number: int) -> None:
        before = f"s{number - 1}"

        def body() -> int:
            if number == 10:
                told(world.backend, RUN, "cancel", BY_TEST)
            return number

        flow.step(name=f"s{number}", after=[before] if number else [])(body)

    for number in range(steps):
        step(number)
    service = opened(world.backend)
    service.start(flow, run_id=RUN)
    ran = Ran(service, flow, service.show(RUN))
    assert ran.status == "cancelled"
    assert 10 < len(ran.events("state.completed")) < steps
