"""Stores a large file and goes on; the one in the middle of a stream waits there the first time, to be killed."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import durum
from durum import Io, StoredFile, TransportError, Workflow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from durum import TransportCall
    from durum.core.canonical import JsonObject, JsonValue

MIB = 1024 * 1024
PIECES = 5
COPIED = 128 * MIB


class LargeInput(TypedDict):
    """The file, which lies in the working directory."""

    path: str


large = Workflow("large", inputs=LargeInput)


@large.step
async def kept(path: str, io: Io) -> StoredFile | None:
    """Store the file, or do without it."""
    try:
        return await io.store_file(path)
    except TransportError as error:
        io.emit("did_without", {"code": error.transport_code})
        return None


@large.step
async def measured(kept: StoredFile | None, io: Io) -> int:
    """Read it back, piece by piece; of a larger one only the beginning."""
    size = 0
    if kept is not None:
        async for chunk in io.chunks(kept):
            size += len(chunk)
            if kept.size > COPIED:
                break
    return size


@large.step(effects="apply_side_effect")
async def copied(kept: StoredFile | None, measured: int, io: Io) -> int:
    """Write it somewhere else, unless it is large."""
    if kept is not None and kept.size <= COPIED:
        await io.write_file("copy", kept)
    return measured


def is_first() -> bool:
    """Tell whether nobody asked before, and tell the one who kills."""
    flag = Path("streaming")
    asked = flag.exists()
    flag.touch()
    return not asked


class Interrupted:
    """Streams five pieces of 1 MiB; the first time it waits for its death after the third."""

    async def call(self, request: JsonObject, call: TransportCall) -> JsonValue:
        """Stream."""
        del request

        async def pieces() -> AsyncIterator[bytes]:
            for number in range(PIECES):
                yield bytes([number]) * MIB
                if number == PIECES // 2 and is_first():
                    await asyncio.get_running_loop().create_future()

        return (await call.store(pieces())).id

    async def close(self) -> None:
        """Hold nothing."""


interrupted = Workflow("interrupted", transports={"source": Interrupted})


@interrupted.step
async def streamed(io: Io) -> str:
    """Fetch what the transport streams."""
    return str(await io.call("source", {}))


def main() -> None:
    """Run the first workflow on a file and print what it took: the peak of this process's memory, in KiB."""
    with contextlib.redirect_stdout(sys.stderr), durum.open("sqlite:///durum.db") as service:
        summary = service.start(large, {"path": sys.argv[1]})
        checked = service.verify(str(summary["run_id"]))
        service.write_artifact(str(summary["final_snapshot_id"]), lambda _: None)
    unit = 1 if sys.platform != "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit
    sys.stdout.write(f"{summary['status']} {checked.first_bad} {peak} {summary['run_id']}\n")


if __name__ == "__main__":
    main()
