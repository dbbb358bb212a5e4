"""A workflow with everything a fault could spoil, and the world it works on; what it comes to depends on no order."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypedDict

from durum import Io, Retry, TransportError, Workflow

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from durum import Transport, TransportCall
    from durum.core.canonical import JsonObject, JsonValue

AGAIN = Retry(attempts=4, delay=timedelta(milliseconds=1), jitter=0)
CARGO_BYTES = 150_000
ITEMS = 3


class World:
    """Implements ``Transport``: answers by the request alone, and keeps every effect in ``journal`` under its key."""

    def __init__(self) -> None:
        self.journal: list[tuple[str, JsonValue]] = []

    async def call(self, request: JsonObject, call: TransportCall) -> JsonValue:
        """Do what is asked for."""
        await asyncio.sleep(0)
        if "store" in request:
            stored = await call.store(cargo(int(str(request["store"]))))
            return {"id": stored.id, "size": stored.size}
        if "stored" in request:
            return sum([len(chunk) async for chunk in call.stored(str(request["stored"]))])
        answer: JsonObject = {"said": str(request["say"])[::-1]}
        if call.effect_key is not None:
            self.journal.append((call.effect_key, answer))
            if request.get("lose"):  # it happened, and nobody is told so
                raise TransportError("the line went dead", code="line_lost", retryable=True)
        return answer

    async def close(self) -> None:
        """Hold nothing."""


async def cargo(size: int) -> AsyncGenerator[bytes, None]:
    """Hand out bytes in pieces."""
    for _ in range(3):
        await asyncio.sleep(0)
        yield b"c" * (size // 3)


class Given(TypedDict):
    """Where it begins."""

    n: int


def harbour(world: Callable[[], Transport]) -> Workflow:
    """Return the workflow: reads side by side, a join, an append key, items, a child, a stream, effects and a question."""
    flow = Workflow("harbour", inputs=Given, transports={"world": world})
    flow.key("trail", merge="append")
    add_reads(flow)
    add_effects(flow)
    flow.step(child=pilot(world), result="brought")(piloted)
    flow.step(sailed)
    return flow


def add_reads(flow: Workflow) -> None:
    """Add what only looks."""

    @flow.step(retry=AGAIN)
    async def left(n: int, io: Io) -> list[str]:
        first, second = await asyncio.gather(*(io.call("world", {"say": f"{n} {side}"}) for side in ("a", "b")))
        return [str(first), str(second)]

    @flow.step(retry=AGAIN)
    async def right(n: int, io: Io) -> str:
        return (await io.random_bytes(2)).hex() * 20_000 + str(await io.call("world", {"say": f"right {n}"}))

    @flow.step(writes="trail")
    def near(left: list[str]) -> list[str]:
        return ["near", *left]

    @flow.step(writes="trail")
    def far(right: str) -> list[str]:
        return ["far", right[-10:]]

    @flow.step
    def boats(n: int) -> list[int]:
        return list(range(n, n + ITEMS))

    @flow.step(each="boats", writes="berths", retry=AGAIN)
    async def berth(item: int, io: Io) -> str:
        return str(await io.call("world", {"say": f"berth {item}"}))

    @flow.step(retry=AGAIN)
    async def loaded(n: int, io: Io) -> int:
        stored: Any = await io.call("world", {"store": CARGO_BYTES + n})
        return int(str(await io.call("world", {"stored": stored["id"]})))


def add_effects(flow: Workflow) -> None:
    """Add what acts on the world."""

    @flow.step(effects="apply_side_effect", retry=AGAIN)
    async def paid(trail: list[str], io: Io) -> list[str]:
        return [str(await io.call("world", {"say": f"{name} {len(trail)}"}, read=False)) for name in ("dues", "tax")]

    @flow.step(effects="apply_side_effect", retry=AGAIN)
    async def wired(loaded: int, io: Io) -> str:
        return str(await io.call("world", {"say": f"wire {loaded}", "lose": True}, read=False))


def piloted(n: int) -> Given:
    """Have a child."""
    return {"n": n + 1}


def sailed(left: list[str], right: str, berths: list[str], piloted: str, paid: list[str], wired: str) -> list[Any]:
    """Join what is left."""
    return [left, len(right), berths, piloted, paid, wired]


def pilot(world: Callable[[], Transport]) -> Workflow:
    """Return the child: it reads and acts."""
    child = Workflow("pilot", inputs=Given, transports={"world": world})

    @child.step(effects="apply_side_effect", retry=AGAIN)
    async def brought(n: int, io: Io) -> str:
        asked: Any = await io.call("world", {"say": f"way {n}"})
        return str(await io.call("world", {"say": f"bring {asked['said']}"}, read=False))

    return child
