"""Workflows a worker drives in tests, and what it says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from durum import Io, Workflow
from durum.engine.stop import Stop
from durum.stores.memory import MemoryBackend
from tests.engine.crashes import opened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from durum import Durum
    from durum.app.run_code import Code
    from durum.app.worker import Report

PATIENCE_SECONDS = 30


class Named(TypedDict):
    """What a run is called."""

    name: str


def run_id(number: int) -> str:
    """Return the id of the n-th run."""
    return f"01890a5d-ac96-774b-bcce-b3020000{number:04}"


def plain(name: str = "flow", do: Callable[[], object] = lambda: None) -> Workflow:
    """Return a workflow of two steps; the second one does something."""
    flow = Workflow(name)

    @flow.step
    async def first(io: Io) -> str:
        return str(await io.uuid())

    @flow.step
    def second(first: str) -> str:
        do()
        return first

    return flow


def handed_in(service: Durum, flow: Workflow, count: int, inputs: dict[str, object] | None = None) -> list[str]:
    """Leave runs for a worker and return their ids."""
    ids = [run_id(number) for number in range(count)]
    for identity in ids:
        assert service.start(flow, inputs, run_id=identity, detach=True)["status"] == "pending"
    return ids


def worked(service: Durum, codes: Iterable[Code], concurrency: int = 4) -> list[Report]:
    """Let a worker drive until nothing is due, and return what it told."""
    told: list[Report] = []
    service.work(codes, concurrency=concurrency, until_idle=True, tell=told.append)
    return told


def said(told: Iterable[Report]) -> list[tuple[str, str, str]]:
    """Return event, run and status of what a worker told."""
    return [(report.event, report.run_id, report.status) for report in told]


def statuses(service: Durum) -> dict[str, Any]:
    """Return run -> status."""
    return {str(row["run_id"]): row["status"] for row in service.runs()}


def stopped() -> Stop:
    """Return a word to let go at once."""
    stop = Stop()
    stop.drain()
    return stop


def acting() -> Workflow:
    """Return a workflow whose effect is cut off in its middle the first time."""
    flow = Workflow("acting")
    began: list[str] = []

    @flow.step(effects="apply_side_effect")
    def one() -> str:
        began.append("x")
        if len(began) == 1:
            raise KeyboardInterrupt
        return "sent again"

    return flow


def finished(flow: Workflow, identity: str) -> MemoryBackend:
    """Return a store in which the run is over."""
    backend = MemoryBackend()
    opened(backend).start(flow, run_id=identity)
    return backend
