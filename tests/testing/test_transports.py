"""The scripted outside world, in a real run."""

from __future__ import annotations

import durum
from durum import Io, TransportError, Workflow
from durum.testing.transports import ScriptedCall, ScriptedTransport


def asking(transport: ScriptedTransport) -> Workflow:
    """Return a workflow that asks three times and tells what came of it."""
    flow = Workflow("asking", transports={"oracle": lambda: transport})

    @flow.step(effects="apply_side_effect", idempotency="{run_id}/told")
    async def answers(io: Io) -> list[str]:
        found = []
        for question in ("one", "two"):
            try:
                found.append(str(await io.call("oracle", {"ask": question})))
            except TransportError as error:
                found.append(error.transport_code)
        await io.call("oracle", {"tell": "all"}, read=False)
        return found

    return flow


def test_answers_come_in_order_and_calls_are_remembered() -> None:
    """A value is a response, an exception is raised; requests and effect keys are kept, and the transport is closed."""
    transport = ScriptedTransport(["first", TransportError("no", code="refused_politely"), None])
    with durum.open("memory://") as store:
        run = store.start(asking(transport))
        assert store.context(str(run["run_id"]), "answers") == ["first", "refused_politely"]
    assert transport.calls == [
        ScriptedCall({"ask": "one"}, None),
        ScriptedCall({"ask": "two"}, None),
        ScriptedCall({"tell": "all"}, f"{run['run_id']}/told"),
    ]
    assert transport.closed == 1


def test_a_script_that_ends_too_early_says_so() -> None:
    """The call that has no answer fails with a code of its own, so a test fails at the right place."""
    with durum.open("memory://") as store:
        run = store.start(asking(ScriptedTransport(["only one"])))
    assert (run["status"], run["error"]["code"]) == ("failed", "script_ended")  # type: ignore[index, call-overload]


def test_a_function_answers_by_the_request() -> None:
    """Where the order is not known, the request tells."""
    transport = ScriptedTransport(lambda request: f"you said {request.get('ask')}")
    with durum.open("memory://") as store:
        run = store.start(asking(transport))
        assert store.context(str(run["run_id"]), "answers") == ["you said one", "you said two"]
