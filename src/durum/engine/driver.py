"""Drives one run: asks decide what to do, does it, and records what came of it, until the run is over or parks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from durum.core import decide as d
from durum.core import events as ev
from durum.core.artifact_kind import ArtifactKind
from durum.core.canonical import decode_json
from durum.core.failure import EFFECT_UNKNOWN, StateError, describe
from durum.core.meta import SideEffectKind
from durum.core.retry import delay_ms, jitter_ppm
from durum.core.tree import Tree
from durum.engine.attempt import DomainEvents, Executed, execute
from durum.engine.boundaries import Boundaries
from durum.engine.completion import completion
from durum.engine.context import ContextOverlay
from durum.engine.live_io import Attempt, LiveIo
from durum.engine.logs import Place, current_place
from durum.errors import ContextConflictError

if TYPE_CHECKING:
    from collections.abc import Callable

    from durum.core.fold import RunState
    from durum.core.joins import Conflict
    from durum.core.plan import ExecutionPlan
    from durum.engine.live_io import World
    from durum.engine.snapshots import Snapshots

_LONGEST_RETRY_AFTER_MS = 3_600_000
_STOP_SECONDS = 3.0


class _Begun(msgspec.Struct, frozen=True):
    """An attempt that was entered."""

    position: int
    number: int
    base: Tree


class Driver:
    """Performs the commands of one owned run."""

    def __init__(
        self,
        world: World,
        snapshots: Snapshots,
        plan: ExecutionPlan,
        progress: Callable[[str, str], None],
    ) -> None:
        self._world = world
        self._recorder = world.recorder
        self._state: RunState = world.recorder.state
        self._snapshots = snapshots
        self._code = plan.code
        assert self._state.started is not None
        self._boundaries = Boundaries(snapshots, self._state, self._state.started.initial_snapshot_id)
        self._progress = progress
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._ended: list[BaseException] = []

    async def drive(self) -> RunState:
        """Drive until the run is over, parked or this task is cancelled."""
        try:
            while True:
                started, rest = await self._advance()
                if rest:
                    return self._state
                if len(started) == 1 and not self._tasks and not self._state.waiting:
                    await self._attempt(started[0])  # nothing else can happen meanwhile
                    continue
                for attempt in started:
                    self._launch(attempt)
                await self._until_something_happens()
                if self._ended:
                    raise self._ended[0]
        finally:
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=_STOP_SECONDS)

    # --- deciding and staging ----------------------------------------------------------------------------------------

    async def _advance(self) -> tuple[list[_Begun], bool]:
        """Stage what decide asks for until it asks for nothing but waiting, and make it durable in one commit."""
        begun: list[_Begun] = []
        parked = False
        while not self._state.over and not parked:
            commands = d.decide(self._state, self._world.clock.now_ms())
            for command in commands:
                parked = isinstance(command, d.ParkRun)
                if isinstance(command, d.EnterState) and self._state.doomed:
                    break  # the entry before it failed: what follows from that is decided first
                await self._perform(command, begun)
            if all(isinstance(command, d.WaitUntil) for command in commands):
                break
        await self._recorder.commit()
        return begun, parked or self._state.over

    async def _perform(self, command: d.Command, begun: list[_Begun]) -> None:
        match command:
            case d.EnterState():
                await self._enter(command, begun)
            case d.CompleteRun():
                await self._complete(command)
            case d.SkipState() | d.ScheduleRetry():
                self._note(command)
            case d.WaitUntil() | d.ParkRun():
                pass

    def _note(self, command: d.SkipState | d.ScheduleRetry) -> None:
        nodes = self._state.plan.nodes
        state_id = nodes[command.position].id
        if isinstance(command, d.SkipState):
            cause = None if command.cause is None else nodes[command.cause].id
            self._recorder.stage(ev.StateSkipped(cause=cause, reason=command.reason, state_id=state_id), state_id)
            return
        jitter = jitter_ppm(command.policy, self._world.entropy.uniform())
        delay = max(delay_ms(command.policy, command.retry, jitter), self._asked_delay(command.position))
        due = self._world.clock.now_ms() + delay
        scheduled = ev.RetryScheduled(attempt=command.attempt, delay_ms=delay, due_ms=due, jitter=jitter, state_id=state_id)
        self._recorder.stage(scheduled, state_id)

    def _asked_delay(self, position: int) -> int:
        """Return the delay the other side asked for in the failure's details (Retry-After), at most an hour."""
        error = self._state.states[position].error
        if error is None:
            return 0
        details = decode_json(bytes(error.info.details))
        asked = details.get("retry_after_ms") if isinstance(details, dict) else None
        return min(asked, _LONGEST_RETRY_AFTER_MS) if isinstance(asked, int) and asked > 0 else 0

    async def _enter(self, command: d.EnterState, begun: list[_Begun]) -> None:
        """Stage the entry of a state and add it to ``begun``; a context that cannot be joined fails the attempt at once."""
        state_id = self._state.plan.nodes[command.position].id
        artifacts: dict[str, bytes] = {}
        base, conflicts = await self._boundaries.base(command.position, artifacts)
        self._recorder.keep_all(ArtifactKind.CONTEXT_SNAPSHOT, artifacts)
        entered = ev.StateEntered(attempt=command.attempt, base_snapshot_id=base.id, state_id=state_id)
        self._recorder.stage(entered, state_id, command.attempt)
        if conflicts:
            error = StateError(describe(self._conflict(conflicts[0])), state_id)
            self._recorder.stage(ev.StateFailed(error=error, state_id=state_id), state_id, command.attempt)
        else:
            begun.append(_Begun(command.position, command.attempt, base))

    def _conflict(self, conflict: Conflict) -> ContextConflictError:
        return ContextConflictError(conflict.key, [self._state.plan.nodes[position].id for position in conflict.writers])

    async def _complete(self, command: d.CompleteRun) -> None:
        artifacts: dict[str, bytes] = {}
        final, conflicts = await self._boundaries.final(artifacts)
        self._recorder.keep_all(ArtifactKind.CONTEXT_SNAPSHOT, artifacts)
        status, error = command.status, None
        if conflicts:
            status, error = ev.RunStatus.FAILED, StateError(describe(self._conflict(conflicts[0])))
        self._recorder.stage(ev.RunCompleted(error=error, final_snapshot_id=final.id, status=status))

    # --- attempts ----------------------------------------------------------------------------------------------------

    def _launch(self, begun: _Begun) -> None:
        task = asyncio.create_task(self._attempt(begun))
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._ended.append(error)
        self._wake.set()

    async def _until_something_happens(self) -> None:
        due = d.next_due(self._state)
        if due is None:
            await self._wake.wait()
        else:
            clock = asyncio.ensure_future(self._world.clock.sleep_until(due))
            wake = asyncio.ensure_future(self._wake.wait())
            try:
                await asyncio.wait({clock, wake}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                clock.cancel()
                wake.cancel()
        self._wake.clear()

    async def _attempt(self, begun: _Begun) -> None:
        """Execute one attempt and stage how it ended."""
        node = self._state.plan.nodes[begun.position]
        overlay = ContextOverlay(self._snapshots, begun.base, self._state.plan.merges)
        applies = node.meta.side_effects is SideEffectKind.APPLY_SIDE_EFFECT
        attempt = Attempt(
            node.id,
            begun.number,
            applies_effects=applies,
            effect_key=effect_key(node.meta.idempotency, self._state.run_id),
            effect_stem=f"{self._state.run_id}/{node.id}",
        )
        place = current_place.set(Place(self._state.run_id, node.id, begun.number))
        io = LiveIo(self._world, attempt)
        events = DomainEvents(self._state.config, lambda event: self._emit(event, attempt))
        executed = await execute(
            self._code[node.id],
            overlay,
            io,
            events,
            self._world.reader,
            timeout_ms=node.timeout_ms,
            progress=lambda message: self._progress(node.id, message),
        )
        current_place.reset(place)
        await io.settle()
        self._finish(begun, overlay, io, executed)

    def _emit(self, event: ev.DomainEvent, attempt: Attempt) -> None:
        if len(event.payload) > ev.INLINE_PAYLOAD_BYTES:
            reference = self._recorder.keep(ArtifactKind.OTHER, bytes(event.payload))
            event = ev.DomainEvent(name=event.name, payload=msgspec.Raw(b"null"), payload_ref=reference)
        self._recorder.stage(event, attempt.state_id, attempt.number)

    def _finish(self, begun: _Begun, overlay: ContextOverlay, io: LiveIo, executed: Executed) -> None:
        node = self._state.plan.nodes[begun.position]
        error = executed.error if io.blocked is None else describe(io.blocked)
        if error is not None:
            self._recorder.stage(ev.StateFailed(error=StateError(error, node.id), state_id=node.id), node.id, begun.number)
            if io.blocked is not None:
                detail, key = str(io.blocked), io.blocked.key
                paused = ev.RunPaused(detail=detail, effect_key=key, reason=EFFECT_UNKNOWN, state_id=node.id)
                self._recorder.stage(paused, node.id)
            return
        committed = executed.committed
        assert committed is not None
        self._recorder.keep_all(ArtifactKind.CONTEXT_SNAPSHOT, committed.artifacts)
        self._snapshots.remember(committed.tree)
        done = completion(node, overlay.reads, committed, io.facts_digest())
        self._recorder.keep_all(ArtifactKind.OTHER, done.artifacts)
        self._recorder.stage(done.event, node.id, begun.number, done.attached)


def effect_key(template: str | None, run_id: str) -> str | None:
    """Return a step's idempotency key; ``{run_id}`` in its template means the root run of all forks."""
    return None if template is None else template.replace("{run_id}", run_id)
