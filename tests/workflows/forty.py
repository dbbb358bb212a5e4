"""Forty-odd states beside fifty items for the crash tests, with effects that nobody may repeat and a child run with one too.

What it comes to depends on nothing but its input and its entropy, so that any two runs can be compared; the clock is read in
attempts that fail.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypedDict

from durum import Io, Retry, StepError, TransportError, Workflow
from tests.workflows.journal import AFTER_SECONDS, BEFORE_SECONDS, Journal, Tides, write_line

if TYPE_CHECKING:
    from collections.abc import Callable

BRANCHES = 6
LENGTH = 4
ITEMS = 50
EFFECTS = (
    "filed",
    "forty.announced.main",
    "forty.announced.main/1",
    "forty.settled.main",
    "forty_child.handed.main",
)
"""Keys of all effects, without the run's id."""

AGAIN = Retry(attempts=4, delay=timedelta(milliseconds=4), max_delay=timedelta(milliseconds=12), jitter=0.5)


class FortyInput(TypedDict):
    """Where the run begins."""

    begin: int


class ChildInput(TypedDict):
    """What the child run is given."""

    count: int


async def fail_once(io: Io, mark: str) -> None:
    """Fail an attempt until the record says that one has failed, which a crash may come between."""
    if await io.get_recorded_fact(mark) is None:
        moment = await io.now()
        await io.record_value(mark, {"failed": True})
        message = f"not yet, {moment:%Y}"
        raise StepError(message, retryable=True)


# --- the child --------------------------------------------------------------------------------------------------------

child = Workflow("forty_child", inputs=ChildInput, transports={"journal": Journal, "tides": Tides})


@child.step
async def sounded(count: int, io: Io) -> list[int]:
    """Read side by side."""
    answers: list[Any] = await asyncio.gather(*(io.call("tides", {"place": f"deep {place}"}) for place in range(4)))
    return [answer["height"] * count for answer in answers]


@child.step(effects="apply_side_effect")
async def handed(sounded: list[int], io: Io) -> str:
    """Hand it in, once."""
    answer: Any = await io.call("journal", {"text": f"handed {sum(sounded)}"}, read=False)
    return str(answer["taken"])


@child.step
def receipt(handed: str, sounded: list[int]) -> dict[str, int]:
    """Say what it came to."""
    return {"length": len(handed), "depth": sum(sounded)}


# --- a fan-out and what it adds up to ---------------------------------------------------------------------------------

flow = Workflow("forty", inputs=FortyInput, transports={"journal": Journal, "tides": Tides})
flow.key("trail", merge="append")
flow.key("total", merge="sum")


@flow.step
async def seed(begin: int, io: Io) -> int:
    """Begin with something random."""
    return begin + (await io.random_bytes(2))[0]


def link_step(before: str, branch: int, place: int) -> Callable[..., Any]:
    """Return the step at one place of one branch; it reads what the place before it gave."""

    async def link(io: Io, **given: int) -> int:
        answer: Any = await io.call("tides", {"place": f"{branch}{'+' * place}"})
        return given[before] * 3 % 1_000_003 + int(answer["height"])

    parameters = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in (before, "io")]
    link.__dict__["__signature__"] = inspect.Signature(parameters)
    link.__annotations__ = {before: int, "io": Io, "return": int}
    return link


for _branch in range(BRANCHES):
    for _place in range(LENGTH):
        _before = "seed" if _place == 0 else f"link{_branch}_{_place - 1}"
        flow.step(name=f"link{_branch}_{_place}")(link_step(_before, _branch, _place))


@flow.step(writes="trail")
def first_mark(link0_1: int) -> list[str]:
    """Add to a list others add to side by side."""
    return [f"first {link0_1}"]


@flow.step(writes="trail", retry=AGAIN)
async def second_mark(link1_1: int, io: Io) -> list[str]:
    """Add to it too, at the second try."""
    await fail_once(io, "second:mark")
    return [f"second {link1_1}", "and one more"]


@flow.step(writes="total")
def first_part(link2_3: int) -> int:
    """Add to a sum."""
    return link2_3


@flow.step(writes="total", retry=AGAIN)
async def second_part(link3_3: int, io: Io) -> int:
    """Add to it too, at the third try."""
    await fail_once(io, "part:one")
    await fail_once(io, "part:two")
    return link3_3 + (await io.uuid()).int % 97


@flow.step
async def hostile(trail: list[str], link4_3: int, io: Io) -> tuple[str, int]:
    """Mutate an argument, catch an error and fall back, give a call up, and call the same things side by side."""
    trail.append("not kept")
    try:
        await io.call("tides", {"place": "nowhere"})
        path = "straight"
    except TransportError as error:
        path = error.transport_code
    try:
        await asyncio.wait_for(io.call("tides", {"place": "ever"}), 0.005)
    except TimeoutError:
        path += " gave up"

    async def pair(number: int) -> int:
        first: Any = await io.call("tides", {"place": "x" * (number + 1)})
        second: Any = await io.call("tides", {"place": "same"})
        return int(first["height"]) * int(second["height"])

    heights = await asyncio.gather(*(pair(number) for number in range(4)))
    return f"{path} {len(trail)}", sum(heights) + link4_3


@flow.step(retry=AGAIN)
async def wavering(link5_3: int, io: Io) -> tuple[int, str]:
    """Take another path at the second try."""
    if await io.get_recorded_fact("wavering") is None:
        await io.call("tides", {"place": "the way there"})
        await io.record_value("wavering", "turned round")
        message = "turned round"
        raise StepError(message, retryable=True)
    answer: Any = await io.call("tides", {"place": "the way back"})
    return int(answer["height"]) + link5_3, str(await io.recorded("wavering"))


# --- effects ----------------------------------------------------------------------------------------------------------


@flow.step(effects="apply_side_effect")
async def announced(link0_3: int, io: Io) -> list[str]:
    """Do two things outside, with reads before, between and after."""
    before: Any = await io.call("tides", {"place": "harbour"})
    salt = await io.random_bytes(4)
    first: Any = await io.call("journal", {"text": f"first {before['height']} {salt.hex()}"}, read=False)
    between: Any = await io.call("tides", {"place": "bay"})
    second: Any = await io.call("journal", {"text": f"second {link0_3}"}, read=False)
    after: Any = await io.call("tides", {"place": "strait"})
    return [first["taken"], second["taken"], f"{between['height']} {after['height']}"]


@flow.step(effects="apply_side_effect", idempotency="{run_id}/filed", blocking=True)
def filed(link1_3: int) -> dict[str, Any]:
    """Be the effect itself, in a thread."""
    time.sleep(BEFORE_SECONDS)
    answer: dict[str, Any] = {"filed": link1_3}
    write_line("filed", answer)
    time.sleep(AFTER_SECONDS)
    return answer


@flow.step(effects="apply_side_effect", retry=AGAIN, after=["height"])
async def settled(total: int, io: Io) -> str:
    """Do something outside when all is quiet, and fail after it, once: the second try is served from the record."""
    answer: Any = await io.call("journal", {"text": f"settled {total}"}, read=False)
    await fail_once(io, "settled:once")
    return str(answer["taken"])


# --- items and a child ------------------------------------------------------------------------------------------------


@flow.step
def places(seed: int) -> list[str]:
    """Name what is looked at one by one."""
    return [f"place {seed} {number}" for number in range(ITEMS)]


@flow.step(each="places", writes="heights", retry=AGAIN)
async def height(item: str, index: int, io: Io) -> int:
    """Look at one place; every seventh takes a second try."""
    if index % 7 == 0:
        await fail_once(io, f"height:{index}")
    answer: Any = await io.call("tides", {"place": item})
    return int(answer["height"])


@flow.step(child=child, result="receipt")
def handed_on(link2_1: int) -> ChildInput:
    """Let another run do a part of it."""
    return {"count": link2_1 % 11 + 1}


@flow.step
def tail(
    heights: list[int],
    handed_on: dict[str, int],
    announced: list[str],
    filed: dict[str, Any],
    settled: str,
    hostile: tuple[str, int],
    wavering: tuple[int, str],
    total: int,
) -> dict[str, Any]:
    """Join what is left."""
    heights.reverse()
    said = [*announced, settled, hostile[0], wavering[1]]
    return {
        "said": said,
        "heights": sum(heights),
        "child": handed_on,
        "filed": filed,
        "numbers": [total, hostile[1], wavering[0]],
    }
