"""An effect is intended before it is tried, recorded after, and never repeated blindly: whatever the step, whatever fails."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from durum import Durum, Io, Retry, StepError, TransportError, Workflow
from tests.engine.doubles import InstantClock, Scripted, counting
from tests.engine.runs import Ran, run

AGAIN = Retry(attempts=3, delay=timedelta(0), jitter=0)
BUSY = TransportError("busy", code="busy", retryable=True)
REFUSED = TransportError("no", code="http_connect", retryable=True)


async def fail_first(io: Io) -> None:
    """Fail in the first attempt, by a recorded answer, so that replay fails alike."""
    if await io.call("tries", {}, keep="attempt") == 1:
        message = "again"
        raise StepError(message, retryable=True)


def acting(name: str, fake: Scripted) -> Workflow:
    """Return a workflow that may act through ``fake``."""
    tries = counting()
    return Workflow(name, transports={"fake": lambda: fake, "tries": lambda: tries})


def test_effects_of_an_attempt_have_keys_of_their_own_in_every_attempt() -> None:
    """A retry is served the first effect and tries the second one under the same key as before, never the first one's."""
    fake = counting(["one", BUSY, "two"])
    flow = acting("two_effects", fake)

    @flow.step(effects="apply_side_effect", idempotency="{run_id}/pay", idempotent=True, retry=AGAIN)
    async def pay(io: Io) -> list[Any]:
        return [await io.call("fake", {"n": 1}, read=False), await io.call("fake", {"n": 2}, read=False)]

    ran = run(flow).sound()
    assert ran.context["pay"] == ["one", "two"]
    assert fake.seen == [{"n": 1}, {"n": 2}, {"n": 2}]
    assert fake.effect_keys == [f"{ran.id}/pay", f"{ran.id}/pay/1", f"{ran.id}/pay/1"]


def test_the_intent_is_durable_before_the_call_and_reads_are_no_effects() -> None:
    """When the receiver is called, the log in the store already says so; a read in the same step carries no key."""
    seen: list[list[str]] = []

    def answer(request: Any, call: Any) -> str:
        del request, call
        rows: list[dict[str, Any]] = [dict(row) for row in service.events(run_id)]
        seen.append([row["event"]["kind"] for row in rows])
        return "done"

    run_id = "00000000-0000-7000-8000-000000000002"
    fake = Scripted(answer)
    flow = acting("intent", fake)

    @flow.step(effects="apply_side_effect", idempotency="k")
    async def act(io: Io) -> list[Any]:
        return [await io.call("fake", {}), await io.call("fake", {}, read=False)]

    service = Durum("memory://", clock=InstantClock())
    Ran(service, flow, service.start(flow, run_id=run_id)).sound()
    assert seen[0][-1] == "state.entered"
    assert seen[1][-2:] == ["fact.recorded", "effect.intended"]
    assert fake.effect_keys == [None, "k"]


def test_a_step_that_only_reads_cannot_act() -> None:
    """Without ``effects="apply_side_effect"`` the call is refused before anything leaves the process."""
    fake = counting()
    flow = acting("reader", fake)

    @flow.step
    async def sly(io: Io) -> Any:
        return await io.call("fake", {}, read=False)

    ran = run(flow).sound()
    assert (ran.error["code"], fake.seen, ran.events("effect.intended")) == ("io_error", [], [])


def test_effects_are_applied_one_at_a_time() -> None:
    """Chains under gather take turns; their keys follow the order of the calls."""
    under_way = [0, 0]

    async def answer(request: Any, call: Any) -> int:
        del call
        under_way[0] += 1
        under_way[1] = max(under_way)
        await asyncio.sleep(0.004 - 0.001 * request["n"])
        under_way[0] -= 1
        return int(request["n"])

    fake = Scripted(answer)
    flow = acting("turns", fake)

    @flow.step(effects="apply_side_effect", idempotency="k")
    async def act(io: Io) -> list[Any]:
        return await asyncio.gather(*(io.call("fake", {"n": number}, read=False) for number in range(4)))

    ran = run(flow).sound()
    assert (ran.context["act"], under_way[1], fake.effect_keys) == ([0, 1, 2, 3], 1, ["k", "k/1", "k/2", "k/3"])


def test_an_effect_nobody_waits_for_comes_to_its_end() -> None:
    """wait_for around an effect: its outcome is recorded, the next effect waits for it, and replay gives it up as well."""
    under_way = [0, 0]

    async def answer(request: Any, call: Any) -> str:
        del call
        under_way[0] += 1
        under_way[1] = max(under_way)
        await asyncio.sleep(0.05 if request["n"] == "slow" else 0)
        under_way[0] -= 1
        return str(request["n"])

    fake = Scripted(answer)
    flow = acting("unwaited", fake)

    @flow.step(effects="apply_side_effect", idempotency="k")
    async def act(io: Io) -> list[Any]:
        try:
            first = await asyncio.wait_for(io.call("fake", {"n": "slow"}, read=False), 0.01)
        except TimeoutError:
            first = "gave up"
        return [first, await io.call("fake", {"n": "next"}, read=False)]

    ran = run(flow).sound()
    assert (ran.context["act"], under_way[1]) == (["gave up", "next"], 1)
    assert [fact["outcome"] for fact in ran.facts()] == ["cancelled", "success", "success"]


def test_an_effect_under_way_when_its_attempt_times_out_is_recorded() -> None:
    """The attempt is closed after the outcome is known, the zombie begins no other effect, and the next attempt is served."""

    async def answer(request: Any, call: Any) -> str:
        del call
        await asyncio.sleep(0.5)
        return str(request["n"])

    fake = Scripted(answer)
    flow = acting("cut", fake)

    @flow.step(effects="apply_side_effect", idempotency="k", timeout=timedelta(milliseconds=30), retry=AGAIN)
    async def act(io: Io) -> Any:
        try:
            return await io.call("fake", {"n": 1}, read=False)
        except asyncio.CancelledError:
            await asyncio.sleep(0.35)  # longer than a cancelled step is given to clean up
            return await io.call("fake", {"n": 2}, read=False)

    ran = run(flow)
    assert (ran.context["act"], fake.seen) == ("1", [{"n": 1}])
    assert ran.attempts("act") == ["step_timeout", "completed"]
    assert ran.service.verify(ran.id).first_bad is None
    ran.sound()


def test_two_states_with_one_key_act_once() -> None:
    """Same key and same request: the second is answered from the ledger, and replay finds it under its own call."""
    fake = counting(["paid"])
    flow = acting("ledger", fake)

    @flow.step(effects="apply_side_effect", idempotency="{run_id}/pay")
    async def first(io: Io) -> Any:
        return await io.call("fake", {"amount": 1}, read=False)

    @flow.step(effects="apply_side_effect", idempotency="{run_id}/pay", after=["first"])
    async def second(io: Io) -> Any:
        return await io.call("fake", {"amount": 1}, read=False)

    ran = run(flow).sound()
    assert (ran.context["second"], len(fake.seen)) == ("paid", 1)


def test_a_refusal_before_anything_was_done_may_be_tried_again() -> None:
    """A connection that was never made leaves no doubt; no key is needed."""
    fake = counting([REFUSED, "done"])
    flow = acting("refusal", fake)

    @flow.step(effects="apply_side_effect", retry=AGAIN)
    async def act(io: Io) -> Any:
        return await io.call("fake", {}, read=False)

    assert (run(flow).sound().context["act"], len(fake.seen)) == ("done", 2)


@pytest.mark.parametrize("known", [True, False])
def test_another_request_under_a_used_key_asks_a_person(known: bool) -> None:  # noqa: FBT001
    """Whether the first one is known to have happened or not, the same key never goes out with other contents."""
    fake = counting(["paid"] if known else [BUSY, "paid"])
    flow = acting("other", fake)

    @flow.step(effects="apply_side_effect", idempotency="k", retry=AGAIN)
    async def act(io: Io) -> Any:
        amount = await io.call("tries", {}, keep="attempt")
        paid = await io.call("fake", {"amount": amount}, read=False)
        if amount == 1:
            message = "again"
            raise StepError(message, retryable=True)
        return paid

    ran = run(flow).sound()
    assert (ran.status, fake.seen) == ("paused", [{"amount": 1}])


def test_a_body_that_is_the_effect_runs_once() -> None:
    """A step without Io that declares an effect is not executed again on a retry of what follows, a resume or a replay."""
    runs = [0]
    flow = Workflow("body")

    @flow.step(effects="apply_side_effect")
    def act() -> dict[str, int]:
        runs[0] += 1
        return {"times": runs[0]}

    @flow.step
    def after(act: dict[str, int]) -> int:
        return act["times"]

    ran = run(flow).sound()
    assert (ran.context["after"], runs[0]) == (1, 1)
    (intent,) = ran.events("effect.intended")
    assert intent["event"]["namespace"] == "step"


def test_a_body_that_fails_has_an_unknown_outcome() -> None:
    """What a failed body did cannot be known: the retry asks instead of running it again."""
    runs = [0]
    flow = Workflow("failing_body")

    @flow.step(effects="apply_side_effect", retry=AGAIN)
    def act() -> int:
        runs[0] += 1
        message = "half done"
        raise ValueError(message)

    ran = run(flow).sound()
    assert (ran.status, runs[0]) == ("paused", 1)


def test_a_body_that_gives_what_cannot_be_kept_was_executed_all_the_same() -> None:
    """The effect happened; it is not executed again for want of a result."""
    runs = [0]
    flow = Workflow("useless_body")

    @flow.step(effects="apply_side_effect", retry=AGAIN)
    def act() -> Any:
        runs[0] += 1
        return object()

    ran = run(flow).sound()
    assert runs[0] == 1
    assert ran.status in {"failed", "paused"}


def test_a_retry_after_a_finished_effect_is_served() -> None:
    """The step fails after its effect; the next attempt is answered from the record and goes on."""
    fake = counting(["done"])
    flow = acting("served", fake)

    @flow.step(effects="apply_side_effect", retry=AGAIN)
    async def act(io: Io) -> Any:
        done = await io.call("fake", {}, read=False)
        await fail_first(io)
        return done

    ran = run(flow).sound()
    assert (ran.context["act"], len(fake.seen)) == ("done", 1)


def test_an_effect_is_not_retried_unless_the_step_says_so() -> None:
    """The default policy of a step that acts is one attempt."""
    fake = counting([REFUSED, "done"])
    flow = acting("once", fake)

    @flow.step(effects="apply_side_effect")
    async def act(io: Io) -> Any:
        return await io.call("fake", {}, read=False)

    ran = run(flow).sound()
    assert (ran.status, ran.attempts("act"), len(fake.seen)) == ("failed", ["http_connect"], 1)
