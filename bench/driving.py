"""Runs driven as the service drives them, also where it has no word for it: many in one event loop, or their commits kept."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

import durum
from bench.commits import Commit, RecordingStore
from bench.rounds import Took, timed
from durum.app import wiring
from durum.app.invocation import invocation, start_run
from durum.core.ids import RunId
from durum.engine.artifacts import ArtifactReader
from durum.engine.engine import Engine, Store
from durum.engine.inbox import Mailroom
from durum.engine.system import SystemClock, SystemEntropy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from durum.app.run_code import Code
    from durum.core.canonical import JsonObject


async def drive_many(store: Store, code: Code, inputs: Sequence[Mapping[str, object]]) -> None:
    """Start a run of a workflow for each of the inputs, side by side in this event loop, and drive them to their ends."""
    clock, entropy, mailroom, reader = SystemClock(), SystemEntropy(), Mailroom(store), ArtifactReader(store)
    first = start_run("", invocation(code, inputs[0]))  # git is asked once about the code, as it is for the children of a run

    async def one(given: Mapping[str, object]) -> None:
        engine = Engine(store, wiring.transports(None), clock, entropy, mailroom=mailroom, reader=reader)
        run_id = str(RunId.new(clock.now_ms(), entropy.random_bytes(10)))
        context = invocation(code, given).context
        state = await engine.start(msgspec.structs.replace(first, run_id=run_id, initial_context=context))
        assert state.completed is not None, "a run did not end"
        assert state.completed.status == "completed", state.completed.status

    await asyncio.gather(*map(one, inputs))


def started(folder: Path, code: Code, inputs: Mapping[str, object], options: str = "") -> Took:
    """Return what a whole start took, in a new store that is open."""
    with durum.open(f"sqlite:///{folder / 'runs.db'}{options}") as store:
        results: list[JsonObject] = []
        took = timed(lambda: results.append(store.start(code, inputs)))
    assert results[0]["status"] == "completed", results
    return took


def drive_recorded(path: Path, code: Code, inputs: Mapping[str, object]) -> list[Commit]:
    """Drive one run in a new store; return what it committed."""

    async def drive() -> list[Commit]:
        store = RecordingStore(path)
        try:
            await drive_many(store, code, [inputs])
        finally:
            await store.close()
        return store.commits

    return asyncio.run(drive())
