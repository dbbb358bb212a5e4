"""What is simulated: small workflows whose outcome depends on nothing but their input, whatever goes wrong on the way.

Their steps are hostile: they catch errors and fall back, take another path on a retry, call side by side, change arguments.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypedDict

from durum import Happened, Io, Retry, StepError, TransportError, UnknownEffect, Workflow
from tests.simulation.outside import Outside
from tests.simulation.world import current_world

if TYPE_CHECKING:
    from durum.ports import Transport

BEGIN = 5
AGAIN = Retry(attempts=8, delay=timedelta(milliseconds=400), max_delay=timedelta(seconds=3), jitter=0.5)
ARRIVED = timedelta(seconds=4)
"""By then a request has arrived or never will."""
EFFECT: dict[str, Any] = {"effects": "apply_side_effect", "retry": AGAIN}


class Begin(TypedDict):
    """Where a run begins."""

    begin: int


async def ask(io: Io, what: str, **more: Any) -> int:
    """Ask the outside."""
    answer: Any = await io.call("outside", {"ask": what, **more})
    return int(answer["answer"])


async def act(io: Io, what: str, **more: Any) -> str:
    """Have the outside do something."""
    answer: Any = await io.call("outside", {"ask": what, **more}, read=False)
    return str(answer["done"])


async def fail_once(io: Io, mark: str) -> None:
    """Fail an attempt until the record says that one has failed."""
    if await io.get_recorded_fact(mark) is None:
        moment = await io.now()
        await io.record_value(mark, {"failed": True})
        raise StepError(f"not yet, {moment:%Y}", retryable=True)


def outside() -> Transport:
    """Return the way to the outside of the world this code runs in."""
    return Outside(current_world.get())


def branches() -> Workflow:
    """Return branches side by side that only look: facts of every kind, retries, an append key, a sum, a hostile step."""
    flow = Workflow("branches", inputs=Begin, transports={"outside": outside})
    flow.key("trail", merge="append")
    flow.key("total", merge="sum")

    @flow.step
    async def seed(begin: int, io: Io) -> int:
        return begin + (await io.random_bytes(2))[0]

    add_trail(flow)
    add_total(flow)
    add_hostile(flow)

    @flow.step
    def tail(trail: list[str], total: int, hostile: tuple[str, int], wavering: str) -> dict[str, Any]:
        return {"trail": trail, "total": total, "hostile": hostile, "wavering": wavering}

    return flow


def add_trail(flow: Workflow) -> None:
    """Add states side by side that append to one key."""

    @flow.step(retry=AGAIN, writes="trail")
    async def north(seed: int, io: Io) -> list[str]:
        return [f"north {seed} {await ask(io, 'north')}"]

    @flow.step(retry=AGAIN, writes="trail")
    async def south(seed: int, io: Io) -> list[str]:
        await fail_once(io, "south:once")
        return [f"south {seed}", str(await ask(io, "south"))]

    @flow.step(writes="trail", after=[north])
    def beyond(seed: int) -> list[str]:
        return [f"beyond {seed}"]


def add_total(flow: Workflow) -> None:
    """Add states side by side that add to a sum, one of them at its third try."""

    @flow.step(writes="total")
    def first_part(seed: int) -> int:
        return seed * 3

    @flow.step(writes="total", retry=AGAIN)
    async def second_part(seed: int, io: Io) -> int:
        drawn = await io.random_bytes(3)
        await ask(io, "witness", saw=drawn.hex())
        await fail_once(io, "part:one")
        await fail_once(io, "part:two")
        return seed + drawn[0]


def add_hostile(flow: Workflow) -> None:
    """Add a state that does what authors do, and one that takes another path at its second try."""

    @flow.step
    async def hostile(trail: list[str], io: Io) -> tuple[str, int]:
        trail.append("not kept")
        try:
            await ask(io, "nowhere", sure=1)
            path = "straight"
        except TransportError as error:
            path = error.transport_code
        try:
            await asyncio.wait_for(ask(io, "never", sure=1), 0.01)
        except TimeoutError:
            path += " gave up"

        async def pair(number: int) -> int:
            first = await ask(io, "x" * (number + 1), sure=1)
            return first * await ask(io, "same", sure=1)

        return f"{path} {len(trail)}", sum(await asyncio.gather(*(pair(number) for number in range(3))))

    @flow.step(retry=AGAIN)
    async def wavering(seed: int, io: Io) -> str:
        if await io.get_recorded_fact("wavering") is None:
            await ask(io, "the way there")
            await io.record_value("wavering", "turned round")
            raise StepError("turned round", retryable=True)
        return f"{await ask(io, 'the way back')} {seed} {await io.recorded('wavering')}"


def effects() -> Workflow:
    """Return a workflow that acts: effects of every kind side by side, and an undo that comes after all of them."""
    flow = Workflow("effects", inputs=Begin, transports={"outside": outside})

    @flow.step
    async def plan(begin: int, io: Io) -> str:
        return f"{begin} {(await io.random_bytes(4)).hex()}"

    add_asking(flow)
    add_telling(flow)

    @flow.step(**EFFECT, after=["paid", "told", "filed", "checked"])
    async def undone(plan: str, io: Io) -> str:
        return await act(io, f"undo {plan}")

    @flow.step
    def tail(undone: str, booked: list[str], paid: str, told: list[str], filed: str, checked: int) -> list[Any]:
        return [undone, booked, paid, told, filed, checked]

    return flow


def add_asking(flow: Workflow) -> None:
    """Add effects nobody may repeat, which ask a person if it is not known whether they happened."""

    @flow.step(**EFFECT)
    async def booked(plan: str, io: Io) -> list[str]:
        before = await ask(io, "harbour")
        first = await act(io, f"book {plan}")
        return [str(before), first, await act(io, "book the way back")]

    @flow.step(**EFFECT, timeout=timedelta(seconds=3))
    async def paid(plan: str, io: Io) -> str:
        done = await act(io, f"pay {plan}")
        await fail_once(io, "paid:once")
        return done

    @flow.step(retry=AGAIN)
    async def checked(booked: list[str], io: Io) -> int:
        return len(booked) + await ask(io, "tower")


def add_telling(flow: Workflow) -> None:
    """Add an effect that may be repeated under its key, and one that looks for itself whether it happened."""

    @flow.step(**EFFECT, idempotency="{run_id}/told", idempotent=True)
    async def told(plan: str, io: Io) -> list[str]:
        return [await act(io, f"tell {number} {plan}", again=True) for number in range(2)]

    async def look(effect: UnknownEffect, io: Io) -> Happened | bool:
        await io.sleep(ARRIVED)
        answer: Any = await io.call("outside", {"ask": "the journal", "of": effect.key})
        return Happened(answer["found"]) if answer["found"] is not None else False

    @flow.step(**EFFECT, reconcile=look)
    async def filed(plan: str, io: Io) -> str:
        return await act(io, f"file {plan}")


def child() -> Workflow:
    """Return what is run as a child: it looks and acts."""
    flow = Workflow("family_child", inputs=Begin, transports={"outside": outside})

    @flow.step(retry=AGAIN)
    async def sounded(begin: int, io: Io) -> int:
        return begin + sum(await asyncio.gather(*(ask(io, f"deep {place}") for place in range(2))))

    @flow.step(**EFFECT)
    async def handed(sounded: int, io: Io) -> str:
        return await act(io, f"hand {sounded}")

    return flow


def family(child: Workflow) -> Workflow:
    """Return a step for each of some items beside a child run that acts."""
    flow = Workflow("family", inputs=Begin, transports={"outside": outside})

    @flow.step
    def places(begin: int) -> list[str]:
        return [f"place {begin + number}" for number in range(3)]

    @flow.step(each="places", writes="heights", retry=AGAIN, max_concurrency=2)
    async def height(item: str, index: int, io: Io) -> int:
        if index == 1:
            await fail_once(io, f"height:{index}")
        return await ask(io, item)

    @flow.step(child=child, result="handed")
    def handed_on(begin: int) -> Begin:
        return {"begin": begin + 1}

    @flow.step(**EFFECT, after=[height])
    async def signed(handed_on: str, io: Io) -> str:
        return await act(io, f"sign {handed_on}")

    @flow.step
    def tail(heights: list[int], signed: str) -> dict[str, Any]:
        return {"heights": heights, "signed": signed}

    return flow


CHILDREN: dict[str, Workflow] = {"family_child": child()}
WORKFLOWS: dict[str, Workflow] = {flow.name: flow for flow in (branches(), effects(), family(CHILDREN["family_child"]))}
