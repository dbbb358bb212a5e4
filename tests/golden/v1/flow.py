"""The runs that golden logs are made of. A copy stands beside the logs of every version: they replay with that one."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypedDict

from durum import (
    DependencyEdge,
    ExecutionPlan,
    Io,
    Retry,
    StateMeta,
    StateNode,
    StateOutcome,
    StepError,
    TransportError,
    Workflow,
)
from durum.core.config import FixedBackoff, RetryPolicy, RunConfig
from durum.core.state import Happened, UnknownEffect

if TYPE_CHECKING:
    from durum.core.canonical import JsonObject

KEYS = 40  # more than an event lists by name
COPIES = 40
CONTEXT: JsonObject = {
    "topic": 'ünïcode \u2028 \U0001f600 "quoted" \\ \x00\x1f\x7f',
    "numbers": [0, -1, 1.5, 1e21, 1e-7, 9007199254740991, True, None],
    "large": "0123456789" * 600,
    "nested": {"a": {"b": [{"c": []}, {}]}, "": "empty key"},
    "items": [{"number": number, "text": "item " * (number % 7)} for number in range(200)],
    **{f"k{number:02}": {"value": number, "text": "x" * (number * 7 % 150)} for number in range(KEYS)},
}
CONFIG = RunConfig(
    max_concurrency=1,
    skip_tags=("debug",),
    retry_policy=RetryPolicy(max_attempts=2, backoff=FixedBackoff(delay_ms=250), jitter=0.0),
    event_profile="verbose",
)
SITE = "https://example.org"


class Inputs(TypedDict):
    """What the steps read of it by name."""

    topic: str
    numbers: list[Any]
    items: list[Any]


class Wide:
    """A state by the seed's contract: reads more keys than an event lists, writes as many as one can, and deletes some."""

    def meta(self) -> StateMeta:
        """Say nothing of itself."""
        return StateMeta()

    async def handle(self, ctx: Any, io: Any, rec: Any) -> StateOutcome:
        """Copy keys to others."""
        del io
        values = [ctx.read(f"k{number:02}") for number in range(KEYS)]
        for number in range(COPIES):
            ctx.write(f"copy/k{number:02}", values[number])
        ctx.delete("k00")
        ctx.delete("large")
        rec.emit("copied", {"keys": KEYS})
        return StateOutcome()


class Clash(Wide):
    """A state that writes a key another writes too."""

    def __init__(self, value: str) -> None:
        self._value = value

    async def handle(self, ctx: Any, io: Any, rec: Any) -> StateOutcome:
        """Write it."""
        del io, rec
        ctx.write("contested", self._value)
        return StateOutcome()


async def code_of(work: Any) -> str:
    """Return the code of the failure that a call comes to."""
    try:
        await work
    except TransportError as error:
        return error.transport_code
    return "none"


def calls(flow: Workflow) -> None:
    """Add a step that makes calls of every kind."""

    @flow.step
    async def calls(topic: str, numbers: list[Any], io: Io) -> dict[str, Any]:
        page = await io.http("GET", f"{SITE}/page", headers={"accept": "text/html"}, timeout=timedelta(seconds=5))
        again = await io.http("GET", f"{SITE}/page", headers={"accept": "text/html"}, timeout=timedelta(seconds=5))
        log = await io.exec(["git", "log", "-n", "1"], stdin=b"\x00\xff", env={"LANG": "C"}, max_output_bytes=1_000)
        file = await io.read_file("notes.txt", keep="attempt")
        failures = [
            await code_of(io.http("GET", f"{SITE}/missing")),
            await code_of(io.http("GET", f"{SITE}/limited")),
            await code_of(io.http("GET", f"{SITE}/down")),
            await code_of(io.http("GET", f"{SITE}/refused")),
            await code_of(io.exec(["git", "fail"])),
        ]
        try:
            await asyncio.wait_for(io.http("GET", f"{SITE}/slow"), 0.05)
        except TimeoutError:
            failures.append("cancelled")
        await io.record_value("chosen:value", {"topic": topic})
        io.emit("progress", {"half": True})
        io.emit("long", "word " * 5_000, verbose=True)
        return {
            "bodies": [page.text, again.text, log.stdout, file.decode()],
            "failures": failures,
            "moment": (await io.now()).isoformat(),
            "chance": (await io.random_bytes(6)).hex(),
            "uuid": str(await io.uuid()),
            "numbers": numbers,
        }


def trail(flow: Workflow) -> None:
    """Add steps side by side that add to one list, one that waits for a tag that is skipped, and one that is tried again."""
    flow.key("trail", merge="append")

    @flow.step(writes="trail")
    def left(calls: dict[str, Any]) -> list[str]:
        return [f"left {len(calls)}"] * 3

    @flow.step(writes="trail")
    def right(calls: dict[str, Any]) -> list[str]:
        return [f"right {len(calls)}"] * 40

    @flow.step(tags=("debug",))
    def debug(calls: dict[str, Any]) -> str:
        return str(calls)

    @flow.step(retry=Retry(attempts=3, delay=timedelta(milliseconds=400), jitter=0.5), timeout=timedelta(seconds=30))
    async def stubborn(trail: list[str], io: Io) -> int:
        answer = await io.http("GET", f"{SITE}/counter", keep="attempt")
        if answer.text != "2":
            message = f"not yet: {answer.text}"
            raise StepError(message, code="not_yet", retryable=True, details={"counter": answer.text})
        return len(trail)


def effects(flow: Workflow) -> None:
    """Add a step whose effect is repeated under its key, and one whose effect a person must look at."""

    @flow.step(effects="apply_side_effect", idempotency="{run_id}/deliver", idempotent=True, after=["debug"])
    async def deliver(stubborn: int, io: Io) -> str:
        await io.write_file("out.txt", f"{stubborn}\n")
        sent = await io.http("POST", f"{SITE}/deliver", json={"count": stubborn}, read=False)
        return sent.text

    @flow.step(effects="apply_side_effect")
    async def announce(deliver: str, io: Io) -> str:
        sent = await io.http("POST", f"{SITE}/announce", body=deliver, read=False)
        return sent.text


def completed(version: str = "1") -> ExecutionPlan:
    """Return the plan of a run that completes; another ``version`` is the same with one step's code changed."""
    flow = Workflow("golden", inputs=Inputs)
    calls(flow)
    trail(flow)
    effects(flow)

    @flow.step(version=version)
    def end(announce: str) -> dict[str, Any]:
        return {"announced": announce, "nothing": None}

    plan = flow.plan()
    wide = StateNode("golden.wide.main", Wide())
    edges = (*plan.edges, DependencyEdge("golden.calls.main", "golden.wide.main"))
    return ExecutionPlan(plan.op_id, (*plan.states, wide), edges, plan.merges)


def failed() -> ExecutionPlan:
    """Return the plan of a run with a state that fails for good, and one that goes on beside it."""
    flow = Workflow("failing", inputs=Inputs)

    @flow.step
    def broken(topic: str) -> str:
        message = f"cannot do {topic!r}"
        raise ValueError(message)

    @flow.step
    def after(broken: str) -> str:
        return broken

    @flow.step
    def later(after: str) -> str:
        return after

    @flow.step
    def beside(items: list[Any]) -> int:
        return len(items)

    return flow.plan()


def conflict() -> ExecutionPlan:
    """Return the plan of a run whose last states contradict each other."""
    states = tuple(StateNode(f"clashing.{value}.main", Clash(value)) for value in ("one", "two"))
    return ExecutionPlan("clashing", states)


def joined() -> ExecutionPlan:
    """Return the plan of a run with a state that cannot begin, for those before it contradict each other."""
    plan = conflict()
    last = StateNode("clashing.last.main", Wide())
    edges = tuple(DependencyEdge(node.id, last.id) for node in plan.states)
    return ExecutionPlan("clashing", (*plan.states, last), edges)


def extended() -> ExecutionPlan:
    """Return the plan of a run that grows: a state for each item, and a child run."""
    flow = Workflow("growing", inputs=Inputs)
    flow.key("total", merge="sum")

    @flow.step(each="numbers", writes="texts", max_concurrency=2)
    async def text(item: Any, index: int, io: Io) -> str:
        return f"{index}: {item} {(await io.random_bytes(2)).hex()}"

    @flow.step(child=CHILD, result="doubled")
    def child(texts: list[str]) -> ChildInputs:
        return {"number": len(texts)}

    @flow.step(writes="total")
    def first(child: int) -> int:
        return child

    @flow.step(writes="total")
    def second(texts: list[str]) -> int:
        return len(texts)

    return flow.plan()


class ChildInputs(TypedDict):
    """What the child run is started with."""

    number: int


CHILD = Workflow("child", inputs=ChildInputs)


@CHILD.step
def doubled(number: int) -> int:
    """Double it."""
    return 2 * number


def cancelled() -> ExecutionPlan:
    """Return the plan of a run that asks what became of an effect and is never answered."""
    flow = Workflow("given_up", inputs=Inputs)

    @flow.step(effects="apply_side_effect", retry=Retry(attempts=2, delay=timedelta(0), jitter=0.0))
    async def send(topic: str, io: Io) -> str:
        return (await io.http("POST", f"{SITE}/down", json={"topic": topic})).text

    @flow.step
    def after(send: str) -> str:
        return send

    @flow.step(effects="apply_side_effect", reconcile=look, retry=Retry(attempts=2, delay=timedelta(0), jitter=0.0))
    async def looked_up(topic: str, io: Io) -> str:
        return (await io.http("POST", f"{SITE}/down", json={"looked": topic})).text

    return flow.plan()


async def look(effect: UnknownEffect, io: Io) -> Happened:
    """Say that an effect happened."""
    await io.http("GET", f"{SITE}/page")
    return Happened({"status": 200, "body": {"encoding": "utf8", "data": effect.key}})


PLANS = {
    "completed": lambda: completed("2"),
    "failed": failed,
    "stopped": failed,
    "conflict": conflict,
    "joined": joined,
    "extended": extended,
    "cancelled": cancelled,
}
"""Name of a log -> the plan it replays with."""
