"""Effects whose receivers know no keys: what was begun and not finished must be asked about, never done twice."""

from __future__ import annotations

from pathlib import Path
from time import sleep

from durum import Io, Workflow

flow = Workflow("acting", exec=["sh"])


@flow.step
async def before(io: Io) -> str:
    """Read something first."""
    return (await io.exec(["sh", "-c", "echo ready"])).stdout


@flow.step(effects="apply_side_effect")
async def line(before: str, io: Io) -> str:
    """Write a line through a shell that takes its time before and after."""
    done = await io.exec(["sh", "-c", "sleep 0.06; echo x >> lines; sleep 0.06; echo done"], read=False)
    return before + done.stdout


@flow.step(effects="apply_side_effect")
def body(line: str) -> str:
    """Be the effect itself: the function writes a line of its own."""
    sleep(0.03)
    with Path("bodies").open("a", encoding="utf-8") as file:
        file.write("x\n")
    sleep(0.03)
    return line


@flow.step
def end(line: str, body: str) -> int:
    """Go on."""
    return len(line + body)
