"""Who lives in a simulated world: workers, which are the shipped ones, and people who start runs, look, answer and steer."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING

from durum.app.worker import Report, Worker
from durum.core.config import RunConfig
from durum.engine.artifacts import ArtifactReader
from durum.engine.delivery import deliver
from durum.engine.inbox import Answer, Content, Steer, message
from durum.engine.recovery import load_run
from durum.engine.stop import Stop
from durum.errors import ConcurrencyError, NotFoundError, RunExistsError, RunOwnedError, StoreUnavailableError
from tests.simulation.checker import QUARANTINE
from tests.simulation.codes import Wanted, code_of, engine_of, named
from tests.simulation.workflows import BEGIN, WORKFLOWS
from tests.simulation.world import SimulatedClock, SimulatedEntropy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from durum.core.canonical import JsonObject
    from durum.core.run_state import RunState
    from durum.ports import Head
    from tests.simulation.loop import Process
    from tests.simulation.shared_store import SimulatedStore
    from tests.simulation.world import World

EXPECTED = (ConcurrencyError, NotFoundError, RunExistsError, RunOwnedError, StoreUnavailableError)
"""What may go wrong for a person in a world like this; whatever else does is a finding."""

PATIENCE_SECONDS = 4.0  # by then a request is there: what the outside has not done, it will not do
_SENDS = 5

Open = "Callable[[World, Process], SimulatedStore]"


class WorkerProcess:
    """A process with one shipped worker in it."""

    def __init__(self, world: World, open_store: Callable[[World, Process], SimulatedStore]) -> None:
        self._world = world
        self._open = open_store

    async def __call__(self, process: Process) -> None:
        """Live."""
        world, stop = self._world, Stop()
        process.leave = world.random.choice((stop.now, stop.drain))
        store = self._open(world, process)
        worker = Worker(
            store,
            SimulatedClock(world),
            SimulatedEntropy(world),
            named,
            lambda workflow, watcher: engine_of(store, workflow, watcher, stop),
            stop=stop,
            tell=lambda said: self._tell(store, said),
            concurrency=4,
        )
        await worker.work()
        await store.close()

    def _tell(self, store: SimulatedStore, report: Report) -> None:
        """Note what a worker says. The store may be away, and a run lost to another worker; all else is a finding."""
        said = f"says {report.event} {report.run_id[-4:]} {report.status} {report.message}"
        away = report.message.startswith("store simulated")
        if (report.event == "trouble" and not away) or (report.event == "lost" and self._lost_to_itself(store, report)):
            self._world.fault(said)
        else:
            self._world.tell(said)

    def _lost_to_itself(self, store: SimulatedStore, report: Report) -> bool:
        """Tell whether nobody else became the owner of the run after the epoch in which a worker gives it for lost."""
        moved = re.match(r"run (\S+) moved on: expected head \d+ in epoch (\d+)", report.message)
        if moved is None:
            return True
        later = [claim for claim in self._world.record.claims if claim.run_id == moved[1] and claim.epoch > int(moved[2])]
        return all(claim.worker == store.worker for claim in later)


class PersonProcess:
    """Someone who gives commands, each with a handle of its own: starts what is wanted, looks, answers, pauses and cancels."""

    def __init__(self, world: World, open_store: Callable[[World, Process], SimulatedStore], wanted: Sequence[Wanted]) -> None:
        self._world = world
        self._open = open_store
        self._wanted = {run.run_id: run for run in wanted}
        self._known: dict[str, int] = {}  # run -> head of one there is nothing to do for
        self._since: dict[str, float] = {}  # what was seen -> when it was seen first
        self._said: set[str] = set()

    async def __call__(self, process: Process) -> None:
        """Live."""
        while True:
            store = self._open(self._world, process)
            with contextlib.suppress(*EXPECTED):
                heads = {head.run_id: head for head in await store.heads()}
                for run in self._wanted.values():
                    if run.run_id not in heads:
                        await self._start(store, run)
                for head in heads.values():
                    await self._look(store, head)
            await store.close()
            await asyncio.sleep(1.0)

    async def _start(self, store: SimulatedStore, run: Wanted) -> None:
        workflow = WORKFLOWS[run.workflow]
        start = code_of(workflow).start_run(run.run_id, {"begin": BEGIN}, RunConfig())
        await engine_of(store, workflow).start(start, detach=self._world.random.random() < 0.7)

    async def _look(self, store: SimulatedStore, head: Head) -> None:
        """Look at a run that moved on, or wants something."""
        if self._known.get(head.run_id) == head.seq:
            return
        loaded = await load_run(store, ArtifactReader(store), head.run_id)
        state, run = loaded.state, self._wanted.get(head.run_id)
        if state.paused is not None and (run is not None or state.paused.actor == QUARANTINE):  # else it waits for its parent
            if self._has_seen(f"{head.run_id} paused by event {state.seq}"):
                workflow, plan = named(loaded)
                await engine_of(store, workflow).resume(head.run_id, plan, "someone")
        elif state.gates and not state.over:
            await self._answer(store, state)
        elif run is not None and run.word and not state.over and state.seq > 10 and run.run_id not in self._said:
            self._said.add(run.run_id)
            await self._send(store, run.run_id, run.word, Steer(actor="someone"), None)
        else:
            self._known[head.run_id] = state.seq

    def _has_seen(self, what: str) -> bool:
        """Tell whether something has been so for a while."""
        return self._world.now - self._since.setdefault(what, self._world.now) >= PATIENCE_SECONDS

    async def _answer(self, store: SimulatedStore, state: RunState) -> None:
        """Answer what a run asks by what the journal outside says."""
        for gate in list(state.gates.values()):
            if self._has_seen(gate.digest):
                done = [line for line in self._world.record.journal if line.key == gate.subject]
                given: JsonObject = {"happened": True, "result": done[-1].answer} if done else {"happened": False}
                content = Answer(gate=gate.gate, digest=gate.digest, answer=given, actor="someone")
                await self._send(store, state.run_id, "answer", content, f"gate:{gate.gate}@{gate.digest}")

    async def _send(self, store: SimulatedStore, run_id: str, kind: str, content: Content, key: str | None) -> None:
        """Send one message until that is acknowledged, and sometimes once more."""
        letter = message(run_id, kind, content, key)
        for _ in range(_SENDS):
            try:
                await deliver(store, SimulatedClock(self._world), letter)
            except EXPECTED as error:
                self._world.tell(f"could not deliver {kind}: {type(error).__name__}")
                await asyncio.sleep(0.3)
            else:
                if self._world.random.random() < 0.8:
                    return
