"""Whoever drives runs lets go of them when told to, from any thread and at any moment, and every run can be resumed."""

from __future__ import annotations

import asyncio
import signal
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from durum import Io, Workflow
from durum.engine import effects
from durum.engine.stop import Stop
from durum.stores.memory import MemoryBackend
from tests.engine.crashes import RUN, opened
from tests.engine.doubles import Scripted
from tests.engine.runs import Ran

if TYPE_CHECKING:
    from collections.abc import Callable


def two_steps(during: Callable[[], None], *, child: bool = False) -> tuple[Workflow, list[str]]:
    """Return a workflow whose first step calls ``during`` the first time and then takes a while, and what its steps did."""
    did: list[str] = []

    async def answer(request: Any, call: Any) -> str:
        del request, call
        if not did:
            did.append("begun")
            during()
            await asyncio.sleep(0.2)
        did.append("answered")
        return "done"

    inner = Workflow("inner", transports={"fake": lambda: Scripted(answer)})

    @inner.step
    async def first(io: Io) -> Any:
        try:
            return await io.call("fake", {})
        except asyncio.CancelledError:
            did.append("cancelled")
            raise

    @inner.step
    def second(first: Any) -> Any:
        did.append("second")
        return first

    if not child:
        return inner, did
    outer = Workflow("outer")

    @outer.step(child=inner, result="second")
    def whole() -> dict[str, int]:
        return {}

    return outer, did


def from_thread(act: Callable[[], None]) -> Callable[[], None]:
    """Return what calls ``act`` in another thread and waits for it."""

    def call() -> None:
        thread = threading.Thread(target=act)
        thread.start()
        thread.join()

    return call


def from_signal(act: Callable[[], None]) -> Callable[[], None]:
    """Return what calls ``act`` in the handler of a signal that comes now."""

    def call() -> None:
        before = signal.signal(signal.SIGUSR1, lambda *_: act())
        try:
            signal.raise_signal(signal.SIGUSR1)
        finally:
            signal.signal(signal.SIGUSR1, before)

    return call


@pytest.mark.parametrize("child", [False, True])
@pytest.mark.parametrize("times", [1, 2, 5])
@pytest.mark.parametrize("way", [lambda act: act, from_thread, from_signal], ids=["here", "thread", "signal"])
def test_now_cancels_what_is_under_way(way: Any, times: int, child: bool) -> None:  # noqa: FBT001
    """However often it is asked: no error, no attempt ended in the log, nobody owns the run, and a resume ends it."""
    stop, backend = Stop(), MemoryBackend()

    def during() -> None:
        for _ in range(times):
            way(stop.now)()

    flow, did = two_steps(during, child=child)
    service = opened(backend)
    ran = Ran(service, flow, service.start(flow, run_id=RUN, stop=stop))
    assert (did, stop.asked) == (["begun", "cancelled"], True)
    assert ran.status not in {"completed", "failed", "cancelled"}
    assert [run.head.owner for run in backend.runs.values()] == [None] * len(backend.runs)
    ended = ran.resume()
    assert (ended.status, did[2:]) == ("completed", ["answered", "second"])
    ended.sound()


@pytest.mark.parametrize("child", [False, True])
@pytest.mark.parametrize("way", [lambda act: act, from_thread, from_signal], ids=["here", "thread", "signal"])
def test_drain_lets_what_is_under_way_end(way: Any, child: bool) -> None:  # noqa: FBT001
    """The step completes, nothing more begins, and a resume ends the run."""
    stop, backend = Stop(), MemoryBackend()
    flow, did = two_steps(way(stop.drain), child=child)
    service = opened(backend)
    ran = Ran(service, flow, service.start(flow, run_id=RUN, stop=stop))
    assert did == ["begun", "answered"]
    assert ran.status not in {"completed", "failed", "cancelled"}
    ended = ran.resume()
    assert (ended.status, did[2:]) == ("completed", ["second"])
    ended.sound()


def test_now_outweighs_an_earlier_drain() -> None:
    """Its patience is at an end."""
    stop = Stop()

    def both() -> None:
        stop.drain()
        stop.now()

    flow, did = two_steps(both)
    service = opened(MemoryBackend())
    service.start(flow, run_id=RUN, stop=stop)
    assert did == ["begun", "cancelled"]


@pytest.mark.parametrize("how", ["now", "drain"])
def test_what_was_asked_before_the_drive_began_counts(how: str) -> None:
    """The run is begun and left as it stands; with another stop it goes on."""
    stop = Stop()
    flow, did = two_steps(lambda: None)
    getattr(stop, how)()
    service = opened(MemoryBackend())
    ran = Ran(service, flow, service.start(flow, run_id=RUN, stop=stop))
    assert (did, [row["event"]["kind"] for row in ran.events()]) == ([], ["run.started"])
    assert ran.resume().sound().status == "completed"


def test_asking_after_the_end_is_no_error() -> None:
    """The loop is closed and the run is over; what runs in this thread afterwards is not hit."""
    stop = Stop()
    flow, _ = two_steps(lambda: None)
    service = opened(MemoryBackend())
    ran = Ran(service, flow, service.start(flow, run_id=RUN, stop=stop))
    stop.now()
    stop.drain()
    stop.now()
    assert ran.sound().status == "completed"


def test_a_stop_that_comes_with_the_end_hits_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    """Asked in the moment the run ends, in its own loop: the summary is returned, and the loop's other work goes on."""
    stop = Stop()
    flow = Workflow("last")

    @flow.step
    def act() -> int:
        stop.now()
        return 1

    service = opened(MemoryBackend())
    ran = Ran(service, flow, service.start(flow, run_id=RUN, stop=stop))
    assert ran.status == "completed"
    assert caplog.records == []


def test_a_cancellation_from_elsewhere_is_no_stop() -> None:
    """Only what was asked of the stop ends quietly; a task that is cancelled is cancelled, stop or not."""

    class Driver:
        def drain(self) -> None:
            """Nothing is driven."""

    async def scenario(*, asked: bool) -> None:
        stop = Stop()

        async def drives() -> None:
            with stop.ends(Driver()):  # type: ignore[arg-type]
                await asyncio.sleep(3600)

        task = asyncio.create_task(drives())
        await asyncio.sleep(0)
        if asked:
            stop.now()
        else:
            task.cancel()
        await asyncio.wait({task})
        assert (task.cancelled(), task.cancelling()) == (not asked, int(not asked))

    asyncio.run(scenario(asked=True))
    asyncio.run(scenario(asked=False))


@pytest.mark.parametrize("hangs", [False, True])
def test_an_effect_under_way_gets_a_moment(hangs: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001
    """Its outcome is recorded if it ends within that; else the process ends without it, and whoever resumes is asked."""
    monkeypatch.setattr(effects, "_STOP_SECONDS", 0.05 if hangs else 2)
    stop, sent = Stop(), []

    async def answer(request: Any, call: Any) -> str:
        del request, call
        sent.append(1)
        stop.now()
        while hangs:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                continue  # hostile
        await asyncio.sleep(0.05)
        return "done"

    flow = Workflow("acts", transports={"fake": lambda: Scripted(answer)})

    @flow.step(effects="apply_side_effect", timeout=timedelta(minutes=1))
    async def act(io: Io) -> Any:
        return await io.call("fake", {}, read=False)

    service = opened(MemoryBackend())
    ran = Ran(service, flow, service.start(flow, run_id=RUN, stop=stop)).resume().sound()
    assert (ran.status, sent) == ("paused" if hangs else "completed", [1])
