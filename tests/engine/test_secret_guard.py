"""A step that got hold of a secret's value by itself, once a call of the run resolved it, cannot leave it in the record."""

from __future__ import annotations

import asyncio
import base64
import inspect
import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypedDict

import pytest

from durum import Happened, Io, Retry, RunConfig, Secret, StepError, TransportError, UnknownEffect, Workflow
from durum.core.known_secrets import KnownSecrets
from durum.core.merges import Merges
from durum.core.payload import encode_payload
from durum.core.state import SnapshotPolicy
from durum.core.tree import tree_of
from durum.engine.attempt import DomainEvents, Executed, execute
from durum.engine.context import ContextOverlay
from durum.engine.secret_guard import SecretGuard
from durum.engine.snapshots import Snapshots
from durum.errors import CanonicalJsonError
from tests.engine.doubles import Scripted
from tests.engine.runs import Ran, run
from tests.engine.states import Does

if TYPE_CHECKING:
    from collections.abc import Callable

    from durum.core.canonical import JsonObject
    from durum.core.state import DynContext
    from durum.ports import TransportCall

NAME = "DURUM_TEST_TOKEN"
VALUE = 'sw0rd/fish+"é" 7'


class Given(TypedDict):
    """What a child run takes."""

    word: str


@pytest.fixture(autouse=True)
def _has_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, VALUE)


def receiver() -> Scripted:
    """Return a transport that takes a secret and says nothing of it."""

    def take(request: JsonObject, call: TransportCall) -> int:
        given: Any = request.get("token")
        return len(call.secret(given["$secret"])) if given else 0

    return Scripted(take)


def leaving(leave: Callable[[Io, str], Any], fake: Scripted | None = None, **options: Any) -> Workflow:
    """Return a flow whose step hands the secret to a call, reads it by itself and does something with it."""
    fake = fake or receiver()
    flow = Workflow("leaving", transports={"fake": lambda: fake})

    @flow.step(**options)
    async def step(io: Io) -> Any:
        await io.call("fake", {"token": Secret(NAME)})
        left = leave(io, os.environ[NAME])
        return await left if inspect.isawaitable(left) else left

    return flow


def everything(ran: Ran) -> str:
    """Return all that is stored of a run, as text, the values it refers to included."""
    ids = {value for fact in ran.facts() for value in (fact["payload_id"], fact["request_id"]) if value}
    stored = [ran.events(), ran.summary, ran.facts(), ran.service.context(ran.id)]
    return repr(stored) + repr([ran.service.artifact(one) for one in sorted(ids)])


def raising(error: BaseException) -> Any:
    """Raise."""
    raise error


HIDDEN = [
    lambda _, value: value,
    lambda _, value: {"deep": [{"er": f"<{value}>"}]},
    lambda _, value: {value: 1},
    lambda _, value: base64.b64encode(f"user:{value}".encode()).decode(),
    lambda _, value: encode_payload(b"\xff" + value.encode()),
    lambda io, value: io.emit("told", [value]),
    lambda io, value: io.emit(value, 1),
    lambda io, value: io.record_value("key", {"of": value}),
    lambda io, value: io.record_value(value.encode().hex(), 1),
    lambda io, value: io.call("fake", {"said": value}),
    lambda io, value: io.call("fake", {}, fact_key=value.encode().hex()),
]


@pytest.mark.parametrize("leave", HIDDEN, ids=range(len(HIDDEN)))
def test_a_known_value_is_refused_wherever_a_step_would_leave_it(leave: Callable[[Io, str], Any]) -> None:
    """The attempt fails, what was asked for is not done, nothing of it is stored, and replay passes over it."""
    fake = receiver()
    ran = run(leaving(leave, fake)).sound()
    assert ran.error["code"] == "secrets_detected"
    assert f"(the value of {NAME}); pass a reference" in ran.error["message"]
    assert len(fake.seen) == 1
    assert "sw0rd" not in everything(ran)
    assert VALUE.encode().hex() not in everything(ran)


@pytest.mark.parametrize("leave", HIDDEN[5:], ids=range(len(HIDDEN) - 5))
@pytest.mark.parametrize("instead", [lambda: "went on", lambda: raising(ValueError("gave up"))])
def test_a_step_that_catches_the_refusal_fails_for_it_all_the_same(
    leave: Callable[[Io, str], Any], instead: Callable[[], Any]
) -> None:
    """Replay, which knows no value, would refuse nothing and go another way."""

    async def fall_back(io: Io, value: str) -> Any:
        try:
            left = leave(io, value)
            return await left if inspect.isawaitable(left) else left
        except Exception:  # noqa: BLE001 - steps catch anything
            return instead()

    ran = run(leaving(fall_back)).sound()
    assert ran.error["code"] == "secrets_detected"


def test_a_refused_attempt_is_not_tried_again() -> None:
    """It would leave the same."""
    ran = run(leaving(lambda _, value: value, retry=Retry(attempts=3, delay=timedelta(0), jitter=0))).sound()
    assert ran.attempts("step") == ["secrets_detected"]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (lambda v: ValueError(f"cannot log in with {v}!"), f"cannot log in with [secret {NAME}]!"),
        (lambda v: StepError(f"no {v}", code="odd", details={"said": [v], v: 1}), f"no [secret {NAME}]"),
        (KeyError, f"[secret {NAME}]"),
        (lambda v: RuntimeError("x" * 3980 + v), "x[secre"),
        (lambda v: RuntimeError("x" * 3970 + v), f"x[secret {NAME}"[:12]),
        (lambda v: RuntimeError(v + "x" * 3980), f"[secret {NAME}]xx"),
        (lambda v: ExceptionGroup(v, [ValueError(v)]), f"[secret {NAME}] (1 sub-exception)"),
        (lambda v: ValueError(f"{v} twice {v.encode().hex()}"), f"[secret {NAME}] twice [secret {NAME}]"),
    ],
    ids=range(8),
)
def test_a_failure_is_recorded_with_the_name_and_replays(error: Callable[[str], Exception], message: str) -> None:
    """In message and details; in replay the step says the value where the record has the name, and that is no difference."""
    ran = run(leaving(lambda _, value: raising(error(value)))).sound()
    assert message in ran.error["message"]
    assert ran.service.replay(ran.id, "reproduce", ran.code).passed_over == 0
    assert "sw0rd" not in everything(ran)
    assert VALUE.encode().hex() not in everything(ran)


def test_a_code_is_no_way_around(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step names its failures itself, and may name one by a secret that is a plain word."""
    monkeypatch.setenv(NAME, "swordfish")
    ran = run(leaving(lambda _, value: raising(StepError("no", code=value))))
    assert ran.error["code"] == "step_raised"
    assert "swordfish" not in everything(ran)


def test_the_inputs_of_a_child_run_hold_none() -> None:
    """They are stored with the parent's word, before the child begins."""
    child = Workflow("child", inputs=Given)

    @child.step
    def taken(word: str) -> str:
        return word

    fake = receiver()
    flow = Workflow("parent", transports={"fake": lambda: fake})

    @flow.step(child=child, result="taken")
    async def given(io: Io) -> Given:
        await io.call("fake", {"token": Secret(NAME)})
        return {"word": os.environ[NAME]}

    ran = run(flow).sound()
    assert ran.error["message"].startswith(f"an input of a child run holds a secret at $.word (the value of {NAME})")
    assert "sw0rd" not in everything(ran)
    assert ran.events("child.spawned") == []


@pytest.mark.parametrize("verdict", [lambda v: Happened({"said": v}), lambda v: raising(ValueError(f"no {v}"))], ids=range(2))
def test_what_a_reconcile_hook_says_carries_the_name(verdict: Callable[[str], Any]) -> None:
    """Its result is an outcome, which is never refused, and why it cannot tell is shown to people."""

    def act(request: JsonObject, call: TransportCall) -> int:
        token: Any = request["token"]
        call.secret(token["$secret"])
        raise TransportError("busy", code="busy", retryable=True)

    async def hook(_effect: UnknownEffect, _io: Io) -> object:
        return verdict(os.environ[NAME])

    fake = Scripted(act)
    flow = Workflow("asking", transports={"fake": lambda: fake})

    @flow.step(effects="apply_side_effect", reconcile=hook, retry=Retry(attempts=3, delay=timedelta(0), jitter=0))
    async def step(io: Io) -> Any:
        return await io.call("fake", {"token": Secret(NAME)}, read=False)

    ran = run(flow)
    settled = [row["event"]["payload_id"] for row in ran.events("effect.settled")]
    stored = everything(ran) + repr([ran.service.artifact(one) for one in settled])
    assert f"[secret {NAME}]" in stored
    assert "sw0rd" not in stored


def test_what_a_failed_attempt_had_written_is_kept_only_without() -> None:
    """A state that keeps what it had staged for people to look at keeps nothing that holds a secret."""

    async def fails(value: str) -> Executed:
        async def act(ctx: DynContext, _io: object, _rec: object) -> None:
            ctx.write("half", value)
            raise StepError("halfway")

        state = Does(act)
        state.snapshot = SnapshotPolicy.ALWAYS  # type: ignore[attr-defined]
        reader: Any = None
        overlay = ContextOverlay(Snapshots(reader), tree_of({}, lambda *_: None), Merges({}, {}))
        events = DomainEvents(RunConfig(), lambda _: None, SecretGuard(known()))
        provider: Any = None
        return await execute(state, overlay, provider, events, reader, timeout_ms=None, progress=lambda _: None)

    assert asyncio.run(fails("nothing")).diagnostic is not None
    held = asyncio.run(fails(f"seen {VALUE}"))
    assert held.diagnostic is None
    assert held.error is not None
    assert held.error.message == "halfway"


def known() -> KnownSecrets:
    """Return what a run knows that resolved the secret."""
    secrets = KnownSecrets()
    secrets.add(NAME, VALUE)
    return secrets


def test_while_nothing_is_known_nothing_is_looked_at() -> None:
    """What is no JSON passes, for it is not even read; then it would be."""
    guard = SecretGuard(KnownSecrets())
    guard.check("a fact", b"no JSON")
    guard.check_value("a fact", object())
    assert guard.refused is None
    knowing = SecretGuard(known())
    with pytest.raises(CanonicalJsonError):
        knowing.check("a fact", b"no JSON")
    with pytest.raises(CanonicalJsonError):
        knowing.check_value("a fact", object())
    assert knowing.refused is None
