"""Plain steps one behind another, with a call and an effect on the way: most of its commits wait for no disk."""

from __future__ import annotations

from typing import Any

from durum import Io, Workflow
from tests.workflows.journal import Journal

flow = Workflow("steady", exec=["echo"], transports={"journal": Journal})


@flow.step
def one() -> int:
    """Begin."""
    return 1


@flow.step
def two(one: int) -> int:
    """Go on."""
    return one + 1


@flow.step
def three(two: int) -> int:
    """Go on."""
    return two + 1


@flow.step
async def read(three: int, io: Io) -> str:
    """Ask outside, which must not be told what is not durable."""
    return (await io.exec(["echo", str(three)])).stdout


@flow.step
def four(read: str) -> int:
    """Go on."""
    return int(read) + 1


@flow.step
def five(four: int) -> int:
    """Go on."""
    return four + 1


@flow.step(effects="apply_side_effect")
async def announced(five: int, io: Io) -> str:
    """Do something outside."""
    answer: Any = await io.call("journal", {"text": f"{five} steps"}, read=False)
    return str(answer["taken"])


@flow.step
def six(announced: str) -> str:
    """Go on."""
    return announced.upper()


@flow.step
def seven(six: str) -> int:
    """Go on."""
    return len(six)


@flow.step
def eight(seven: int) -> int:
    """Go on."""
    return seven + 1


@flow.step
def nine(eight: int) -> int:
    """Go on."""
    return eight + 1


@flow.step
def ten(nine: int) -> int:
    """Go on."""
    return nine + 1


@flow.step
def eleven(ten: int) -> int:
    """Go on."""
    return ten + 1


@flow.step
def twelve(eleven: int) -> int:
    """End."""
    return eleven + 1
