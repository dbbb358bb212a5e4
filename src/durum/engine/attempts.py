"""The attempts of one run in this process: executes them, cancels them, and stages how each ended and what it brings about."""

from __future__ import annotations

import asyncio
import threading
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from durum.core import events as ev
from durum.core.artifact_kind import ArtifactKind
from durum.core.canonical import canonical_json
from durum.core.failure import (
    CHILD_TOO_DEEP,
    EFFECT_UNKNOWN,
    INVALID_EXTENSION,
    RUN_CANCELLED,
    STEP_TIMEOUT,
    ErrorInfo,
    StateError,
    describe,
    failure,
)
from durum.core.gates import unknown_effect_gate
from durum.core.meta import SideEffectKind
from durum.core.state import Child, Items, State
from durum.core.tree import Tree
from durum.engine.attempt import DomainEvents, Executed, execute
from durum.engine.completion import completion
from durum.engine.context import ContextOverlay
from durum.engine.live_io import Attempt, LiveIo
from durum.engine.logs import Place, current_place

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from durum.core.merges import Reducer
    from durum.core.plan import ExecutionPlan, PlanNode
    from durum.core.run_state import RunState
    from durum.engine.live_io import World
    from durum.engine.snapshots import Snapshots

DEEPEST_CHILD = 16


class Begun(msgspec.Struct, frozen=True):
    """An attempt that was entered."""

    position: int
    number: int
    base: Tree
    state: State  # what it executes

    @property
    def is_inline(self) -> bool:
        """Whether it never suspends, so that it needs no task."""
        return getattr(self.state, "inline", False) is True


class Attempts:
    """Executes the attempts of one owned run."""

    def __init__(
        self, world: World, snapshots: Snapshots, plan: ExecutionPlan, progress: Callable[[str, str], None], depth: int
    ) -> None:
        self._world = world
        self._recorder = world.recorder
        self._state: RunState = world.recorder.state
        self._snapshots = snapshots
        self._plan = plan
        self._progress = progress
        self._depth = depth
        self._loop, self._home = asyncio.get_running_loop(), threading.get_ident()
        self._cancelled: asyncio.Future[None] = self._loop.create_future()

    @property
    def reducers(self) -> Mapping[str, Reducer]:
        """The plan's own reducers, by context key."""
        return self._plan.reducers

    def cancel(self) -> None:
        """Cancel every attempt that is under way."""
        if not self._cancelled.done():
            self._cancelled.set_result(None)

    def begin(self, position: int, number: int, base: Tree) -> Begun:
        """Return an attempt that was entered."""
        return Begun(position, number, base, self._plan.implementation(self._state.plan, self._state.plan.nodes[position].id))

    def is_pure(self, begun: Begun) -> bool:
        """Whether an attempt never suspends, and says that it does not even look outside."""
        return begun.is_inline and self._state.plan.nodes[begun.position].meta.side_effects is SideEffectKind.PURE

    async def run(self, begun: Begun) -> None:
        """Execute one attempt and stage how it ended."""
        node = self._state.plan.nodes[begun.position]
        state = begun.state
        overlay = ContextOverlay(self._snapshots, begun.base, self._plan.merging)
        attempt = self._attempt(node, begun, getattr(state, "reconcile", None))
        place = current_place.set(Place(self._state.run_id, node.id, begun.number, self._world.transports.clean))
        io = LiveIo(self._world, attempt)
        try:
            executed = await execute(
                state,
                overlay,
                io,
                DomainEvents(self._state.config, partial(self._take, attempt), io.guard),
                self._world.reader,
                timeout_ms=node.timeout_ms,
                progress=lambda message: self._progress(node.id, self._world.transports.clean(message)),
                cancelled=self._cancelled,
            )
        except BaseException:
            await io.let_go()
            raise
        finally:
            current_place.reset(place)
        io.close()
        if io.effects_begun is not None:
            cut = executed.error is not None and executed.error.code in {RUN_CANCELLED, STEP_TIMEOUT}
            await io.effects_begun.settle(self._cancelled, cut=cut)
        if self._world.away is not None:
            raise self._world.away
        self._finish(begun, overlay, io, executed)

    def _attempt(self, node: PlanNode, begun: Begun, reconcile: Any) -> Attempt:  # noqa: ANN401 - a state's own hook
        applies = node.meta.side_effects is SideEffectKind.APPLY_SIDE_EFFECT
        return Attempt(
            node.id,
            begun.number,
            applies_effects=applies,
            effect_key=self._effect_key(node, begun.position) if applies else "",
            idempotent=node.meta.idempotent,
            reconcile=reconcile,
        )

    def _effect_key(self, node: PlanNode, position: int) -> str:
        """Return the key of an attempt's first effect; that of an item is its own, whatever the template says."""
        run_id, template, index = self._state.run_id, node.meta.idempotency, self._state.plan.item_index(position)
        if template is None:
            return f"{run_id}/{node.id}"
        if index is not None:
            template = template.replace("{index}", str(index)) if "{index}" in template else f"{template}/i{index}"
        return template.replace("{run_id}", run_id)

    def _take(self, attempt: Attempt, event: ev.DomainEvent) -> None:
        """Take an attempt's domain event: in the loop's thread only, for that is where events are chained."""
        if threading.get_ident() == self._home:
            self._emit(attempt, event)
        else:
            self._loop.call_soon_threadsafe(self._emit, attempt, event)

    def _emit(self, attempt: Attempt, event: ev.DomainEvent) -> None:
        if not attempt.open:
            return
        if len(event.payload) > ev.INLINE_PAYLOAD_BYTES:
            reference = self._recorder.keep(ArtifactKind.OTHER, bytes(event.payload))
            event = ev.DomainEvent(name=event.name, payload=msgspec.Raw(b"null"), payload_ref=reference)
        self._recorder.stage(event, attempt.state_id, attempt.number)

    # --- the end of an attempt --------------------------------------------------------------------------------------

    def _finish(self, begun: Begun, overlay: ContextOverlay, io: LiveIo, executed: Executed) -> None:
        node = self._state.plan.nodes[begun.position]
        cancelled = executed.error is not None and executed.error.code == RUN_CANCELLED
        blocked = None if cancelled or io.effects_begun is None else io.effects_begun.blocked
        error = executed.error if blocked is None else describe(blocked, scrub=io.guard.scrub)
        if error is None and executed.extension is not None:
            error = self._extend(node, begun.number, executed)
        if error is not None:
            self._fail(node, begun.number, error, executed)
            if blocked is not None and error.code == EFFECT_UNKNOWN:
                gate = unknown_effect_gate(node.id, begun.number, blocked)
                self._recorder.stage(gate, node.id)
            return
        committed = executed.committed
        assert committed is not None
        self._recorder.keep_all(ArtifactKind.CONTEXT_SNAPSHOT, committed.artifacts)
        self._snapshots.remember(committed.tree)
        done = completion(node, overlay.reads, committed, io.facts_digest())
        self._recorder.keep_all(ArtifactKind.OTHER, done.artifacts)
        self._recorder.stage(done.event, node.id, begun.number, done.attached)

    def _fail(self, node: PlanNode, number: int, error: ErrorInfo, executed: Executed) -> None:
        """Stage a failure; what the attempt had staged is kept if its state asks for that, for people to look at only."""
        found = executed.diagnostic
        if found is not None:
            self._recorder.keep_all(ArtifactKind.CONTEXT_SNAPSHOT, found.artifacts)
        snapshot_id = None if found is None else found.tree.id
        failed = ev.StateFailed(error=StateError(error, node.id), failure_snapshot_id=snapshot_id, state_id=node.id)
        self._recorder.stage(failed, node.id, number)

    def _extend(self, node: PlanNode, number: int, executed: Executed) -> ErrorInfo | None:
        """Stage what the attempt wants to run next; return why that cannot be, if so."""
        match executed.extension:
            case Items(count=count) if node.each is not None:
                self._recorder.stage(ev.PlanExtended(count=count, rule="each", state_id=node.id), node.id, number)
                return None
            case Child(inputs=inputs) if node.spawns is not None:
                if self._depth >= DEEPEST_CHILD:
                    return failure(CHILD_TOO_DEEP, f"child runs are nested {DEEPEST_CHILD} deep at most")
                self._spawn(node, number, canonical_json(inputs))
                return None
        return failure(INVALID_EXTENSION, f"{node.id} extends the plan, but its place in the plan has no rule for that")

    def _spawn(self, node: PlanNode, number: int, inputs: bytes) -> None:
        spawned = ev.ChildSpawned(
            child_run_id=child_run_id(self._state.run_id, node.id),
            depth=self._depth + 1,
            inputs_id=self._recorder.keep(ArtifactKind.OTHER, inputs),
            key=node.id,
            op_id=self._plan.implementation(self._state.plan, node.id).child.name,  # type: ignore[attr-defined]
            state_id=node.id,
        )
        self._recorder.stage(spawned, node.id, number)
        if self._state.config.fail_fast and self._state.failed is not None:  # nothing more begins
            self._recorder.stage(ev.ChildCompleted(child_run_id=spawned.child_run_id, status=ev.RunStatus.CANCELLED))


def child_run_id(parent_run_id: str, key: str) -> str:
    """Return the id of the run a state starts: UUIDv5 of its parent and the state, so it is the same after a crash."""
    return str(uuid.uuid5(uuid.UUID(parent_run_id), key))
