"""Whatever a step does, its attempt ends in one recorded way, the engine goes on, and replay meets the same."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from durum import Io, Retry, RunConfig, StateMeta, StateOutcome, StepError, TransportError, Workflow
from durum.core.config import FixedBackoff, RetryPolicy
from durum.core.plan import ExecutionPlan, StateNode
from durum.errors import EffectUnknownError
from tests.engine.doubles import Scripted, counting
from tests.engine.runs import run
from tests.engine.states import Does, plan_of

if TYPE_CHECKING:
    from collections.abc import Callable

ONE = RunConfig(max_concurrency=1)
AGAIN = Retry(attempts=3, delay=timedelta(0), jitter=0)


def raising(raise_it: Callable[[], NoReturn]) -> Workflow:
    """Return a workflow whose one step raises."""
    flow = Workflow("raising")

    @flow.step
    async def bad(io: Io) -> int:
        await io.now()
        raise_it()

    return flow


def giving(value: Callable[[], object]) -> Workflow:
    """Return a workflow whose one step gives a value that nobody declared."""
    flow = Workflow("giving")

    @flow.step
    def given() -> Any:
        return value()

    @flow.step
    def after(given: Any) -> bool:
        return given is not None

    return flow


# --- what a step raises -----------------------------------------------------------------------------------------------


class UnprintableError(Exception):
    """An exception that cannot be turned into text."""

    def __str__(self) -> str:
        message = "no text"
        raise RuntimeError(message)


class SurrogateError(Exception):
    """An exception whose text UTF-8 cannot hold."""

    def __str__(self) -> str:
        return "half \ud83d of a sign"


def throw(error: BaseException) -> Callable[[], NoReturn]:
    """Return a function that raises."""

    def raise_it() -> NoReturn:
        raise error

    return raise_it


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (ValueError("plain"), "step_raised", "ValueError: plain"),
        (SystemExit(3), "step_raised", "SystemExit: 3"),
        (GeneratorExit(), "step_raised", "GeneratorExit"),
        (BaseExceptionGroup("both", [SystemExit(1), ValueError("x")]), "step_raised", "BaseExceptionGroup"),
        (asyncio.CancelledError(), "step_cancelled", "cancelled itself"),
        (StopAsyncIteration(), "step_raised", "Stop"),
        (RecursionError("deep"), "step_raised", "RecursionError: deep"),
        (UnprintableError(), "step_raised", "UnprintableError"),
        (SurrogateError(), "step_raised", "SurrogateError: half ? of a sign"),
        (StepError("no code", code="HTTP 500!"), "step_failed", "no code"),
        (StepError("number", code=500), "step_failed", "number"),  # type: ignore[arg-type]
        (TransportError("odd", code="\ud800"), "transport_failed", "odd"),
        (StepError("odd", details={"deep": float("nan")}), "step_failed", "odd"),
        (StepError("word", retryable="no"), "step_failed", "word"),  # type: ignore[arg-type]
        (StepError("x" * 100_000), "step_failed", "xxx"),
        (StepError("token ghp_" + "a1B2" * 9), "step_failed", "token"),
    ],
)
def test_whatever_is_raised_is_recorded_and_read_back(error: BaseException, code: str, says: str) -> None:
    """No exception escapes the attempt or leaves an event that cannot be decoded; replay raises the same one."""
    ran = run(raising(throw(error)), config=ONE).sound()
    assert ran.status == "failed"
    assert (ran.error["code"], ran.error["state_id"]) == (code, "raising.bad.main")
    assert says in ran.error["message"]
    assert "ghp_a1B2" not in str(ran.events())


@pytest.mark.parametrize("code", ["orphan_attempt_recovered", "effect_unknown", "step_timeout"])
def test_a_step_cannot_speak_for_the_engine(code: str) -> None:
    """A code by which the engine decides ends the attempt like any other failure when a step raises it: no endless retry."""
    ran = run(raising(throw(StepError("mine", code=code)))).sound()
    assert ran.attempts("bad") == ["step_raised"]


def test_a_step_that_raises_the_engines_own_pause_fails() -> None:
    """Only an effect whose outcome is unknown pauses a run."""
    ran = run(raising(throw(EffectUnknownError("k", "mine")))).sound()
    assert (ran.status, ran.attempts("bad")) == ("failed", ["step_raised"])


def test_a_person_who_stops_the_process_does_not_fail_the_step() -> None:
    """KeyboardInterrupt reaches the caller; the attempt stays open and a resume begins it anew."""
    stop = [True]
    flow = Workflow("stopped")

    @flow.step
    async def work(io: Io) -> int:
        await io.random_bytes(1)
        if stop.pop() if stop else False:
            raise KeyboardInterrupt
        return 1

    service = run(giving(lambda: 1)).service
    with pytest.raises(KeyboardInterrupt):
        service.start(flow, run_id="00000000-0000-7000-8000-000000000001")
    assert service.resume("00000000-0000-7000-8000-000000000001", flow)["status"] == "completed"


def test_a_handler_that_is_no_coroutine_fails_its_attempt_only() -> None:
    """A raw state that raises before its coroutine exists, or returns none, is an ordinary failure."""

    class Plain:
        def meta(self) -> StateMeta:
            return StateMeta()

        def handle(self, ctx: object, io: object, rec: object) -> StateOutcome:
            del ctx, io, rec
            message = "no coroutine"
            raise ValueError(message)

    ran = run(ExecutionPlan("plain", (StateNode("plain.one.main", Plain()),))).sound()  # type: ignore[arg-type]
    assert ran.error["message"] == "ValueError: no coroutine"


@pytest.mark.parametrize(
    ("word", "attempts"), [(True, 2), (False, 1), (None, 1), ("perhaps", 1), (ZeroDivisionError(), 1), (7, 1)]
)
def test_a_state_may_say_which_failures_are_worth_another_try(word: object, attempts: int) -> None:
    """True and False count; whatever else it says, or raises, leaves the word to the exception."""

    class Judges(Does):
        def retryable(self, error: BaseException) -> object:
            del error
            if isinstance(word, Exception):
                raise word
            return word

    def fail(ctx: object, io: object, rec: object) -> None:
        del ctx, io, rec
        message = "failed"
        raise ValueError(message)

    policy = RunConfig(retry_policy=RetryPolicy(2, FixedBackoff(0), 0.0))
    assert len(run(plan_of({"one": Judges(fail)}), config=policy).sound().attempts("one")) == attempts


# --- what a step gives ------------------------------------------------------------------------------------------------


def cycle() -> object:
    """Return a dict that holds itself."""
    loop: dict[str, object] = {}
    loop["self"] = loop
    return loop


def nested(depth: int) -> object:
    """Return a list in a list in a list."""
    value: object = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (lambda: float("nan"), "context_serialization"),
        (lambda: [1.5, float("inf")], "context_serialization"),
        (lambda: 2**53 + 1, "context_serialization"),
        (lambda: "\ud800", "context_serialization"),
        (lambda: {1: "number key"}, "context_serialization"),
        (lambda: {"a", "b"}, "context_serialization"),
        (lambda: b"bytes", "context_serialization"),
        (object, "context_serialization"),
        (cycle, "context_serialization"),
        (lambda: nested(10_000), "context_serialization"),
        (lambda: "ghp_" + "a1B2" * 9, "secrets_detected"),
        (lambda: {"password": "hunter2hunter2"}, "secrets_detected"),
    ],
)
def test_what_cannot_be_kept_is_refused_at_the_write(value: Callable[[], object], code: str) -> None:
    """The attempt fails with a clear code, nothing of the value is stored, and the run's record stays whole."""
    ran = run(giving(value), config=ONE).sound()
    assert (ran.error["code"], ran.statuses()) == (code, {"given": "failed", "after": "skipped"})
    assert "a1B2a1B2" not in str(ran.events())


@pytest.mark.parametrize(
    "value", [-0.0, 0.1, 1e21, 2**53 - 1, "\x00", "__proto__", {"": {}}, [[]], {"$secret": "NAME"}, "{{x}}", None, True]
)
def test_odd_but_honest_values_come_back_as_they_went(value: object) -> None:
    """What is JSON survives exactly as its canonical form says."""
    ran = run(giving(lambda: {"value": value})).sound()
    assert ran.context["given"] == {"value": value}
    assert type(ran.context["given"]["value"]) is type(value) or value == 0


def test_tuples_and_mutated_arguments_are_invisible_to_others() -> None:
    """A step sees fresh copies; what it does to them, or to its result afterwards, changes nothing."""
    flow = Workflow("mutating")
    kept: list[list[int]] = []

    @flow.step
    def numbers() -> list[int]:
        kept.append([1, 2, 3])
        return kept[-1]

    @flow.step
    def spoil(numbers: list[int]) -> tuple[str, list[int]]:
        numbers.append(4)
        kept[0].append(5)
        return "spoiled", numbers

    @flow.step
    def look(numbers: list[int], spoil: tuple[str, list[int]]) -> dict[str, Any]:
        spoil[1].clear()
        return {"numbers": numbers, "pair": isinstance(spoil, tuple)}

    ran = run(flow)
    assert ran.context == {
        "numbers": [1, 2, 3],
        "spoil": ["spoiled", [1, 2, 3, 4]],
        "look": {"numbers": [1, 2, 3], "pair": True},
    }


# --- what a step does with time ---------------------------------------------------------------------------------------


def test_a_step_that_swallows_its_cancellation_is_left_behind() -> None:
    """Its attempt is closed as timed out, the next one runs, and a late call or event of the zombie leaves no trace."""
    flow = Workflow("zombie", transports={"fake": lambda: fake})
    fake, tries, late = counting(), [0], []

    @flow.step(timeout=timedelta(milliseconds=40), retry=AGAIN)
    async def slow(io: Io) -> str:
        tries[0] += 1
        if tries[0] > 1:
            return "second"
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            await asyncio.sleep(0.35)
        io.emit("late", {})
        for call in (io.call("fake", {}), io.now(), io.record_value("late", 1), io.random_bytes(1)):
            try:
                await call
                late.append("answered")
            except asyncio.CancelledError:
                late.append("refused")
        return "first"

    @flow.step
    async def wait(slow: str) -> str:
        await asyncio.sleep(0.4)
        return slow

    ran = run(flow)
    assert (ran.status, ran.context["wait"], late) == ("completed", "second", ["refused"] * 4)
    assert ran.attempts("slow") == ["step_timeout", "completed"]
    assert (fake.seen, ran.events("domain"), ran.facts()) == ([], [], [])
    assert ran.service.replay(ran.id, "reproduce", flow).passed_over == 1


def test_a_blocking_function_with_a_timeout_runs_in_a_thread_and_is_cut_off() -> None:
    """Time runs out for a plain def too; others go on meanwhile."""
    flow = Workflow("blocking")
    go, ended = threading.Event(), threading.Event()

    @flow.step(timeout=timedelta(milliseconds=50), retry=Retry(attempts=1))
    def stuck() -> int:
        go.wait(60)
        ended.set()
        return 1

    @flow.step
    async def beside() -> int:
        await asyncio.sleep(0.01)
        return 2

    ran = run(flow).sound()
    assert not ended.is_set()  # nobody waited for it
    go.set()
    assert (ran.status, ran.attempts("stuck"), ran.context) == ("failed", ["step_timeout"], {"beside": 2})


def test_a_step_that_cancels_its_own_task_fails_and_the_run_goes_on() -> None:
    """The engine does not take it for its own end."""
    flow = Workflow("suicide")

    @flow.step(retry=AGAIN)
    async def own(io: Io) -> int:
        await io.now()
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)
        return 1

    @flow.step
    async def beside() -> int:
        return 2

    ran = run(flow).sound()
    assert (ran.statuses(), ran.error["code"]) == ({"own": "failed", "beside": "completed"}, "step_cancelled")


def test_a_task_left_behind_can_neither_call_nor_report() -> None:
    """What a step started and did not wait for ends with the attempt; replay takes the same path."""
    release = asyncio.Event()
    seen: list[str] = []

    async def answer(request: Any, call: Any) -> str:
        del request, call
        await release.wait()
        return "late"

    flow = Workflow("background", transports={"fake": lambda: Scripted(answer)})

    @flow.step
    async def starts(io: Io) -> str:
        async def behind() -> None:
            try:
                await io.call("fake", {"n": 1})
                seen.append("answered")
            finally:
                await io.call("fake", {"n": 2})
                seen.append("called again")

        starts.task = asyncio.create_task(behind())  # type: ignore[attr-defined]
        await asyncio.sleep(0.01)
        return "done"

    @flow.step
    async def later(starts: str) -> str:
        release.set()
        await asyncio.sleep(0.05)
        return starts

    ran = run(flow)
    assert (ran.status, seen) == ("completed", [])
    assert [(fact["namespace"], fact["outcome"]) for fact in ran.facts()] == [("fake", "cancelled")]
    ran.sound()
