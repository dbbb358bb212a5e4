"""A run that weighs: pages, files of its own, processes, a child and an effect; it can be held, and short of files."""

from __future__ import annotations

import asyncio
import os
import resource
from pathlib import Path
from typing import Any, TypedDict

from durum import Io, Workflow
from tests.workflows.journal import Journal

ROWS = 12
ROW_CHARACTERS = 20_000


class Weight(TypedDict):
    """How heavy it is."""

    rows: int


class Number(TypedDict):
    """What the child is given."""

    n: int


light = Workflow("light", inputs=Number, exec=["echo"])


@light.step
async def said(n: int, io: Io) -> str:
    """Run a process."""
    return (await io.exec(["echo", str(n)])).stdout


flow = Workflow("burden", inputs=Weight, exec=["echo"], transports={"journal": Journal})


@flow.step
async def begun(rows: int) -> int:
    """Wait while there is a file named "hold", and be short of files if the environment says so."""
    while Path("hold").exists():  # noqa: ASYNC240 - another process lets it go
        Path("waiting").touch()  # noqa: ASYNC240 - tells that process
        await asyncio.sleep(0.01)
    if "SPARE_FILES" in os.environ:
        held = max(int(name) for name in os.listdir("/proc/self/fd")) + 1  # noqa: PTH208
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (held + int(os.environ["SPARE_FILES"]), most))
    return rows


@flow.step
def numbers(begun: int) -> list[int]:
    """Count."""
    return list(range(begun))


@flow.step(each="numbers", writes="rows_read")
async def row(item: int, io: Io) -> str:
    """Weigh on the database: by what is recorded, and by what is written."""
    return (await io.exec(["echo", f"{item:04}" * (ROW_CHARACTERS // 4)])).stdout


@flow.step
async def filed(begun: int, io: Io) -> int:
    """Weigh on the folder beside it, by a file that is there."""
    del begun
    return (await io.store_file("cargo")).size


@flow.step
def large(begun: int) -> str:
    """Write a value that gets a file."""
    return "l" * (90_000 + begun)


@flow.step(child=light, result="said")
def handed(begun: int) -> Number:
    """Have a child."""
    return {"n": begun}


@flow.step(effects="apply_side_effect")
async def announced(rows_read: list[str], filed: int, io: Io) -> str:
    """Do something outside."""
    answer: Any = await io.call("journal", {"text": f"{len(rows_read)} rows, {filed} bytes"}, read=False)
    return str(answer["taken"])


@flow.step
def landed(announced: str, handed: str, large: str) -> list[str]:
    """Join what is left."""
    return [announced, handed, large[:1]]
