"""A little of everything that leaves something durable or reaches the outside, in few states: for a kill at every boundary."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from durum import Happened, Io, Retry, StepError, UnknownEffect, Workflow
from tests.workflows.journal import Tides, lines_of, write_line

if TYPE_CHECKING:
    from durum.core.canonical import JsonObject, JsonValue
    from durum.ports import TransportCall

LARGE = 70_000  # bytes: a file of its own beside the store
EFFECTS = ("filed", "rich.announced.main", "rich.announced.main/1", "rich.registered.main", "rich_child.handed.main")
"""Keys of all effects that leave a line, without the run's id; the file that is written is another one."""


class Quick:
    """Implements ``Transport``: leaves a line at once."""

    async def call(self, request: JsonObject, call: TransportCall) -> JsonValue:
        """Do it as often as it is asked."""
        assert call.effect_key is not None
        write_line(call.effect_key, request)
        return {"taken": request["text"]}

    async def close(self) -> None:
        """Hold nothing."""


class ChildInput(TypedDict):
    """What the child run is given."""

    count: int


child = Workflow("rich_child", inputs=ChildInput, transports={"journal": Quick})


@child.step(effects="apply_side_effect")
async def handed(count: int, io: Io) -> str:
    """Hand something in, once."""
    answer: Any = await io.call("journal", {"text": f"handed {count}"}, read=False)
    return str(answer["taken"])


flow = Workflow("rich", transports={"journal": Quick, "tides": Tides})


@flow.step(retry=Retry(attempts=2, delay=timedelta(milliseconds=1)))
async def large(io: Io) -> str:
    """Give something large, at the second try."""
    if await io.get_recorded_fact("failed") is None:
        await io.record_value("failed", 1)
        message = "not yet"
        raise StepError(message, retryable=True)
    return "x" * LARGE


def write_source() -> None:
    """Leave something to read."""
    Path("source").write_bytes(b"y" * LARGE)


@flow.step
async def streamed(io: Io) -> int:
    """Stream a file into the store."""
    write_source()
    return (await io.store_file("source")).size


@flow.step
def places() -> list[str]:
    """Name what is looked at one by one."""
    return ["a", "b"]


@flow.step(each="places", writes="heights")
async def height(item: str, io: Io) -> int:
    """Look at one of two places."""
    answer: Any = await io.call("tides", {"place": item})
    return int(answer["height"])


@flow.step(effects="apply_side_effect", after=[large])
async def announced(io: Io) -> list[str]:
    """Do two things outside, and write a file."""
    first: Any = await io.call("journal", {"text": "first"}, read=False)
    second: Any = await io.call("journal", {"text": "second"}, read=False)
    await io.write_file("page", "said\n")
    return [first["taken"], second["taken"]]


async def look(effect: UnknownEffect, io: Io) -> Happened | bool:
    """Look at a receiver's own list, which costs a call, and at the journal for the truth."""
    await io.call("tides", {"place": "harbour"})
    found = [answer for key, answer in lines_of(Path()) if key == effect.key.partition("/")[2]]
    return Happened({"taken": found[0]["text"]}) if found else False


@flow.step(effects="apply_side_effect", reconcile=look)
async def registered(heights: list[int], io: Io) -> str:
    """Do something outside that can be looked up."""
    answer: Any = await io.call("journal", {"text": f"registered {len(heights)}"}, read=False)
    return str(answer["taken"])


@flow.step(effects="apply_side_effect", idempotency="{run_id}/filed")
def filed(streamed: int) -> int:
    """Be the effect itself."""
    write_line("filed", {"filed": streamed})
    return streamed


@flow.step(child=child, result="handed")
def handed_on(heights: list[int]) -> dict[str, int]:
    """Let another run do a part of it."""
    return {"count": len(heights)}


@flow.step
def tail(large: str, announced: list[str], registered: str, filed: int, handed_on: str) -> list[object]:
    """Join what is left."""
    return [len(large), announced, registered, filed, handed_on]
