"""Drives one run: asks decide what to do, does it, and records what came of it, until the run is over or parks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from durum.core import decide as d
from durum.core import events as ev
from durum.core.artifact_kind import ArtifactKind
from durum.core.canonical import decode_json
from durum.core.failure import StateError, describe
from durum.core.retry import delay_ms, jitter_ppm
from durum.engine.boundaries import Boundaries
from durum.engine.inbox import take

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from durum.core.run_state import RunState
    from durum.engine.attempts import Attempts, Begun
    from durum.engine.children import Children
    from durum.engine.inbox import Mailroom
    from durum.engine.live_io import World
    from durum.engine.snapshots import Snapshots

_LONGEST_RETRY_AFTER_MS = 3_600_000
_STOP_SECONDS = 5.0
_REST_SECONDS = 0.05
_COMPANY = 64  # most plain steps side by side that share a commit


class Driver:
    """Performs the commands of one owned run."""

    def __init__(self, world: World, snapshots: Snapshots, attempts: Attempts, children: Children, mailroom: Mailroom) -> None:
        self._world = world
        self._recorder = world.recorder
        self._state: RunState = world.recorder.state
        assert self._state.started is not None
        self._boundaries = Boundaries(snapshots, self._state, self._state.started.initial_snapshot_id, attempts.reducers)
        self._attempts = attempts
        self._children = children
        self._mailroom = mailroom
        self._tasks: set[asyncio.Task[None]] = set()
        self._reading: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._woken = False
        self._waiter: asyncio.Future[None] | None = None  # until somebody wakes us; few runs ever wait
        self._draining = False
        self._rested = 0.0  # when everything else in this loop had its turn last
        self._held_back: AbstractSet[int] = frozenset()  # ready at the last commit, and not entered for want of room
        self._company = 0  # attempts begun since
        self._committed = 0.0
        self._ended: list[BaseException] = []

    async def drive(self) -> RunState:
        """Drive until the run is over, parked or this task is cancelled."""
        self._mailroom.watch(self._state.run_id, self._mail)
        try:
            await self._read_mail()
            while True:
                if self._loop.time() - self._rested > _REST_SECONDS:
                    await self._let_others_run()
                if self._state.children:
                    self._children.tend(self._mail)
                started, rest = await self._advance()
                if rest and not self._children.under_way:
                    if not await self._is_told_more():
                        return self._state
                    continue
                if not await self._begin(started):
                    await self._until_something_happens()
                if self._ended:
                    raise self._ended[0]
        finally:
            self._mailroom.unwatch(self._state.run_id)
            await self._children.stop()
            await self._stop()

    async def _let_others_run(self) -> None:
        """Give messages a chance from time to time: plain steps one after another never wait for anything."""
        self._rested = self._loop.time()
        await asyncio.sleep(0)

    async def _begin(self, started: list[Begun]) -> bool:
        """Execute attempts and return whether one is over: a task for each that may suspend, the others where we stand."""
        state = self._state
        if len(started) == 1 and not (self._tasks or state.waiting or state.children or state.gates):
            await self._attempts.run(started[0])  # no other could begin meanwhile
            return True
        inline: list[Begun] = []
        for attempt in started:
            if attempt.is_inline:
                inline.append(attempt)
            else:
                self._keep(asyncio.create_task(self._attempts.run(attempt)))
        for attempt in inline:
            await self._attempts.run(attempt)
        if inline and self._tasks:
            await asyncio.sleep(0)  # the others get on meanwhile
        return bool(inline)

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_STOP_SECONDS)

    async def _is_told_more(self) -> bool:
        """Return whether there is word for a run at rest; if not, raise what kept a child from being driven."""
        if self._state.over or self._draining:
            return False
        await self._read_mail()
        if any(not isinstance(command, d.ParkRun) for command in d.decide(self._state, self._world.clock.now_ms())):
            return True
        self._children.check()
        return False

    def drain(self) -> None:
        """Enter nothing more; what is under way may come to its end."""
        self._draining = True
        self._children.drain()
        self._wake()

    # --- messages -----------------------------------------------------------------------------------------------------

    def _mail(self) -> None:
        """Read the inbox at once, for a message may concern what is under way."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_mail())
            self._keep(self._reading)

    async def _read_mail(self) -> None:
        """Move messages into the log."""
        taken = [take(self._recorder, letter) for letter in await self._mailroom.read(self._state.run_id)]
        if any(taken):
            await self._recorder.commit()
        if self._state.cancelling is not None:
            self._attempts.cancel()

    # --- deciding and staging ----------------------------------------------------------------------------------------

    async def _advance(self) -> tuple[list[Begun], bool]:
        """Stage what decide asks for until it asks for nothing but waiting, and make it durable in one commit."""
        begun: list[Begun] = []
        parked = False
        while not self._state.over and not parked:
            commands = d.decide(self._state, self._world.clock.now_ms())
            if self._draining or self._state.cancelling is not None:
                commands = self._allowed(commands)
            before = len(begun)
            for command in commands:
                if isinstance(command, d.EnterState):
                    if self._state.doomed:
                        break  # the entry before it failed: what follows from that is decided first
                    await self._enter(command, begun)
                else:
                    parked = isinstance(command, d.ParkRun)
                    await self._perform(command)
            if len(begun) - before == len(commands) or all(isinstance(command, d.WaitUntil) for command in commands):
                break  # whatever may begin has begun
        if not self._may_go_on(begun):
            await self._recorder.commit(sync=not self._stays_inside(begun))
        return begun, parked or self._state.over or (self._draining and not self._state.open)

    def _stays_inside(self, begun: list[Begun]) -> bool:
        """Whether all that happens until the next commit are pure plain steps, of which nobody outside learns before that."""
        return bool(begun) and not self._tasks and all(map(self._attempts.is_pure, begun))

    def _may_go_on(self, begun: list[Begun]) -> bool:
        """Whether these attempts need no commit before them: plain steps side by side, and only the limit held them back.

        They share one, as they would if there were room for all of them; a step behind another never waits for company.
        """
        if self._held_back and begun and not self._tasks:
            self._company += len(begun)
            side_by_side = all(attempt.position in self._held_back and attempt.is_inline for attempt in begun)
            if side_by_side and self._company <= _COMPANY and self._loop.time() - self._committed < _REST_SECONDS:
                return True
        self._held_back = frozenset(self._state.ready[:_COMPANY])
        if self._held_back:
            self._company, self._committed = 0, self._loop.time()
        return False

    def _allowed(self, commands: list[d.Command]) -> list[d.Command]:
        """Return what may be done now: a run that is drained enters nothing, a cancelled one waits for its children to hear."""
        if self._draining:
            commands = [command for command in commands if not isinstance(command, d.EnterState | d.WaitUntil)]
        if self._state.cancelling is not None and self._children.under_way:
            commands = [command for command in commands if not isinstance(command, d.CompleteRun)]
        return commands

    async def _perform(self, command: d.Command) -> None:
        match command:
            case d.CompleteRun():
                await self._complete(command)
            case d.SkipState() | d.ScheduleRetry():
                self._note(command)
            case d.EnterState() | d.WaitUntil() | d.ParkRun():
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

    async def _enter(self, command: d.EnterState, begun: list[Begun]) -> None:
        """Stage the entry of a state and add it to ``begun``; a context that cannot be joined fails the attempt at once."""
        state_id = self._state.plan.nodes[command.position].id
        artifacts: dict[str, bytes] = {}
        base, fault = await self._boundaries.base(command.position, artifacts)
        self._recorder.keep_all(ArtifactKind.CONTEXT_SNAPSHOT, artifacts)
        entered = ev.StateEntered(attempt=command.attempt, base_snapshot_id=base.id, state_id=state_id)
        self._recorder.stage(entered, state_id, command.attempt)
        if fault is not None:
            error = StateError(describe(fault), state_id)
            self._recorder.stage(ev.StateFailed(error=error, state_id=state_id), state_id, command.attempt)
        else:
            begun.append(self._attempts.begin(command.position, command.attempt, base))

    async def _complete(self, command: d.CompleteRun) -> None:
        artifacts: dict[str, bytes] = {}
        final, fault = await self._boundaries.final(artifacts)
        self._recorder.keep_all(ArtifactKind.CONTEXT_SNAPSHOT, artifacts)
        status, error = command.status, None
        if fault is not None and status is not ev.RunStatus.CANCELLED:
            status, error = ev.RunStatus.FAILED, StateError(describe(fault))
        self._recorder.stage(ev.RunCompleted(error=error, final_snapshot_id=final.id, status=status))

    # --- waiting -------------------------------------------------------------------------------------------------------

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._ended.append(error)
        self._wake()

    def _wake(self) -> None:
        self._woken = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _until_something_happens(self) -> None:
        due = None if self._draining else d.next_due(self._state)
        if not self._woken:
            self._waiter = self._loop.create_future()
            if due is None:
                await self._waiter
            else:
                clock = asyncio.ensure_future(self._world.clock.sleep_until(due))
                try:
                    await asyncio.wait({clock, self._waiter}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    clock.cancel()
        self._woken = False
