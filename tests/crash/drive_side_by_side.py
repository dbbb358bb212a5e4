"""Drives many runs in one event loop over one store: starts those that have not begun, resumes the others.

    python -m tests.crash.drive_side_by_side STORE RUN...

It says on stdout, which should be a file, which events were acknowledged to it, a line each: run, seq, hash.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from durum import Io, Workflow
from durum.app import wiring
from durum.app.invocation import invocation, start_run
from durum.engine.engine import Engine, Watcher
from durum.engine.inbox import Mailroom
from durum.engine.system import SystemClock, SystemEntropy
from durum.stores.sqlite import SqliteStore

if TYPE_CHECKING:
    from durum.core.events import Envelope

flow = Workflow("side_by_side")
flow.key("trail", merge="append")


@flow.step(writes="trail")
def first() -> list[str]:
    """Begin."""
    return ["first"]


@flow.step
async def drawn(io: Io) -> str:
    """Draw something; it is the same after every crash."""
    return (await io.random_bytes(4)).hex()


@flow.step
def doubled(drawn: str) -> str:
    """Go by what was drawn."""
    return drawn * 2


@flow.step(each="doubled_items", writes="items")
def item(item: str) -> str:
    """See to one item, after a pause that lets the other runs go on."""
    return item.upper()


@flow.step
def doubled_items(doubled: str) -> list[str]:
    """Take it apart."""
    return list(doubled)


@flow.step(writes="trail")
def last(items: list[str], drawn: str) -> list[str]:
    """End."""
    return [*items, drawn]


def tell(envelope: Envelope) -> None:
    """Say that an event is durable."""
    os.write(1, f"{envelope.run_id} {envelope.seq} {envelope.hash}\n".encode())


async def drive(path: Path, run_ids: list[str]) -> None:
    """Drive every run to its end."""
    store = SqliteStore(path)
    mailroom, asked = Mailroom(store), invocation(flow)

    async def one(run_id: str) -> None:
        engine = Engine(store, wiring.transports(flow), SystemClock(), SystemEntropy(), Watcher(event=tell), mailroom=mailroom)
        head = await store.head(run_id)
        begun = head is not None and head.seq > 0
        state = await (engine.resume(run_id, asked.plan) if begun else engine.start(start_run(run_id, asked)))
        assert state.over

    await asyncio.gather(*map(one, run_ids))
    await store.close()


if __name__ == "__main__":
    asyncio.run(drive(Path(sys.argv[1]), sys.argv[2:]))
