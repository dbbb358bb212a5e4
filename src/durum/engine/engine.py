"""Starts and resumes runs: claims them, reads them back, drives them and gives them up again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from durum.core import events as ev
from durum.core.artifact_kind import ArtifactKind
from durum.core.canonical import JsonObject, decode_json
from durum.core.config import IoMode, RunConfig
from durum.core.facts import FactIndex
from durum.core.manifest import Parent, RunManifest, manifest_bytes
from durum.core.plan import ExecutionPlan
from durum.core.quarantine import quarantine
from durum.core.run_state import begin
from durum.core.tree import tree_of
from durum.core.wake import wake_ms
from durum.engine.artifacts import ArtifactReader
from durum.engine.attempts import Attempts
from durum.engine.children import Children, ChildResults
from durum.engine.delivery import empty_inbox, report
from durum.engine.driver import Driver
from durum.engine.inbox import Mailroom, take
from durum.engine.live_io import World
from durum.engine.recorder import Recorder
from durum.engine.recovery import LoadedRun, adopt_code, close_orphans, load_claimed, load_run
from durum.engine.snapshots import Snapshots
from durum.engine.stop import Stop
from durum.errors import ConfigError, DurumError, PlanChangedError, RunExistsError
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
    """Who is told what happens: every durable event, lines of progress with the state they come from, events of runs below.

    A run whose events somebody is told waits for the disk at each of them. Who returns True is told no more events of that run.
    """

    event: Callable[[ev.Envelope], object] | None = None
    progress: Callable[[str, str], None] | None = None
    child: Callable[[ev.Envelope], object] | None = None


def _ignore(state_id: str, message: str) -> None:
    del state_id, message


class Engine:
    """Drives runs of one store."""

    def __init__(  # noqa: PLR0913 - its ports, and what the engines of one process share
        self,
        store: Store,
        transports: TransportRegistry,
        clock: Clock,
        entropy: Entropy,
        watcher: Watcher | None = None,
        child_codes: ChildCodes | None = None,
        *,
        mailroom: Mailroom | None = None,
        stop: Stop | None = None,
        reader: ArtifactReader | None = None,
    ) -> None:
        self._store = store
        self._transports = transports
        self._clock = clock
        self._entropy = entropy
        self._watcher = watcher or Watcher()
        self._child_codes = child_codes
        self._mailroom = mailroom or Mailroom(store)
        self._stop = stop or Stop()
        self._reader = ArtifactReader(store) if reader is None else reader.sibling()  # many runs share one cache
        self._snapshots = Snapshots(self._reader)

    async def start(self, run: StartRun, on_started: Callable[[], None] | None = None, *, detach: bool = False) -> RunState:
        """Start a run and drive it until it is over or parks. ``on_started`` is called once its first event is durable.

        ``detach``: do not drive it; it is due at once, for any worker.

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
        rests = False
        try:
            values: dict[str, bytes] = {}
            tree = tree_of(run.initial_context, values.__setitem__)
            recorder.keep_all(ArtifactKind.CONTEXT_SNAPSHOT, values | {node.id: node.data for node in tree.nodes()})
            self._snapshots.remember(tree)
            started = ev.RunStarted(
                initial_snapshot_id=tree.id,
                manifest_id=recorder.keep(ArtifactKind.MANIFEST, manifest_bytes(run.manifest)),
                op_id=shape.op_id,
                plan_id=recorder.keep(ArtifactKind.OTHER, shape.stored),
            )
            recorder.stage(started)
            parent = run.manifest.parent
            if head.epoch > 1 and isinstance(parent, Parent):  # it was about to begin before, and may have been told to pause
                await self._hear_out(recorder, f"run {parent.run_id}")
            await recorder.commit()
            if on_started is not None:
                on_started()
            if not detach:
                await self._drive(recorder, run.plan, FactIndex(), run.manifest)
                rests = True
            return state
        finally:
            await self._give_up(head, state if rests else None)

    async def resume(
        self,
        run_id: str,
        plan: ExecutionPlan,
        actor: str | None = "",
        loaded: LoadedRun | None = None,
        *,
        overrule: bool = True,
    ) -> RunState:
        """Drive a run on; one that is over is returned as it is, without a write. ``loaded`` is the run if it was read already.

        A paused one goes on on the word of ``actor``, and stays paused if that is None. Without ``overrule``, which is how a
        worker resumes, only a pause that ``actor`` itself asked for ends, and a run whose drivers keep dying is quarantined.

        Raises:
            NotFoundError, RunOwnedError, PlanChangedError.
        """
        loaded = loaded or await load_run(self._store, self._reader, run_id)
        if not loaded.state.over:
            head = await self._store.claim(run_id)
            rests: RunState | None = None
            try:
                if head.seq != loaded.state.seq:  # someone drove it on between reading and claiming
                    loaded = await load_claimed(self._store, self._reader, head)
                if not loaded.state.over:
                    await self._go_on(head, loaded, plan, actor, overrule=overrule)
                    rests = loaded.state
                    return rests
                rests = loaded.state
            finally:
                await self._give_up(head, rests)
        await report(self._store, loaded.state, loaded.manifest)
        return loaded.state

    async def _go_on(self, head: Head, loaded: LoadedRun, plan: ExecutionPlan, actor: str | None, *, overrule: bool) -> None:
        recorder = self._recorder(head, loaded.state)
        stopped = None if overrule else quarantine(loaded.envelopes, loaded.state, head.epoch, head.strikes)
        close_orphans(recorder)
        if stopped is not None and recorder.state.paused is None:
            recorder.stage(stopped)
            await recorder.commit()
            return
        adopt_code(recorder, plan)
        await self._hear_out(recorder, actor, overrule=overrule)
        await recorder.commit()
        await self._drive(recorder, plan, loaded.facts, loaded.manifest, overrule=overrule)

    async def _hear_out(self, recorder: Recorder, actor: str | None, *, overrule: bool = True) -> None:
        """Stage what was said before the word of ``actor`` to go on, and that word: an older pause ends with it."""
        for letter in await self._store.inbox(recorder.state.run_id):
            take(recorder, letter)
        paused = recorder.state.paused
        if paused is not None and actor is not None and (overrule or paused.actor == actor):
            recorder.stage(ev.RunResumed(actor=actor))

    def _recorder(self, head: Head, state: RunState) -> Recorder:
        return Recorder(self._store, self._reader, self._clock, head, self._store.worker, state, self._watcher.event)

    async def _drive(
        self, recorder: Recorder, plan: ExecutionPlan, facts: FactIndex, manifest: RunManifest, *, overrule: bool = True
    ) -> None:
        state = recorder.state
        self._transports.add("child", partial(ChildResults, self._store, self._reader, state.run_id))
        world = World(recorder, self._reader, facts, self._transports, self._clock, self._entropy)
        self._reader.on_away = world.leave
        depth = manifest.parent.depth if isinstance(manifest.parent, Parent) else 0
        attempts = Attempts(world, self._snapshots, plan, self._watcher.progress or _ignore, depth)
        children = Children(
            self._store, recorder, self._clock, partial(self._drive_child, plan, state, depth, overrule=overrule)
        )
        driver = Driver(world, self._snapshots, attempts, children, self._mailroom)
        try:
            with self._stop.ends(driver):
                await driver.drive()
            await recorder.close()  # it was stopped, perhaps, between staging and committing
        finally:
            try:
                await self._transports.close()
            finally:
                await recorder.abandon()
        if state.over:
            await report(self._store, state, manifest)

    async def _drive_child(
        self, plan: ExecutionPlan, state: RunState, depth: int, spawned: ev.ChildSpawned, actor: str | None, *, overrule: bool
    ) -> None:
        """Start a child run, or drive it on: what a ``ChildDriver`` does, for a run with this plan and state."""
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
            reader=self._reader,
        )
        head = await self._store.head(child_id)
        if head is None or not head.seq:
            inputs: Any = decode_json(await self._reader.get(spawned.inputs_id))
            config = msgspec.structs.replace(state.config, skip_tags=())
            parent = Parent(depth=depth + 1, key=spawned.key, run_id=state.run_id)
            with contextlib.suppress(RunExistsError):  # another process began it meanwhile
                await engine.start(code.start_run(child_id, inputs, config, parent))
                return
        mine = f"run {state.run_id}"  # a pause this run asked for ends with its own, whoever had the child meanwhile
        await engine.resume(child_id, code.plan, actor or mine, overrule=overrule and actor is not None)

    async def _give_up(self, head: Head, rests: RunState | None) -> None:
        """Release the run; if the store is away the lock's end says the same. One that was cut off is due at once."""
        now_ms = self._clock.now_ms()
        wake = now_ms if rests is None else wake_ms(rests, now_ms)
        if wake is None and rests is not None and rests.children and self._stop.asked and rests.paused is None:
            wake = now_ms  # its children were let go with it
        with contextlib.suppress(DurumError):
            await self._store.release(head.run_id, head.epoch, wake_ms=wake)
            await empty_inbox(self._store, self._clock, head.run_id)
