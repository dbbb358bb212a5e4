"""The runs that golden stores are made of. A copy stands beside the store of every schema: its runs go on with that."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypedDict

from durum import Io, Retry, StoredFile, Workflow

if TYPE_CHECKING:
    from collections.abc import Callable

    from durum import ExecutionPlan

LARGE = "0123456789abcdef" * 4_200


class Number(TypedDict):
    """What a child run is started with."""

    number: int


child = Workflow("child", inputs=Number)
growing = Workflow("growing")
asking = Workflow("asking")
cut = Workflow("cut")


@child.step
def doubled(number: int) -> int:
    """Double it."""
    return 2 * number


@growing.step
def large() -> str:
    """Make what is too long for a row."""
    return LARGE


@growing.step
async def kept(io: Io) -> StoredFile:
    """Have a file streamed into the store."""
    return await io.store_file("notes.txt")


@growing.step(child=child, result="doubled")
def spawned(large: str) -> Number:
    """Start a run."""
    return {"number": len(large)}


@growing.step
def numbers(kept: StoredFile) -> list[int]:
    """Find out how many there are."""
    return list(range(kept.size % 7))


@growing.step(each="numbers", writes="drawn", max_concurrency=2)
async def draw(item: int, io: Io) -> str:
    """Ask chance, once for each."""
    return f"{item}: {(await io.random_bytes(2)).hex()}"


@growing.step
def end(drawn: list[str], spawned: int) -> dict[str, Any]:
    """Bring them together."""
    return {"drawn": drawn, "spawned": spawned}


@asking.step(effects="apply_side_effect", retry=Retry(attempts=2, delay=timedelta(0), jitter=0))
async def sent(io: Io) -> str:
    """Lose the connection once it was used."""
    return (await io.http("POST", "https://example.org/down", body="hello")).text


@asking.step
def told(sent: str) -> int:
    """Go on once somebody has said what became of it."""
    return len(sent)


@cut.step
async def before(io: Io) -> str:
    """Come to an end before the process does."""
    page = await io.http("GET", "https://example.org/page")
    return page.text


@cut.step
async def under_way(before: str, io: Io) -> str:
    """Be under way when the process dies; what was answered by then is on record."""
    page = await io.http("GET", f"https://example.org/{len(before)}")
    return page.text


@cut.step
def after(under_way: str) -> str:
    """Come after the crash."""
    return under_way.upper()


PLANS: dict[str, Callable[[], ExecutionPlan]] = {
    "growing": growing.plan,
    "child": child.plan,
    "asking": asking.plan,
    "cut": cut.plan,
}
"""Name of a run's workflow -> the plan it replays and goes on with."""
