"""Starts and resumes runs: claims them, reads them back, drives them and gives them up again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from durum.core import events as ev
from durum.core.artifact_kind import ArtifactKind
from durum.core.canonical import JsonObject, decode_json
from durum.core.config import IoMode, RunConfig
from durum.core.facts import FactIndex
from durum.core.manifest import Parent, RunManifest, manifest_bytes
from durum.core.plan import ExecutionPlan, shape_bytes
from durum.core.run_state import begin
from durum.core.tree import tree_of
from durum.engine.artifacts import ArtifactReader
from durum.engine.attempts import Attempts
from durum.engine.children import ChildDriver, Children, ChildResults
from durum.engine.delivery import empty_inbox, report
from durum.engine.driver import Driver
from durum.engine.inbox import Mailroom, take
from durum.engine.live_io import World
from durum.engine.recorder import Recorder
from durum.engine.recovery import LoadedRun, adopt_code, close_orphans, load_run
from durum.engine.snapshots import Snapshots
from durum.engine.stop import Stop
from durum.errors import ConfigError, DurumError, PlanChangedError
from durum.ports import ArtifactStore, EventStore

if TYPE_CHECKING:
    from durum.core.run_state import RunState
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


class ChildCode(Protocol):
    """The code of a child run."""

    @property
    def plan(self) -> ExecutionPlan:
        """Its plan."""

    def transports(self) -> TransportRegistry:
        """Return the transports a run of it may reach: its own, never its parent's."""

    def start_run(self, run_id: str, inputs: JsonObject, config: RunConfig, parent: Parent) -> StartRun:
        """Return what a run of it is started from; ``inputs`` were checked when it was spawned."""


ChildCodes = Callable[[object], ChildCode]
"""Returns the code behind what a state that starts a child run carries as ``child``."""


class Watcher(msgspec.Struct, frozen=True):
    """Who is told what happens: every durable event, lines of progress with the state they come from, events of runs below."""

    event: Callable[[ev.Envelope], None] | None = None
    progress: Callable[[str, str], None] | None = None
    child: Callable[[ev.Envelope], None] | None = None


def _ignore(state_id: str, message: str) -> None:
    del state_id, message


class Engine:
    """Drives runs of one store."""

    def __init__(
        self,
        store: Store,
        transports: TransportRegistry,
        clock: Clock,
        entropy: Entropy,
        watcher: Watcher | None = None,
        child_codes: ChildCodes | None = None,
        mailroom: Mailroom | None = None,
        stop: Stop | None = None,
    ) -> None:
        self._store = store
        self._transports = transports
        self._clock = clock
        self._entropy = entropy
        self._watcher = watcher or Watcher()
        self._child_codes = child_codes
        self._mailroom = mailroom or Mailroom(store)
        self._stop = stop or Stop()
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
            return await self._drive(recorder, run.plan, FactIndex(), run.manifest)
        finally:
            await self._give_up(head)

    async def resume(
        self, run_id: str, plan: ExecutionPlan, actor: str | None = "", loaded: LoadedRun | None = None
    ) -> RunState:
        """Drive a run on; one that is over is returned as it is, without a write. ``loaded`` is the run if it was read already.

        A paused one goes on on the word of ``actor``, and stays paused if that is None.

        Raises:
            NotFoundError, RunOwnedError, PlanChangedError.
        """
        loaded = loaded or await load_run(self._store, self._reader, run_id)
        if not loaded.state.over:
            head = await self._store.claim(run_id)
            try:
                if head.seq != loaded.state.seq:  # someone drove it on between reading and claiming
                    loaded = await load_run(self._store, self._reader, run_id)
                if not loaded.state.over:
                    return await self._go_on(head, loaded, plan, actor)
            finally:
                await self._give_up(head)
        await report(self._store, loaded.state, loaded.manifest)
        return loaded.state

    async def _go_on(self, head: Head, loaded: LoadedRun, plan: ExecutionPlan, actor: str | None) -> RunState:
        recorder = self._recorder(head, loaded.state)
        close_orphans(recorder)
        adopt_code(recorder, plan, shape_bytes(plan.shape))
        for letter in await self._mailroom.read(head.run_id):  # what was said before this word to go on
            take(recorder, letter)
        if recorder.state.paused is not None and actor is not None:
            recorder.stage(ev.RunResumed(actor=actor))
        await recorder.commit()
        return await self._drive(recorder, plan, loaded.facts, loaded.manifest)

    def _recorder(self, head: Head, state: RunState) -> Recorder:
        return Recorder(self._store, self._reader, self._clock, head, self._store.worker, state, self._watcher.event)

    async def _drive(self, recorder: Recorder, plan: ExecutionPlan, facts: FactIndex, manifest: RunManifest) -> RunState:
        state = recorder.state
        self._transports.add("child", lambda: ChildResults(self._store, self._reader, state.run_id))
        world = World(recorder, self._reader, facts, self._transports, self._clock, self._entropy)
        depth = manifest.parent.depth if isinstance(manifest.parent, Parent) else 0
        attempts = Attempts(world, self._snapshots, plan, self._watcher.progress or _ignore, depth)
        children = Children(self._store, recorder, self._clock, self._child_driver(plan, state, depth))
        driver = Driver(world, self._snapshots, attempts, children, self._mailroom)
        try:
            with self._stop.ends(driver):
                await driver.drive()
        finally:
            await self._transports.close()
        if state.over:
            await report(self._store, state, manifest)
        return state

    def _child_driver(self, plan: ExecutionPlan, state: RunState, depth: int) -> ChildDriver:
        async def drive(spawned: ev.ChildSpawned, actor: str | None) -> None:
            assert self._child_codes is not None
            spawn: Any = plan.implementation(state.plan, spawned.state_id)
            code, child_id = self._child_codes(spawn.child), spawned.child_run_id
            if code.plan.op_id != spawned.op_id:
                reason = f"state {spawned.state_id} started {spawned.op_id}, but it starts {code.plan.op_id} now"
                raise PlanChangedError(child_id, [reason])
            engine = Engine(
                self._store,
                code.transports(),
                self._clock,
                self._entropy,
                Watcher(event=self._watcher.child, child=self._watcher.child),
                child_codes=self._child_codes,
                mailroom=self._mailroom,
                stop=self._stop,
            )
            head = await self._store.head(child_id)
            if head is not None and head.seq:
                await engine.resume(child_id, code.plan, actor)
                return
            inputs: Any = decode_json(await self._reader.get(spawned.inputs_id))
            config = msgspec.structs.replace(state.config, skip_tags=())
            parent = Parent(depth=depth + 1, key=spawned.key, run_id=state.run_id)
            await engine.start(code.start_run(child_id, inputs, config, parent))

        return drive

    async def _give_up(self, head: Head) -> None:
        """Release the run; if the store is away the lock's end says the same."""
        with contextlib.suppress(DurumError):
            await self._store.release(head.run_id, head.epoch)
            await empty_inbox(self._store, self._clock, head.run_id)
