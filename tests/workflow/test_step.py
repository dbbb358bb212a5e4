"""A step is called with what it asks for, and what it returns is recorded as declared or refused where it was returned."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypedDict

import pytest

import durum
from durum import Io, Retry, StepError, TransportError, Workflow
from durum.core.meta import SideEffectKind
from durum.errors import ConfigError, SerializationError
from durum.workflow.step import StepState, in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from durum import Durum
    from durum.core.canonical import JsonObject, JsonValue

NAME: contextvars.ContextVar[str] = contextvars.ContextVar("NAME", default="nobody")


@dataclass
class Point:
    """What a step may return if it says so."""

    x: int


class Given(TypedDict):
    """An input."""

    start: int


@pytest.fixture
def service() -> Iterator[Durum]:
    """A store in memory."""
    with durum.open("memory://") as opened:
        yield opened


def run(service: Durum, *functions: Callable[..., Any], **options: Any) -> tuple[JsonObject, JsonValue]:
    """Run these functions, the last one with options; return the summary and the context."""
    flow = Workflow("flow", inputs=Given)
    for function in functions[:-1]:
        flow.step(function)
    flow.step(**options)(functions[-1])
    summary = service.start(flow, {"start": 4})
    return summary, service.context(str(summary["run_id"]))


def failure(service: Durum, *functions: Callable[..., Any], **options: Any) -> tuple[str, str]:
    """Return code and message a run fails with."""
    summary, _ = run(service, *functions, **options)
    assert summary["status"] == "failed"
    assert isinstance(summary["error"], dict)
    return str(summary["error"]["code"]), str(summary["error"]["message"])


# --- called ---------------------------------------------------------------------------------------------------------------


def test_a_step_gets_inputs_and_results_by_name(service: Durum) -> None:
    """Converted to what it asks for; a default where nobody gives the name; Io last or first."""

    def point(start: int) -> Point:
        return Point(start)

    async def moved(io: Io, point: Point, *, by: int = 2) -> Point:
        await io.now()
        return Point(point.x + by)

    summary, context = run(service, point, moved)
    assert summary["status"] == "completed"
    assert context == {"start": 4, "point": {"x": 4}, "moved": {"x": 6}}


def test_partials_and_decorated_functions_run(service: Durum) -> None:
    """Bound arguments are filled in, and a coroutine behind a plain wrapper is awaited."""

    async def add(start: int, by: int, io: Io) -> int:
        return start + by + len(await io.random_bytes(2))

    @functools.wraps(add)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return add(*args, **kwargs)

    _, context = run(service, functools.partial(wrapped, by=10), name="added")
    assert context == {"start": 4, "added": 16}


def test_a_step_that_gives_nothing_writes_nothing(service: Durum) -> None:
    """Whatever it returns in spite of its annotation."""

    def silent(start: int) -> None:
        return start  # type: ignore[return-value]

    assert run(service, silent)[1] == {"start": 4}


def test_writes_names_the_key(service: Durum) -> None:
    """Also for a step that returns nothing: then it is null."""
    assert run(service, lambda: 7, name="one", writes="found")[1] == {"start": 4, "found": 7}

    def silent() -> None:
        return None

    assert run(service, silent, writes="done")[1] == {"start": 4, "done": None}


def test_items_are_appended(service: Durum) -> None:
    """A step that appends returns a list of the new items; anything else is refused with what it returned."""
    flow = Workflow("flow")
    flow.key("found", merge="append")
    flow.step(name="one", writes="found")(lambda: (1, 2))
    flow.step(name="two", writes="found", after=["one"])(lambda: [3])
    assert service.context(str(service.start(flow)["run_id"])) == {"found": [1, 2, 3]}
    flow.step(name="three", writes="found", after=["two"])(lambda: "x")
    error = service.start(flow)["error"]
    assert isinstance(error, dict)
    assert error["message"] == "context key 'found': step three appends and must return a list of the new items, not str"


# --- refused where it was returned ----------------------------------------------------------------------------------------


def test_a_result_of_another_type_fails_the_step_that_returned_it(service: Durum) -> None:
    """Not the one that reads it, and without another try."""
    calls = []

    def wrong(start: int) -> int:
        calls.append(start)
        return "abc"  # type: ignore[return-value]

    def reader(wrong: int) -> int:
        return wrong

    summary, _ = run(service, wrong, reader)
    assert isinstance(summary["error"], dict)
    assert (summary["error"]["state_id"], summary["error"]["code"]) == ("flow.wrong.main", "context_serialization")
    assert summary["error"]["message"] == "context key 'wrong': Expected `int`, got `str` (the step is to return int)"
    assert calls == [4]


NOT_JSON: list[tuple[Any, str]] = [
    ({1, 2}, "the step's result is not JSON at $: set is not a JSON type; use a sorted list"),
    ([{"a": b"x"}], "the step's result is not JSON at $[0].a: bytes is not a JSON type; decode it, encode it as base64 text"),
    (float("nan"), "nan is not a JSON number; use null or text"),
    (2**60, "an integer is beyond 2**53 - 1, where doubles lose precision; pass it as text"),
    (Point(1), "Point is not a JSON type; annotate what the step returns, or return JSON types"),
    ({1: 2}, "the key 1 is not text; annotate what the step returns, or return JSON types"),
    (iter([1]), "list_iterator is not a JSON type; annotate what the step returns"),
    ("\ud800", "the lone surrogate '\\ud800' is not text"),
]


@pytest.mark.parametrize(("value", "reason"), NOT_JSON)
def test_a_result_that_is_not_json_is_refused_by_its_key_and_place(service: Durum, value: Any, reason: str) -> None:
    """With what to do: for a step that does not say what it returns, to say so."""
    code, message = failure(service, lambda: value, name="one", writes="found")
    assert code == "context_serialization"
    assert message.startswith("context key 'found': ")
    assert reason in message


def test_a_coroutine_that_nobody_awaits_is_told(service: Durum) -> None:
    """As a lambda around an async function returns one, inline and in a thread."""

    async def later() -> int:
        return 1

    for blocking in (False, True):
        _, message = failure(service, lambda: later(), name="one", blocking=blocking)  # noqa: PLW0108 - what this is about
        assert message.endswith("the step returned a coroutine; make it async def, so that it is awaited")


def test_a_value_of_another_type_than_asked_for_is_named_at_the_reader(service: Durum) -> None:
    """Where the writer did not say what it gives."""

    def found():  # type: ignore[no-untyped-def]  # noqa: ANN202 - what this is about
        return "7"

    def reader(found: int) -> int:
        return found

    assert failure(service, found, reader) == (
        "context_serialization",
        "context key 'found': Expected `int`, got `str` (the step asks for int)",
    )


def test_an_input_that_may_be_left_out_is_named_by_the_step_that_needs_it(service: Durum) -> None:
    """With the way out: a default."""

    class Maybe(TypedDict, total=False):
        count: int

    def one(count: int) -> int:
        return count

    flow = Workflow("flow", inputs=Maybe)
    flow.step(one)
    error = service.start(flow)["error"]
    assert isinstance(error, dict)
    assert error["code"] == "missing_key"
    assert error["message"] == (
        "context key 'count' is missing; step one needs it; its step was skipped or the input left out: "
        "give the parameter a default"
    )


# --- effects --------------------------------------------------------------------------------------------------------------


def test_a_step_that_is_the_effect_itself_happens_once(service: Durum) -> None:
    """Its result is recorded whatever it is, and refused only then; it is not tried again."""
    calls = []

    def publish(start: int) -> int:
        calls.append(start)
        return "sent"  # type: ignore[return-value]

    retry = Retry(attempts=3, delay=timedelta(0))
    summary, _ = run(service, publish, effects="apply_side_effect", idempotency="{run_id}", retry=retry)
    assert isinstance(summary["error"], dict)
    assert summary["error"]["message"] == "context key 'publish': Expected `int`, got `str` (the step asks for int)"
    assert calls == [4]
    (fact,) = service.facts(str(summary["run_id"]))
    assert (fact["namespace"], fact["outcome"]) == ("step", "success")


def test_an_effect_that_gives_nothing_may_return_anything(service: Durum) -> None:
    """What a client library hands back is no reason to doubt that it happened."""

    def publish() -> None:
        return object()  # type: ignore[return-value]

    summary, context = run(service, publish, effects="apply_side_effect")
    assert (summary["status"], context) == ("completed", {"start": 4})


def test_an_effect_gives_what_it_declares(service: Durum) -> None:
    """Through the record and out again."""

    def publish(start: int) -> Point:
        return Point(start)

    assert run(service, publish, effects="apply_side_effect", blocking=True)[1] == {"start": 4, "publish": {"x": 4}}


# --- judged ---------------------------------------------------------------------------------------------------------------


def state(retry: Retry | None) -> StepState:
    """Return a step as the engine holds it."""
    flow = Workflow("flow")
    options: Any = {"retry": retry} if retry else {}
    flow.step(name="one", **options)(lambda: 1)
    made = flow.plan().states[0].state
    assert isinstance(made, StepState)
    return made


def test_retry_names_what_is_tried_again() -> None:
    """What the caller must fix never is; what says of itself that it may help always is."""
    picky = state(Retry(on=(TimeoutError,)))
    assert picky.retryable(TimeoutError()) is True
    assert picky.retryable(ValueError()) is False
    assert picky.retryable(StepError("busy", retryable=True)) is True
    assert picky.retryable(TransportError("no", retryable=False)) is False
    for error in (SerializationError("key", "no"), ConfigError("no")):
        assert state(Retry()).retryable(error) is None
    assert state(Retry()).retryable(ValueError()) is True
    assert state(None).retryable(ValueError()) is None


def test_only_plain_and_quick_steps_run_inline() -> None:
    """Async ones, those in a thread and effects can be waited for."""

    async def later() -> int:
        return 1

    flow = Workflow("flow")
    flow.step(name="plain")(lambda: 1)
    flow.step(name="thread", blocking=True)(lambda: 1)
    flow.step(name="timed", timeout=timedelta(seconds=9))(lambda: 1)
    flow.step(name="effect", effects="apply_side_effect")(lambda: 1)
    flow.step(name="wrapped")(functools.wraps(later)(lambda: later()))  # noqa: PLW0108 - a plain wrapper
    flow.step(later)
    states: list[Any] = [node.state for node in flow.plan().states]
    assert [made.name for made in states if made.inline] == ["plain"]
    assert states[0].meta().side_effects is SideEffectKind.PURE


# --- threads --------------------------------------------------------------------------------------------------------------


def test_a_blocking_step_runs_in_a_thread_with_the_context_of_the_loop() -> None:
    """So that logging knows the step; the thread cannot hold the process."""

    def who() -> tuple[str, bool, bool]:
        thread = threading.current_thread()
        return NAME.get(), thread is threading.main_thread(), thread.daemon

    async def main() -> object:
        NAME.set("me")
        return await in_thread(who, {})

    assert asyncio.run(main()) == ("me", False, True)


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), KeyboardInterrupt()])
def test_what_a_thread_raises_is_raised_to_the_waiter(error: BaseException) -> None:
    """The very same object."""

    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        asyncio.run(in_thread(fail, {}))
    assert caught.value is error


def test_stop_iteration_in_a_thread_does_not_end_the_waiter_silently() -> None:
    """A future cannot hold one."""

    def fail() -> None:
        next(iter(()))

    with pytest.raises(RuntimeError, match="StopIteration raised"):
        asyncio.run(in_thread(fail, {}))


def test_a_thread_that_ends_after_its_waiter_harms_nobody() -> None:
    """Its result is dropped, whether the loop still runs or not."""
    free, began = threading.Event(), threading.Event()

    def slow() -> int:
        began.set()
        free.wait(10)
        return 1

    async def main() -> None:
        work = asyncio.ensure_future(in_thread(slow, {}))
        await asyncio.to_thread(began.wait, 10)
        work.cancel()
        await asyncio.wait({work})
        assert work.cancelled()

    asyncio.run(main())
    thread = next(thread for thread in threading.enumerate() if thread.name == "durum-step")
    free.set()
    thread.join(10)
    assert not thread.is_alive()
