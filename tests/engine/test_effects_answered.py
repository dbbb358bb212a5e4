"""What an effect gave back, where somebody only knows that it happened: asked for, or the least its kind of call gives back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from durum import Happened, Io, UnknownEffect, Workflow
from durum.errors import AnswerError
from durum.stores.memory import MemoryBackend
from tests.engine.crashes import RUN, cut, opened
from tests.engine.doubles import counting
from tests.engine.families import rows
from tests.engine.questions import AGAIN, BUSY, answered, asked
from tests.engine.runs import Ran, run

if TYPE_CHECKING:
    from durum.engine.io import ExecResult, HttpResponse


def left_behind(gives: Any, hook: Any = None) -> Ran:
    """Return a run that asks about a body that was under way when its process ended; ``gives`` is what it says it returns."""
    flow, backend = Workflow("left"), MemoryBackend()

    def pay() -> Any:
        return "paid"

    pay.__annotations__["return"] = gives
    flow.step(effects="apply_side_effect", writes="paid", reconcile=hook)(pay)
    flow.step(name="end", after=["pay"])(lambda paid=None: [paid])
    whole = opened(backend)
    whole.start(flow, run_id=RUN)
    (intended,) = rows(whole, RUN, "effect.intended")
    service = opened(cut(backend, rows(whole, RUN).index(intended) + 1))
    return Ran(service, flow, service.resume(RUN, flow))


@pytest.mark.parametrize(("gives", "result"), [(int, 7), (dict[str, int], {"a": 1}), (list[str], []), (str, "")])
def test_a_body_whose_result_is_needed_is_asked_for_it(gives: Any, result: object) -> None:
    """That it happened is not enough: refused, and the question stands; with a result the step goes on with that."""
    ran = left_behind(gives)
    question = asked(ran)
    assert [field.get("needed_if", "") for field in question["fields"]] == ["", "happened"]
    with pytest.raises(AnswerError, match=r"field result is missing \(what it gave back: the result of step pay, as JSON\)"):
        ran.service.answer(RUN, question["gate"], {"happened": True})
    assert asked(ran)["gate"] == question["gate"]
    done = answered(ran, happened=True, result=result).sound()
    assert (done.status, done.context) == ("completed", {"paid": result, "end": [result]})


def test_a_hook_that_only_says_it_happened_cannot_tell_enough() -> None:
    """The step needs what the effect gave back, so the question stands; a hook that has the result settles it."""

    async def found(effect: UnknownEffect, io: Io) -> Happened:
        del effect, io
        return Happened(7)

    question = asked(left_behind(int, say))
    assert "reconcile must return Happened with the result of step pay" in question["prompt"]
    assert left_behind(int, found).context["paid"] == 7


def test_a_body_that_did_not_happen_is_called_again() -> None:
    """What it gave back is needed only if it happened."""
    assert answered(left_behind(str), happened=False).sound().context["paid"] == "paid"


@pytest.mark.parametrize("gives", [int | None, Any, object, None])
def test_a_body_that_may_give_nothing_goes_on_with_nothing(gives: Any) -> None:
    """Nobody is asked for what its type can do without."""
    ran = left_behind(gives)
    assert [field.get("needed_if", "") for field in asked(ran)["fields"]] == ["", ""]
    done = answered(ran, happened=True).sound()
    assert (done.status, done.context["end"]) == ("completed", [None])


async def execute(io: Io) -> list[Any]:
    """Run a command and tell all it gave."""
    got: ExecResult = await io.exec(["deploy"], read=False)
    return [got.exit_code, got.stdout, got.stderr]


async def post(io: Io) -> list[Any]:
    """Send something and tell all it got."""
    got: HttpResponse = await io.http("POST", "https://example.org/orders", json={"n": 1})
    return [got.status, got.body.decode()]


async def say(effect: UnknownEffect, io: Io) -> bool:
    """Say only that it happened."""
    del effect, io
    return True


async def tell(effect: UnknownEffect, io: Io) -> Happened:
    """Say that it happened, and what it gave."""
    del io
    return Happened({"exit_code": 0, "stdout": "out"} if effect.namespace == "exec" else {"status": 201})


CALLS = {"exec": (execute, [0, "", ""], [0, "out", ""]), "http": (post, [200, ""], [201, ""])}


@pytest.mark.parametrize("namespace", CALLS)
@pytest.mark.parametrize("hook", [None, say, tell])
def test_that_it_happened_is_enough_for_a_command_and_a_request(namespace: str, hook: Any) -> None:
    """Whoever says so, person or hook: the step gets an empty success or what was said; nothing is repeated."""
    step, least, told = CALLS[namespace]
    fake = counting([BUSY])
    flow = Workflow("world", transports={namespace: lambda: fake})
    flow.step(name="act", effects="apply_side_effect", retry=AGAIN, reconcile=hook)(step)
    ran = run(flow)
    if hook is None:
        ran = answered(ran, happened=True)
    assert ran.sound().status == "completed"
    assert (ran.context["act"], len(fake.seen)) == (told if hook is tell else least, 1)
    assert [row["event"]["source"] for row in ran.events("effect.settled")] == ["answer" if hook is None else "reconcile"]
