"""Whatever a step tries to leave behind is refused if it holds a secret, and the refusal does not repeat it."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest

from durum import Io, Secret, Workflow
from tests.engine.doubles import counting
from tests.engine.runs import run

if TYPE_CHECKING:
    from collections.abc import Callable

TOKEN = "ghp_" + "a1B2" * 9
OPAQUE = "hunter2-canary"


@pytest.mark.parametrize(
    "leave",
    [
        lambda _: TOKEN,
        lambda _: {"deep": [{"apiKey": OPAQUE}]},
        lambda _: {TOKEN: 1},
        lambda _: {"headers": [["authorization", f"Basic {OPAQUE}"]]},
        lambda io: io.emit(TOKEN, 1),
        lambda io: io.emit("told", {"password": OPAQUE}),
        lambda io: io.emit("password", OPAQUE),
        lambda io: io.record_value(TOKEN, 1),
        lambda io: io.record_value("key", {"passphrase": OPAQUE}),
        lambda io: io.record_value("access_token", OPAQUE),
        lambda io: io.call("fake", {}, fact_key=TOKEN),
        lambda io: io.call(TOKEN, {}),
        lambda io: io.call("fake", {"argv": ["send", TOKEN]}),
        lambda io: io.call("fake", {"connect": f"postgres://app:{OPAQUE}@db/x"}),
        lambda io: io.call("fake", {"secret": Secret(TOKEN)}),
        lambda io: io.exec(["true"], env={"PGPASSWORD": OPAQUE}),
        lambda io: io.http("GET", "https://example.com", headers={"x-api-key": OPAQUE}),
    ],
    ids=range(17),
)
def test_a_secret_is_refused_wherever_a_step_would_leave_it(leave: Callable[[Io], Any]) -> None:
    """In results, events, facts and requests, in names and in values; nothing is called, and nothing of it is stored."""
    fake = counting()
    flow = Workflow("leaving", exec=["true"], transports={"fake": lambda: fake})

    @flow.step
    async def step(io: Io) -> Any:
        result = leave(io)
        return await result if inspect.isawaitable(result) else result

    ran = run(flow).sound()
    assert ran.error["code"] == "secrets_detected"
    assert (fake.seen, ran.facts()) == ([], [])
    stored = str([ran.events(), ran.summary])
    assert OPAQUE not in stored
    assert TOKEN not in stored


def test_a_step_of_a_secret_name_leaves_none() -> None:
    """The key its result is written under says what it is."""
    flow = Workflow("naming")

    @flow.step
    def password() -> str:
        return OPAQUE

    ran = run(flow).sound()
    assert ran.error["message"].startswith("the context holds a secret at $.password (key name)")


@pytest.mark.parametrize(
    "value",
    [
        "the password is wrong, so enter your password again",
        "please read the long report and write a short summary of it for the whole team today",
        "artifact_written seeding_database",
        {"password": {"type": "string"}, "password_hint": "a fish", "api_key": "${API_KEY}"},
    ],
    ids=range(4),
)
def test_ordinary_words_pass(value: Any) -> None:
    """Prose about secrets, long sentences, schemas and placeholders go where a secret may not."""
    flow = Workflow("ordinary", transports={"fake": counting})

    @flow.step
    async def step(io: Io) -> Any:
        io.emit("told", value)
        await io.record_value("key", value)
        await io.call("fake", {"said": value})
        return value

    assert run(flow).sound().context["step"] == value


def test_what_a_step_raises_is_recorded_without_its_secrets() -> None:
    """Tokens by their format, values by the name before them, in the message and in what it was raised from."""
    flow = Workflow("raising")

    @flow.step
    def step() -> None:
        raise ValueError(f"login with password={OPAQUE} and {TOKEN} failed") from KeyError(TOKEN)

    ran = run(flow).sound()
    assert ran.error["message"] == "ValueError: login with password=[secret] and [secret] failed"
    assert OPAQUE not in str(ran.events())
    assert TOKEN not in str(ran.events())
