"""What a run does next: retries, room, skips and failures, as the log tells them afterwards."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from durum import Durum, Io, RateLimitedError, Retry, RunConfig, StepError, TransportError, Workflow
from durum.core.config import ExponentialBackoff, FixedBackoff, RetryPolicy
from durum.engine.engine import Watcher
from durum.errors import ConfigError
from tests.engine.doubles import START_MS, FixedEntropy, InstantClock, counting
from tests.engine.runs import Ran, run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durum.core.events import Envelope

MS = timedelta(milliseconds=1)


def failing(errors: Sequence[Exception], retry: Retry | None) -> Workflow:
    """Return a workflow whose step fails as a transport says, time after time, and then succeeds."""
    left = list(errors)
    flow = Workflow("failing", transports={"fake": lambda: counting(left)})

    async def step(io: Io) -> Any:
        return await io.call("fake", {}, keep="attempt")

    if retry is None:
        flow.step(step)
    else:
        flow.step(retry=retry)(step)
    return flow


def raising(error: Exception, retry: Retry | None) -> Workflow:
    """Return a workflow whose step raises, time after time."""
    flow = Workflow("raising")

    def step() -> int:
        raise error

    if retry is None:
        flow.step(step)
    else:
        flow.step(retry=retry)(step)
    return flow


BUSY = TransportError("busy", code="busy", retryable=True)
GONE = TransportError("gone", code="gone")


@pytest.mark.parametrize(
    ("error", "retry", "attempts"),
    [
        (StepError("no"), None, 1),
        (StepError("yes", retryable=True), None, 3),
        (ValueError("no"), None, 1),
        (StepError("no"), Retry(attempts=4), 4),
        (ValueError("yes"), Retry(attempts=2, on=(ValueError,)), 2),
        (KeyError("no"), Retry(attempts=5, on=(ValueError, OSError)), 1),
        (FileNotFoundError("yes"), Retry(attempts=3, on=(OSError,)), 3),
        (StepError("its own word", retryable=True), Retry(attempts=3, on=(OSError,)), 3),
        (StepError("one is one", retryable=True), Retry(attempts=1), 1),
    ],
)
def test_attempts_are_counted_in_all_and_for_what_is_worth_it(error: Exception, retry: Retry | None, attempts: int) -> None:
    """``attempts`` includes the first; ``on`` and the exception's own word say which failures count for another try."""
    ran = run(raising(error, retry)).sound()
    assert (ran.status, len(ran.attempts("step"))) == ("failed", attempts)
    assert len(ran.events("retry.scheduled")) == attempts - 1


def test_transport_failures_say_themselves_whether_they_are_worth_another_try() -> None:
    """Without a policy of the step the run's applies: three attempts, for retryable failures only."""
    ran = run(failing([BUSY, BUSY], None)).sound()
    assert (ran.status, ran.attempts("step")) == ("completed", ["busy", "busy", "completed"])
    assert run(failing([GONE], None)).sound().attempts("step") == ["gone"]
    config = RunConfig(retry_policy=RetryPolicy(max_attempts=1))
    assert run(failing([BUSY], None), config=config).sound().attempts("step") == ["busy"]


@pytest.mark.parametrize(
    ("retry", "uniform", "delays", "jitter"),
    [
        (Retry(attempts=4, backoff="fixed", delay=70 * MS, jitter=0), 0.9, [70, 70, 70], 0),
        (Retry(attempts=5, delay=100 * MS, max_delay=350 * MS, jitter=0), 0.9, [100, 200, 350, 350], 0),
        (Retry(attempts=4, delay=100 * MS, max_delay=210 * MS, jitter=0.5), 0.75, [125, 210, 210], 250_000),
        (Retry(attempts=4, delay=100 * MS, max_delay=210 * MS, jitter=0.5), 0.25, [75, 150, 210], -250_000),
        (Retry(attempts=3, backoff="fixed", delay=100 * MS, jitter=1.0), 0.0, [0, 0], -1_000_000),
    ],
)
def test_waits_grow_as_declared_and_are_recorded(retry: Retry, uniform: float, delays: list[int], jitter: int) -> None:
    """Jitter is drawn before the cap and recorded, so no wait exceeds it; what is waited for is the recorded moment."""
    clock = InstantClock()
    ran = run(failing([BUSY] * 9, retry), clock=clock, entropy=FixedEntropy(uniform)).sound()
    scheduled = [row["event"] for row in ran.events("retry.scheduled")]
    assert [event["delay_ms"] for event in scheduled] == delays
    assert {event["jitter"] for event in scheduled} == {jitter}
    moments = [START_MS + sum(delays[: place + 1]) for place in range(len(delays))]
    assert [event["due_ms"] for event in scheduled] == moments
    assert clock.waited == [due for due, delay in zip(moments, delays, strict=True) if delay]


@pytest.mark.parametrize(("asked", "waited"), [(5_000, 5_000), (10, 100), (10**9, 3_600_000), ("soon", 100), (-5, 100)])
def test_a_wait_the_other_side_asked_for_is_honoured(asked: Any, waited: int) -> None:
    """Retry-After counts if it is longer than the policy's own wait, up to an hour; nonsense is ignored."""
    limited = RateLimitedError("slow down", details={"retry_after_ms": asked})
    ran = run(failing([limited], Retry(backoff="fixed", delay=100 * MS, jitter=0))).sound()
    assert [row["event"]["delay_ms"] for row in ran.events("retry.scheduled")] == [waited]


def wide(width: int, nap: float = 0.003) -> tuple[Workflow, list[int]]:
    """Return a workflow of independent steps, and where it counts how many run at once at most."""
    flow = Workflow("wide")
    running, peak = [0], [0]

    async def step() -> int:
        running[0] += 1
        peak[0] = max(peak[0], running[0])
        await asyncio.sleep(nap)
        running[0] -= 1
        return 1

    for number in range(width):
        flow.step(name=f"step{number:02}")(step)
    return flow, peak


@pytest.mark.parametrize("room", [1, 3, 50])
def test_no_more_states_run_at_once_than_there_is_room_for(room: int) -> None:
    """States enter in the order they were declared; all of them finish."""
    flow, peak = wide(10)
    ran = run(flow, config=RunConfig(max_concurrency=room)).sound()
    assert (ran.status, peak[0]) == ("completed", min(room, 10))
    entered = [row["event"]["state_id"] for row in ran.events("state.entered")]
    assert entered == sorted(entered)


def test_a_due_retry_without_room_waits_without_spinning() -> None:
    """While the only place is taken nothing is asked of the clock, and replay accepts what went first."""
    clock = InstantClock()
    flow = Workflow("crowded", transports={"fake": lambda: counting([BUSY])})

    @flow.step(retry=Retry(backoff="fixed", delay=5 * MS, jitter=0))
    async def first(io: Io) -> Any:
        return await io.call("fake", {}, keep="attempt")

    @flow.step
    async def second() -> int:
        await asyncio.sleep(0.05)
        return 2

    ran = run(flow, config=RunConfig(max_concurrency=1), clock=clock).sound()
    entered = [row["event"]["state_id"] for row in ran.events("state.entered")]
    assert entered == ["crowded.first.main", "crowded.second.main", "crowded.first.main"]
    assert len(clock.waited) <= 1


def test_a_failure_skips_what_depends_on_it_and_nothing_else() -> None:
    """Independent branches finish; every skipped state names the one it follows from."""
    flow = Workflow("branches")

    @flow.step
    def bad() -> int:
        raise StepError("bad")

    @flow.step
    def below(bad: int) -> int:
        return bad

    @flow.step
    def deep(below: int) -> int:
        return below

    @flow.step
    def good() -> int:
        return 1

    @flow.step
    def both(good: int, bad: int) -> int:
        return good + bad

    @flow.step
    def fine(good: int) -> int:
        return good + 1

    ran = run(flow).sound()
    assert ran.statuses() == {
        "bad": "failed",
        "below": "skipped",
        "deep": "skipped",
        "good": "completed",
        "both": "skipped",
        "fine": "completed",
    }
    causes = {row["event"]["state_id"].split(".")[1]: row["event"]["cause"] for row in ran.events("state.skipped")}
    assert causes == {"below": "branches.bad.main", "both": "branches.bad.main", "deep": "branches.below.main"}
    assert (ran.status, ran.error["state_id"], ran.context) == ("failed", "branches.bad.main", {"good": 1, "fine": 2})


def test_fail_fast_begins_nothing_more() -> None:
    """What runs may finish, but nothing is begun and nothing is tried again once a state failed for good."""
    flow = Workflow("fast", transports={"fake": lambda: counting([TimeoutError()])})
    again = Retry(attempts=5, delay=timedelta(0), jitter=0)

    @flow.step
    async def bad() -> int:
        await asyncio.sleep(0.005)
        raise StepError("bad")

    @flow.step
    async def running() -> int:
        await asyncio.sleep(0.02)
        return 1

    @flow.step(retry=again)
    async def trying(io: Io) -> int:
        await asyncio.sleep(0.01)
        await io.now()
        raise StepError("not yet", retryable=True)

    @flow.step
    def waiting() -> int:
        return 1

    @flow.step
    def after(running: int) -> int:
        return running

    ran = run(flow, config=RunConfig(fail_fast=True, max_concurrency=3)).sound()
    expected = {"bad": "failed", "running": "completed", "trying": "skipped", "waiting": "skipped", "after": "skipped"}
    assert (ran.status, ran.statuses(), len(ran.attempts("trying"))) == ("failed", expected, 1)
    reasons = {row["event"]["reason"] for row in ran.events("state.skipped")}
    assert reasons == {"fail_fast"}


def test_skipped_tags_let_dependents_go_on() -> None:
    """A state with such a tag is not executed, its dependents are; a parameter with a default takes it."""
    flow = Workflow("tags")

    @flow.step
    def start() -> int:
        return 1

    @flow.step(tags=["costly", "llm"])
    def opinion(start: int) -> str:
        return f"thought about {start}"

    @flow.step
    def report(start: int, opinion: str = "none") -> str:
        return f"{start} {opinion}"

    @flow.step
    def strict(opinion: str) -> str:
        return opinion

    ran = run(flow, config=RunConfig(skip_tags=("llm",))).sound()
    assert ran.statuses() == {"start": "completed", "opinion": "skipped", "report": "completed", "strict": "failed"}
    assert (ran.context["report"], ran.error["code"]) == ("1 none", "missing_key")
    assert run(flow).sound().context["report"] == "1 thought about 1"


def test_a_long_row_of_skipped_states_is_no_deep_water() -> None:
    """What a skipped state leaves is built from the front, so a thousand in a row do not exhaust the stack."""
    flow = Workflow("row")

    @flow.step
    def first() -> int:
        return 1

    before = "first"
    for number in range(700):
        name = f"s{number}"
        flow.step(name=name, tags=["skip"], after=[before])(lambda: 2)
        before = name
    flow.step(name="last", after=[before])(lambda first: first + 1)
    ran = run(flow, config=RunConfig(skip_tags=("skip",)))
    assert (ran.status, ran.context) == ("completed", {"first": 1, "last": 2})


@pytest.mark.parametrize(
    ("profile", "names"),
    [
        ("minimal", []),
        ("normal", ["seen", "agent.said"]),
        ("verbose", ["seen", "detail", "agent.said"]),
        ("agent.*", ["agent.said"]),
        ("seen, det*", ["seen", "detail"]),
    ],
)
def test_the_event_profile_says_which_reports_are_kept(profile: str, names: list[str]) -> None:
    """Facts and the engine's own events are recorded under every profile."""
    flow = Workflow("profiles")

    @flow.step
    async def step(io: Io) -> int:
        io.emit("seen", {"n": 1})
        io.emit("detail", {"long": "x" * 20_000}, verbose=True)
        io.emit("agent.said", [1])
        await io.now()
        return 1

    ran = run(flow, config=RunConfig(event_profile=profile)).sound()
    assert [row["event"]["name"] for row in ran.events("domain")] == names
    assert len(ran.facts()) == 1


@pytest.mark.parametrize("name", ["fact_recorded", "artifact_written", "op_boundary", "child_run_spawned", "", 7, "x" * 256])
def test_names_of_the_engine_and_no_names_are_refused(name: Any) -> None:
    """A reserved or impossible event name fails the step that uses it and leaves nothing in the log."""
    flow = Workflow("names")

    @flow.step
    async def step(io: Io) -> int:
        io.emit(name, {})
        return 1

    ran = run(flow).sound()
    assert (ran.status, ran.events("domain")) == ("failed", [])


def test_a_watcher_that_fails_harms_nobody() -> None:
    """An exception of whoever watches does not become a step's, and the run ends as it would have."""

    def broken(envelope: Envelope) -> None:
        raise BrokenPipeError(str(envelope.seq))

    flow, _ = wide(3)
    service = Durum("memory://", clock=InstantClock())
    ran = Ran(service, flow, service.start(flow, watcher=Watcher(event=broken)))
    assert ran.sound().status == "completed"


def test_policies_are_checked_where_they_are_made() -> None:
    """A retry without an attempt or with more chance than all is refused when the workflow is loaded."""
    assert RetryPolicy(2, FixedBackoff(5), 0.0).max_attempts == 2
    assert RetryPolicy(2, ExponentialBackoff(5, 6)).jitter == 0.25
    bad: list[dict[str, Any]] = [{"attempts": 0}, {"jitter": 1.5}, {"backoff": "linear"}, {"delay": -MS}]
    for given in bad:
        with pytest.raises(ConfigError):
            Retry(**given).policy()
