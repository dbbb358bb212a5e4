"""Starts and resumes runs: claims them, reads them back, drives them and gives them up again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import msgspec

from durum.core import events as ev
from durum.core.artifact_kind import ArtifactKind
from durum.core.canonical import JsonObject
from durum.core.config import IoMode
from durum.core.facts import FactIndex
from durum.core.fold import begin
from durum.core.manifest import RunManifest, manifest_bytes
from durum.core.plan import ExecutionPlan, shape_bytes
from durum.core.tree import tree_of
from durum.engine.artifacts import ArtifactReader
from durum.engine.driver import Driver
from durum.engine.live_io import World
from durum.engine.recorder import Recorder
from durum.engine.recovery import adopt_code, close_orphans, let_repeat, load_run
from durum.engine.snapshots import Snapshots
from durum.errors import ConfigError, DurumError
from durum.ports import ArtifactStore, EventStore

if TYPE_CHECKING:
    from durum.core.fold import RunState
    from durum.engine.transports import TransportRegistry
    from durum.ports import Clock, Entropy, Head


class Store(EventStore, ArtifactStore, Protocol):
    """A store of both kinds behind one handle."""


class StartRun(msgspec.Struct, frozen=True):
    """What a run is started from."""

    run_id: str
    manifest: RunManifest
    plan: ExecutionPlan
    initial_context: JsonObject


class Watcher(msgspec.Struct, frozen=True):
    """Who is told what happens: every durable event, and lines of progress with the state they come from."""

    event: Callable[[ev.Envelope], None] | None = None
    progress: Callable[[str, str], None] | None = None


def _ignore(state_id: str, message: str) -> None:
    del state_id, message


class Engine:
    """Drives runs of one store."""

    def __init__(
        self, store: Store, transports: TransportRegistry, clock: Clock, entropy: Entropy, watcher: Watcher | None = None
    ) -> None:
        self._store = store
        self._transports = transports
        self._clock = clock
        self._entropy = entropy
        self._watcher = watcher or Watcher()
        self._reader = ArtifactReader(store)
        self._snapshots = Snapshots(self._reader)

    async def start(self, run: StartRun, on_started: Callable[[], None] | None = None) -> RunState:
        """Start a run and drive it until it is over or parks. ``on_started`` is called once its first event is durable.

        Raises:
            RunExistsError: the id was used before.
            SecretsDetectedError: the inputs hold a secret; nothing was stored.
        """
        if run.manifest.run_config.io_mode is IoMode.REPLAY:
            raise ConfigError("a run is started live; replay a recorded one with: durum replay RUN --mode reproduce")
        shape = run.plan.shape
        head = await self._store.claim(run.run_id, create=True, now_ms=self._clock.now_ms())
        state = begin(run.run_id, shape, run.manifest.run_config)
        recorder = self._recorder(head, state)
        try:
            values: dict[str, bytes] = {}
            tree = tree_of(run.initial_context, values.__setitem__)
            recorder.keep_all(ArtifactKind.CONTEXT_SNAPSHOT, values | {node.id: node.data for node in tree.nodes()})
            self._snapshots.remember(tree)
            started = ev.RunStarted(
                initial_snapshot_id=tree.id,
                manifest_id=recorder.keep(ArtifactKind.MANIFEST, manifest_bytes(run.manifest)),
                op_id=shape.op_id,
                plan_id=recorder.keep(ArtifactKind.OTHER, shape_bytes(shape)),
            )
            recorder.stage(started)
            await recorder.commit()
            if on_started is not None:
                on_started()
            return await self._drive(recorder, run.plan, FactIndex())
        finally:
            await self._give_up(head)

    async def resume(self, run_id: str, plan: ExecutionPlan, repeat: str | None = None) -> RunState:
        """Drive a run on; one that is over is returned as it is, without a write.

        ``repeat`` is the key of the effect the run is paused for: a person looked and lets it be tried again.

        Raises:
            NotFoundError, RunOwnedError, PlanChangedError.
        """
        loaded = await load_run(self._store, self._reader, run_id)
        if loaded.state.over:
            return loaded.state
        head = await self._store.claim(run_id)
        try:
            if head.seq != loaded.state.seq:  # someone drove it on between reading and claiming
                loaded = await load_run(self._store, self._reader, run_id)
                if loaded.state.over:
                    return loaded.state
            recorder = self._recorder(head, loaded.state)
            close_orphans(recorder)
            adopt_code(recorder, plan, shape_bytes(plan.shape))
            if repeat is not None:
                let_repeat(recorder, repeat)
            await recorder.commit()
            return await self._drive(recorder, plan, loaded.facts)
        finally:
            await self._give_up(head)

    def _recorder(self, head: Head, state: RunState) -> Recorder:
        return Recorder(self._store, self._reader, self._clock, head, self._store.worker, state, self._watcher.event)

    async def _drive(self, recorder: Recorder, plan: ExecutionPlan, facts: FactIndex) -> RunState:
        world = World(recorder, self._reader, facts, self._transports, self._clock, self._entropy)
        try:
            return await Driver(world, self._snapshots, plan, self._watcher.progress or _ignore).drive()
        finally:
            await self._transports.close()

    async def _give_up(self, head: Head) -> None:
        """Release the run; if the store is away the lock's end says the same."""
        with contextlib.suppress(DurumError):
            await self._store.release(head.run_id, head.epoch)
