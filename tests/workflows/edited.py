"""A small workflow that other texts are made from: tests/history edits it by name and replays its runs with the result."""

# ruff: noqa: PERF401 - the loop below is there to be rewritten
from __future__ import annotations

from typing import Any, TypedDict

from durum import Io, StepError, TransportError, Workflow

GREETING = "hello"


class Echo:
    """Answers with what it was asked and how many calls it had; refuses what it is told to."""

    def __init__(self) -> None:
        self.calls = 0

    async def call(self, request: dict[str, Any], call: object) -> dict[str, Any]:
        """Answer."""
        del call
        self.calls += 1
        if "refuse" in request:
            raise TransportError("told to", code="told_to")
        return {**request, "calls": self.calls}

    async def close(self) -> None:
        """Nothing is open."""


class EditedInput(TypedDict):
    """How to speak."""

    tone: str


flow = Workflow("edited", inputs=EditedInput, transports={"echo": Echo})


def shout(text: str) -> str:
    """Make it loud."""
    return text.upper() + "!"


@flow.step
async def names(io: Io) -> list[str]:
    """Ask for names."""
    answer = await io.call("echo", {"say": ["ada", "bob", "cyd", "dan", "eve", "fay", "gus", "hal"]})
    assert isinstance(answer, dict)
    words: Any = answer["say"]
    io.emit("asked", {"count": len(words)})
    return list(words)


@flow.step
async def stamped(io: Io) -> str:
    """Ask the clock and chance."""
    moment = await io.now()
    dice = await io.random_bytes(4)
    return f"{moment:%H:%M:%S.%f} {dice.hex()}"


@flow.step
def greetings(names: list[str]) -> list[str]:
    """Greet everyone."""
    result = []
    for name in names:
        result.append(GREETING + " " + name)
    return result


@flow.step
def loud(greetings: list[str], tone: str) -> list[str]:
    """Greet them loudly."""
    return [shout(text) for text in greetings] + [tone]


@flow.step
async def shaky(io: Io) -> str:
    """Fail once, by the answer."""
    tried: Any = await io.call("echo", {"try": "first"}, keep="attempt")
    if await io.get_recorded_fact("shaken") is None:
        await io.record_value("shaken", tried["try"])
        message = "not yet"
        raise StepError(message, retryable=True)
    return "fine"


@flow.step
async def fallback(io: Io) -> str:
    """Catch a refusal."""
    try:
        await io.call("echo", {"refuse": True})
    except TransportError as error:
        return "fell back on " + error.transport_code
    return "straight"


@flow.step
async def ordered(io: Io) -> list[Any]:
    """Ask twice."""
    first: Any = await io.call("echo", {"say": "one"})
    second: Any = await io.call("echo", {"say": "two"})
    return [first["say"], second["say"]]


@flow.step
def unique(names: list[str]) -> list[str]:
    """Sort them."""
    return sorted(set(names))


@flow.step
def summary(loud: list[str], stamped: str, shaky: str, fallback: str, ordered: list[str]) -> dict[str, int]:
    """Count."""
    return {"loud": len(loud), "rest": len(stamped + shaky + fallback + "".join(ordered))}


@flow.step(effects="apply_side_effect", idempotency="{run_id}/send")
async def send(summary: dict[str, int], io: Io) -> bool:
    """Tell someone."""
    told = await io.call("echo", {"send": summary["loud"]}, read=False)
    return told is not None
