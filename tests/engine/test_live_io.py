"""Every call ends in the record exactly once, and whoever asks again, live or in replay, is answered from there."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from durum import Io, RateLimitedError, Retry, StepError, TransportError, Workflow
from durum.errors import DurumError, FactConflictError
from tests.engine.doubles import Scripted, counting
from tests.engine.runs import run

AGAIN = Retry(attempts=3, delay=timedelta(0), jitter=0)
SECRET = "ghp_" + "a1B2" * 9


async def fail_first(io: Io) -> None:
    """Fail in the first attempt, by a recorded answer, so that replay fails alike."""
    if await io.call("tries", {}, keep="attempt") == 1:
        message = "again"
        raise StepError(message, retryable=True)


def test_a_success_binds_for_every_attempt_and_an_error_does_not() -> None:
    """On a retry the answered call is served, the failed one is made again, and the clock is read anew."""
    fake = counting(["first", TransportError("busy", code="busy", retryable=True), "second"])
    flow = Workflow("binding", transports={"fake": lambda: fake})
    clock: list[Any] = []
    dice: list[bytes] = []

    @flow.step(retry=AGAIN)
    async def step(io: Io) -> list[Any]:
        clock.append(await io.now_millis())
        dice.append(await io.random_bytes(8))
        return [await io.call("fake", {"n": 1}), await io.call("fake", {"n": 2})]

    ran = run(flow).sound()
    assert ran.context["step"] == ["first", "second"]
    assert fake.seen == [{"n": 1}, {"n": 2}, {"n": 2}]
    assert len(set(dice)) == 1
    scopes = [(fact["namespace"], fact["outcome"], fact["scope"]) for fact in ran.facts()]
    assert scopes.count(("clock", "success", "attempt")) == 2
    assert scopes.count(("random", "success", "run")) == 1
    assert ("fake", "error", "attempt") in scopes


def test_keep_attempt_asks_again_on_a_retry() -> None:
    """A read that must be fresh is recorded for its attempt only."""
    fake, tries = counting(), counting()
    flow = Workflow("fresh", transports={"fake": lambda: fake, "tries": lambda: tries})

    @flow.step(retry=AGAIN)
    async def step(io: Io) -> list[Any]:
        both = [await io.call("fake", {}), await io.call("fake", {}, keep="attempt")]
        await fail_first(io)
        return both

    assert run(flow).sound().context["step"] == [1, 3]


def test_another_path_on_the_retry_meets_its_own_facts() -> None:
    """What the first attempt asked is not asked again, what it did not ask is asked once, in any order."""
    fake, tried = counting(), [0]
    flow = Workflow("paths", transports={"fake": lambda: fake})

    @flow.step(retry=AGAIN)
    async def step(io: Io) -> list[Any]:
        tried[0] += 1
        if tried[0] == 1:
            await io.call("fake", {"n": "a"})
            message = "other way"
            raise StepError(message, retryable=True)
        return [await io.call("fake", {"n": "b"}), await io.call("fake", {"n": "a"})]

    ran = run(flow)
    assert (ran.context["step"], len(fake.seen)) == ([2, 1], 2)


def test_an_error_is_caught_and_the_fallback_replays_the_same() -> None:
    """The recorded error is served in replay with its code, details and class; no transport exists there."""
    fake = counting(
        [TransportError("gone", code="http_status", details={"status": 404}), RateLimitedError("slow", details={"status": 429})]
    )
    flow = Workflow("fallback", transports={"fake": lambda: fake})

    @flow.step
    async def step(io: Io) -> list[Any]:
        found: list[Any] = []
        for number in range(2):
            try:
                await io.call("fake", {"n": number})
            except RateLimitedError as error:
                found.append(["limited", error.retryable, error.details])
            except TransportError as error:
                found.append([error.transport_code, error.retryable, error.details])
        return found

    ran = run(flow).sound()
    assert ran.context["step"] == [["http_status", False, {"status": 404}], ["limited", True, {"status": 429}]]
    assert len(fake.seen) == 2


class UnprintableError(TransportError):
    """A transport failure that has no text."""

    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (float("nan"), "invalid_outcome"),
        (object(), "invalid_outcome"),
        ({"x": {1, 2}}, "invalid_outcome"),
        ("\ud800", "invalid_outcome"),
        (ValueError("raw"), "transport_raised"),
        (ValueError("half \ud83d"), "transport_raised"),
        (UnprintableError("x", code="odd"), "odd"),
        (TransportError("half \ud83d", code="odd"), "odd"),
        (TransportError("x", code="No code!"), "transport_failed"),
        (TransportError("x", code=7), "transport_failed"),  # type: ignore[arg-type]
        (TransportError("x", code="odd", retryable="yes"), "odd"),  # type: ignore[arg-type]
        (TransportError("x", code="odd", details=object()), "odd"),
        (TransportError(f"said {SECRET}", code="odd", details={"token": SECRET}), "odd"),
        (SystemExit(2), "transport_raised"),
        (asyncio.CancelledError(), "transport_raised"),
        (TimeoutError(), "transport_raised"),
    ],
)
def test_whatever_a_transport_does_is_an_outcome(outcome: Any, code: str) -> None:
    """An answer that is no JSON and any exception are recorded as an error of a stable code, and served again in replay."""
    fake = counting([outcome])
    flow = Workflow("odd", transports={"fake": lambda: fake})

    @flow.step
    async def step(io: Io) -> str:
        try:
            await io.call("fake", {})
        except TransportError as error:
            return f"{error.transport_code} {error.message}"
        return "answered"

    ran = run(flow).sound()
    assert ran.context["step"].split()[0] == code
    assert "a1B2a1B2" not in str(ran.context)
    (fact,) = ran.facts()
    assert fact["outcome"] == "error"
    assert SECRET.encode() not in ran.service.artifact(fact["payload_id"])


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda io: io.call("fake", {"n": float("nan")}), "CanonicalJsonError"),
        (lambda io: io.call("fake", {"header": f"Bearer {SECRET}"}), "SecretsDetectedError"),
        (lambda io: io.call("two words", {}), "ConfigError"),
        (lambda io: io.call("pipe|d", {}), "ConfigError"),
        (lambda io: io.call(7, {}), "ConfigError"),
        (lambda io: io.call("x" * 65, {}), "ConfigError"),
        (lambda io: io.call("fake", {}, keep="forever"), "ConfigError"),
        (lambda io: io.call("fake", {}, fact_key="a|b"), "InvalidIdError"),
        (lambda io: io.call("fake", {}, fact_key="two words"), "InvalidIdError"),
        (lambda io: io.call("fake", {}, read=False), "IoError"),
        (lambda io: io.record_value("a key", 1), "InvalidIdError"),
        (lambda io: io.record_value("key", SECRET), "SecretsDetectedError"),
        (lambda io: io.record_value("key", object()), "CanonicalJsonError"),
        (lambda io: io.recorded("nothing"), "MissingFactError"),
    ],
)
def test_a_call_that_is_refused_is_refused_alike_in_replay(call: Any, error: str) -> None:
    """Nothing is recorded of it, and a step that catches the refusal takes the same path again."""
    fake = counting()
    flow = Workflow("refused", transports={"fake": lambda: fake})

    @flow.step
    async def step(io: Io) -> str:
        try:
            await call(io)
        except DurumError as caught:
            return type(caught).__name__
        return "allowed"

    ran = run(flow).sound()
    assert (ran.context["step"], fake.seen, ran.facts()) == (error, [], [])


def test_values_bind_once() -> None:
    """The same value again is no work, another one is a conflict the step may catch; replay conflicts alike."""
    flow = Workflow("values")

    @flow.step
    async def step(io: Io) -> list[Any]:
        first = await io.record_value("plan", {"a": 1})
        again = await io.record_value("plan", {"a": 1.0})
        try:
            await io.record_value("plan", {"a": 2})
            conflict = False
        except FactConflictError:
            conflict = True
        return [first == again == await io.get_recorded_fact("plan"), conflict, await io.recorded("plan")]

    @flow.step(after=["step"])
    async def other(io: Io) -> Any:
        return await io.recorded("plan")

    ran = run(flow).sound()
    assert (ran.context["step"], ran.context["other"]) == ([True, True, {"a": 1}], {"a": 1})
    assert len(ran.facts()) == 1


def test_an_explicit_key_is_shared_between_states() -> None:
    """The second state is answered from the first one's record."""
    fake = counting()
    flow = Workflow("shared", transports={"fake": lambda: fake})

    @flow.step
    async def first(io: Io) -> Any:
        return await io.call("fake", {"n": 1}, fact_key="shared")

    @flow.step(after=["first"])
    async def second(io: Io) -> Any:
        return await io.call("fake", {"n": 2}, fact_key="shared")

    ran = run(flow).sound()
    assert (ran.context["second"], fake.seen) == (1, [{"n": 1}])


def test_a_transport_that_cannot_be_closed_does_not_fail_the_run() -> None:
    """What is over is over; the others are closed all the same."""

    class Stuck(Scripted):
        async def close(self) -> None:
            raise OSError

    fine = counting()
    flow = Workflow("stuck", transports={"stuck": lambda: Stuck(lambda _request, _call: 1), "fine": lambda: fine})

    @flow.step
    async def step(io: Io) -> list[Any]:
        return [await io.call("stuck", {}), await io.call("fine", {})]

    assert (run(flow).sound().status, fine.closed) == ("completed", 1)


def test_a_transport_is_made_at_the_first_call_and_closed_with_the_run() -> None:
    """A run without a call to a namespace never constructs its transport, and nothing is left open."""
    made: list[Scripted] = []

    def factory() -> Scripted:
        made.append(counting())
        return made[-1]

    flow = Workflow("lazy", transports={"fake": factory, "never": factory})

    @flow.step
    async def step(io: Io) -> Any:
        return await io.call("fake", {})

    run(flow).sound()
    assert [transport.closed for transport in made] == [1]
