"""An effect whose outcome is unknown is a question, and stays one until it is answered: whatever the step makes of it."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import Any

import pytest

from durum import Io, StepError, TransportError, UnknownEffect
from durum.engine import effects
from durum.errors import DurumError
from tests.engine.doubles import Scripted, counting
from tests.engine.questions import AGAIN, BUSY, REFUSED, acting, answered, asked
from tests.engine.runs import Ran, run

ERRORS = [
    BUSY,
    TransportError("500", code="http_status", retryable=True),
    TransportError("late", code="http_timeout", retryable=True),
    TransportError("exit 1", code="exec_failed", retryable=True),
    OSError("torn"),
]


def paying(fake: Scripted, how: str) -> Ran:
    """Run a step that pays through ``fake`` and takes a failure and a question in its own way."""
    flow = acting("unknown", fake)

    @flow.step(effects="apply_side_effect", retry=AGAIN)
    async def act(io: Io) -> Any:
        try:
            return await io.call("fake", {"n": 1}, read=False)
        except TransportError as error:
            raise StepError("mine", retryable=True) from error
        except DurumError:
            if how == "raises":
                raise
            if how == "insists":
                for number in (1, 2, 3):
                    await asyncio.gather(
                        *(io.call("fake", {"n": number}, read=False) for _ in range(3)), return_exceptions=True
                    )
            return "fell back"

    @flow.step
    def after(act: Any) -> Any:
        return act

    return run(flow).sound()


@pytest.mark.parametrize("how", ["raises", "falls back", "insists"])
@pytest.mark.parametrize("error", ERRORS, ids=str)
def test_a_failure_after_the_call_began_becomes_a_question(how: str, error: BaseException) -> None:
    """The retry does not act again, whatever it makes of that; nothing that follows begins; looking again changes nothing."""
    fake = counting([error, "done"])
    ran = paying(fake, how)
    question = asked(ran)
    assert (len(fake.seen), ran.statuses()) == (1, {"act": "awaiting_answer", "after": "pending"})
    assert question["state_id"] == "unknown.act.main"
    assert f"effect {ran.id}/unknown.act.main" in question["prompt"]
    assert ran.attempts("act") == ["step_failed", "effect_unknown"]
    again = ran.resume()
    assert (again.summary["head_seq"], asked(again)["gate"], len(fake.seen)) == (ran.summary["head_seq"], question["gate"], 1)


@pytest.mark.parametrize("result", ["paid", None, {"id": [1, 2.5, "ü"]}, "x" * 1_000_000])
def test_what_did_happen_is_not_done_again(result: object) -> None:
    """The call returns what the answer says, a large result too, and replay finds it there."""
    fake = counting([BUSY])
    ran = answered(paying(fake, "falls back"), happened=True, result=result).sound()
    assert (ran.status, ran.context["after"], len(fake.seen)) == ("completed", result, 1)
    assert [row["event"]["source"] for row in ran.events("effect.settled")] == ["answer"]


def test_what_did_not_happen_is_done_again_under_the_same_key() -> None:
    """And if that fails as well, it is a question again, another one, for which the old answer counts nothing."""
    fake = counting([BUSY, BUSY, "done"])
    first = paying(fake, "insists")
    digest = asked(first)["gate"]
    second = answered(first, happened=False)
    assert (len(fake.seen), set(fake.effect_keys)) == (2, {f"{first.id}/unknown.act.main"})
    assert asked(second)["gate"] != digest
    with pytest.raises(DurumError, match="look at it again"):
        second.service.answer(second.id, digest, {"happened": False})
    third = answered(second, happened=False).sound()
    assert (third.status, third.context["after"], len(fake.seen)) == ("completed", "done", 3)


def test_a_call_keeps_its_key_whatever_order_the_next_attempt_makes_its_calls_in() -> None:
    """One was refused, the other is in doubt; made first on the retry, the one in doubt is not taken for the refused one."""
    fake = Scripted(lambda request, _: _raised(REFUSED if request["n"] == "a" else BUSY))
    flow = acting("order", fake)

    @flow.step(effects="apply_side_effect", idempotency="k", retry=AGAIN)
    async def act(io: Io) -> list[Any]:
        first = await io.call("tries", {}, keep="attempt") == 1
        found = [await _text(io, name) for name in ("ab" if first else "ba")]
        if first:
            raise StepError("again", retryable=True)
        return found

    ran = run(flow).sound()
    assert [request["n"] for request in fake.seen] == ["a", "b"]
    assert fake.effect_keys == ["k", "k/1"]
    assert "effect k/1:" in asked(ran)["prompt"]

    settled = answered(ran, happened=True, result="there").sound()
    assert [request["n"] for request in fake.seen].count("b") == 1
    assert (settled.status, settled.context["act"]) == ("completed", ["there", "no"])


def _raised(error: BaseException) -> object:
    raise error


async def _text(io: Io, name: str) -> object:
    try:
        return await io.call("fake", {"n": name}, read=False)
    except TransportError as error:
        return error.message


def test_effects_in_parallel_tasks_are_each_in_doubt() -> None:
    """Under gather one fails: on the retry the others are served, it alone is asked about, and nothing goes out twice."""
    fake = Scripted(lambda request, _: _raised(BUSY) if request["n"] == 1 and len(fake.seen) < 5 else request["n"])
    flow = acting("tasks", fake)

    @flow.step(effects="apply_side_effect", retry=AGAIN)
    async def act(io: Io) -> list[Any]:
        tasks = [asyncio.create_task(io.call("fake", {"n": number}, read=False)) for number in range(4)]
        await asyncio.wait(tasks)
        return [task.result() for task in tasks]

    ran = run(flow).sound()
    asked(ran)
    assert sorted(str(request["n"]) for request in fake.seen) == ["0", "1", "2", "3"]
    done = answered(ran, happened=False).sound()
    assert (done.context["act"], [request["n"] for request in fake.seen].count(1)) == ([0, 1, 2, 3], 2)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("happened", [True, False])
def test_another_request_under_a_used_key_asks_a_person(known: bool, happened: bool) -> None:  # noqa: FBT001
    """Whether the first one is known to have happened or not, the same key never goes out with other contents unasked."""
    fake = counting(["paid" if known else BUSY, "paid anew"])
    flow = acting("other", fake)

    @flow.step(effects="apply_side_effect", idempotency="k", idempotent=True, retry=AGAIN)
    async def act(io: Io) -> Any:
        amount: Any = await io.call("tries", {"n": 1}, keep="attempt")
        paid = await io.call("fake", {"amount": min(amount, 2)}, read=False)
        if amount == 1:
            raise StepError("again", retryable=True)
        return paid

    ran = run(flow).sound()
    assert "with another request" in asked(ran)["prompt"]
    assert fake.seen == [{"amount": 1}]
    done = answered(ran, happened=happened).sound()
    kept = "paid" if known else None  # what it gave back is on record, if it is known
    assert (done.status, done.context["act"]) == ("completed", kept if happened else "paid anew")
    assert fake.seen == [{"amount": 1}, *([] if happened else [{"amount": 2}])]


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize("happened", [True, False])
def test_a_body_that_failed_is_a_question(is_async: bool, happened: bool) -> None:  # noqa: FBT001
    """A step that takes no Io is itself the effect: after a failure nobody knows what it did."""
    runs = [0]
    flow = acting("failing_body", counting())

    def body() -> int:
        runs[0] += 1
        if runs[0] == 1:
            raise ValueError("half done")
        return runs[0]

    async def body_later() -> int:
        await asyncio.sleep(0)
        return body()

    flow.step(name="act", effects="apply_side_effect", retry=AGAIN)(body_later if is_async else body)
    ran = run(flow).sound()
    asked(ran)
    done = answered(ran, happened=happened, **({"result": 7} if happened else {})).sound()
    assert (done.context["act"], runs[0]) == ((7, 1) if happened else (2, 2))


@pytest.mark.parametrize("is_body", [True, False])
def test_an_effect_that_hangs_is_a_question(is_body: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001
    """The step's time is up: it is not begun a second time, and the run does not hang with it."""
    monkeypatch.setattr(effects, "_PATIENCE_SECONDS", 0.05)
    begun = [0]

    async def body() -> int:
        begun[0] += 1
        while True:  # and takes no cancellation for an answer
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)

    async def hangs(request: object, call: object) -> int:
        del request, call
        return await body()

    flow = acting("hanging_body", Scripted(hangs))
    options: Any = {"effects": "apply_side_effect", "retry": AGAIN, "timeout": timedelta(milliseconds=20)}

    async def through_io(io: Io) -> Any:
        return await io.call("fake", {}, read=False)

    flow.step(name="act", **options)(body if is_body else through_io)
    ran = run(flow).sound()
    assert ran.attempts("act") == ["step_timeout", "effect_unknown"]
    assert begun[0] == 1
    asked(ran)


@pytest.mark.parametrize("idempotent", [True, False])
def test_two_states_side_by_side_with_one_key_act_once(idempotent: bool) -> None:  # noqa: FBT001
    """The second waits for the first, whose call is under way and no doubt; both get the one result."""

    async def answer(request: object, call: object) -> str:
        del request, call
        await asyncio.sleep(0.01)
        return "paid"

    fake = Scripted(answer)
    flow = acting("pair", fake)

    async def pay(io: Io) -> Any:
        return await io.call("fake", {"amount": 1}, read=False)

    for name in ("left", "right"):
        flow.step(name=name, effects="apply_side_effect", idempotency="{run_id}/pay", idempotent=idempotent)(pay)
    ran = run(flow).sound()
    assert (ran.status, ran.context, len(fake.seen)) == ("completed", {"left": "paid", "right": "paid"}, 1)


def test_a_call_its_step_stopped_waiting_for_is_no_doubt_for_another_state() -> None:
    """It is under way still: the other state waits for it, and gets its result."""

    async def answer(request: object, call: object) -> str:
        del request, call
        await asyncio.sleep(0.2)
        return "paid"

    fake = Scripted(answer)
    flow = acting("left", fake)

    @flow.step(effects="apply_side_effect", idempotency="{run_id}/pay")
    async def left(io: Io) -> Any:
        try:
            return await asyncio.wait_for(io.call("fake", {"amount": 1}, read=False), 0.05)
        except TimeoutError:
            return "gave up"

    @flow.step(effects="apply_side_effect", idempotency="{run_id}/pay")
    async def right(io: Io) -> Any:
        await io.sleep(timedelta(seconds=0.1))
        return await io.call("fake", {"amount": 1}, read=False)

    ran = run(flow).sound()
    assert (ran.status, ran.context, len(fake.seen)) == ("completed", {"left": "gave up", "right": "paid"}, 1)


def test_two_states_side_by_side_ask_about_one_doubt_once() -> None:
    """They share a key, and each has a hook: the second waits for the first one's verdict, and the effect is made once."""
    looked: list[str] = []
    fake = counting([BUSY, "paid"])
    flow = acting("doubting", fake)

    async def hook(effect: UnknownEffect, io: Io) -> bool:
        del io
        looked.append(effect.key)
        await asyncio.sleep(0.02)
        return False

    @flow.step(effects="apply_side_effect", idempotency="k")
    async def fails(io: Io) -> Any:
        try:
            return await io.call("fake", {"amount": 1}, read=False)
        except TransportError:
            return "swallowed"

    async def pay(io: Io) -> Any:
        return await io.call("fake", {"amount": 1}, read=False)

    for name in ("left", "right"):
        flow.step(name=name, effects="apply_side_effect", idempotency="k", reconcile=hook, after=["fails"])(pay)
    ran = run(flow).sound()
    assert (ran.context["left"], ran.context["right"], looked, len(fake.seen)) == ("paid", "paid", ["k"], 2)


def test_an_effect_under_a_key_of_the_author_is_made_once() -> None:
    """Two tasks call under one fact key: the first binds it, and the second, which waited for its turn, makes no call."""
    fake = counting(["one", "two"])
    flow = acting("bound", fake)

    @flow.step(effects="apply_side_effect")
    async def act(io: Io) -> Any:
        calls = [io.call("fake", {"n": number}, fact_key="mine", read=False) for number in range(2)]
        return await asyncio.gather(*calls)

    ran = run(flow)
    assert (ran.status, ran.context["act"], len(fake.seen)) == ("completed", ["one", "one"], 1)


def test_several_questions_stand_side_by_side_and_branches_go_on() -> None:
    """Each state asks its own; an independent branch ends meanwhile; each answer lets its own state go on."""
    fake = counting([BUSY, BUSY, "one", "two"])
    flow = acting("several", fake)

    async def act(io: Io) -> Any:
        return await io.call("fake", {}, read=False)

    for name in ("left", "right"):
        flow.step(name=name, effects="apply_side_effect", retry=AGAIN)(act)

    @flow.step
    def free() -> int:
        return 1

    @flow.step
    def end(left: str, right: str) -> str:
        return left + right

    ran = run(flow).sound()
    gates = {str(row["gate"]).partition("@")[0]: row["gate"] for row in ran.service.gates(ran.id)}
    assert (set(gates), ran.statuses()["free"]) == ({"left", "right"}, "completed")
    ran.service.answer(ran.id, str(gates["right"]), {"happened": True, "result": "r"})
    half = ran.resume()
    assert (half.status, half.statuses()["right"], half.statuses()["left"]) == ("paused", "completed", "awaiting_answer")
    assert answered(half, happened=True, result="l").sound().context["end"] == "lr"
