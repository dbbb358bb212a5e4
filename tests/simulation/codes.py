"""The code of simulated runs: what they are started from, and what drives them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import msgspec

from durum.core.canonical import JsonObject, canonical_json, digest_bytes
from durum.core.manifest import BuildProvenance, Parent, RunManifest
from durum.core.plan import ExecutionPlan
from durum.engine.engine import Engine, StartRun, Watcher
from durum.engine.transports import TransportRegistry
from durum.workflow.authoring import Workflow
from tests.simulation.workflows import CHILDREN, WORKFLOWS
from tests.simulation.world import SimulatedClock, SimulatedEntropy

if TYPE_CHECKING:
    from durum.core.config import RunConfig
    from durum.engine.recovery import LoadedRun
    from durum.engine.stop import Stop
    from tests.simulation.shared_store import SimulatedStore


class Wanted(msgspec.Struct, frozen=True):
    """A run somebody wants; ``word`` is what they say to it later on: "", "pause" or "cancel"."""

    run_id: str
    workflow: str
    word: str = ""


class Code(msgspec.Struct, frozen=True):
    """Implements the engine's ``ChildCode``, for runs without a parent as well."""

    workflow: Workflow
    plan: ExecutionPlan

    def transports(self) -> TransportRegistry:
        """Return the one way outside."""
        return TransportRegistry(self.workflow.transports)

    def start_run(self, run_id: str, inputs: JsonObject, config: RunConfig, parent: Parent | None = None) -> StartRun:
        """Return what a run is started from."""
        manifest = RunManifest(
            op_id=self.plan.op_id,
            op_version="1",
            input_params=msgspec.Raw(canonical_json(inputs)),
            run_config=config,
            build=BuildProvenance(),
            plan_id=digest_bytes(self.plan.shape.stored),
            parent=msgspec.UNSET if parent is None else parent,
        )
        return StartRun(run_id, manifest, self.plan, inputs)


@cache
def code_of(workflow: object) -> Code:
    """Return the code of a workflow, made once."""
    assert isinstance(workflow, Workflow)
    return Code(workflow, workflow.plan())


def named(run: LoadedRun) -> tuple[Workflow, ExecutionPlan]:
    """Return the code of a recorded run."""
    workflow = {**WORKFLOWS, **CHILDREN}[run.state.plan.op_id]
    return workflow, code_of(workflow).plan


def engine_of(
    store: SimulatedStore, workflow: Workflow | None, watcher: Watcher | None = None, stop: Stop | None = None
) -> Engine:
    """Return what drives a run of a workflow in the process behind a store's handle."""
    world = store.world
    transports = code_of(workflow).transports()
    return Engine(store, transports, SimulatedClock(world), SimulatedEntropy(world), watcher, code_of, stop=stop)
