"""Drives the runs of a store that nobody drives: orphans first, then what is due; several at once, and beside other workers.

Looking is the truth: nothing is pushed, and a claim says who was first. It has no thread and no clock of its own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import msgspec

from durum.engine.artifacts import ArtifactReader
from durum.engine.delivery import report
from durum.engine.engine import Engine, Watcher
from durum.engine.recovery import load_run
from durum.errors import ConcurrencyError, DurumError, RunOwnedError, StoreUnavailableError
from durum.history import views

if TYPE_CHECKING:
    from durum.core.events import Envelope
    from durum.core.plan import ExecutionPlan
    from durum.engine.engine import Store
    from durum.engine.recovery import LoadedRun
    from durum.engine.stop import Stop
    from durum.ports import Clock, DueRun, Entropy
    from durum.workflow.authoring import Workflow

CONCURRENCY = 16
LOOK_SECONDS = 0.5
_SUSPECT_STRIKES = 2
_FIRST_DELAY_SECONDS = 1.0
_LONGEST_DELAY_SECONDS = 60.0


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a worker did with a run, or why it did nothing."""

    event: Literal["claimed", "over", "rests", "lost", "trouble", "left_alone"]
    run_id: str = ""
    op_id: str = ""
    status: str = ""
    adopted: bool = False  # from an owner that died or hung
    message: str = ""


CodeOf = Callable[["LoadedRun"], "tuple[Workflow | None, ExecutionPlan] | None"]
"""Returns the code of a run; None: this worker was not given it."""

EngineFor = Callable[["Workflow | None", Watcher], Engine]
"""Makes the engine that drives one run."""


class _HeldOff(msgspec.Struct):
    """A run that was tried and came to nothing: not before ``until`` of the loop's time."""

    until: float
    delay_seconds: float
    said: str = ""


class Worker:
    """Drives up to ``concurrency`` runs at a time in the running event loop."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        entropy: Entropy,
        code: CodeOf,
        engine: EngineFor,
        *,
        stop: Stop,
        tell: Callable[[Report], None],
        concurrency: int,
    ) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._code = code
        self._engine = engine
        self._stop = stop
        self._tell = tell
        self._concurrency = concurrency
        self._reader = ArtifactReader(store)
        self._driving: dict[str, asyncio.Task[None]] = {}
        self._found: deque[DueRun] = deque()  # at the last look, and not seen to yet
        self._next_look = 0.0
        self._suspect: str | None = None
        self._foreign: dict[str, str] = {}  # run id -> workflow nobody named
        self._held_off: dict[str, _HeldOff] = {}
        self._unread: dict[str, frozenset[str]] = {}  # run id -> messages that came to nothing
        self._away = ""  # what was said last about a store that cannot be reached

    async def work(self, *, until_idle: bool = False) -> None:
        """Drive what is due until told to stop; ``until_idle``: or until nothing is that this worker can drive."""
        try:
            while not self._stop.asked:
                looked = await self._look()
                await self._fill()
                if until_idle and looked and not self._driving:
                    return
                await self._pause()
        finally:
            await self._end()

    # --- what to drive ------------------------------------------------------------------------------------------------

    async def _look(self) -> bool:
        """Find out what is due, if it is time for that; looking at other times than the others makes races rare."""
        now = asyncio.get_running_loop().time()
        if now < self._next_look:
            return False
        self._next_look = now + LOOK_SECONDS * (0.75 + self._entropy.uniform() / 2)
        try:
            self._found = deque(await self._store.due(self._clock.now_ms()))
        except StoreUnavailableError as error:  # it may be back next time
            if str(error) != self._away:
                self._away = str(error)
                self._tell(Report("trouble", message=self._away))
            return False
        self._away = ""
        return True

    async def _fill(self) -> None:
        while self._found and len(self._driving) < self._concurrency and not self._stop.asked:
            due = self._found.popleft()
            if await self._is_worth_it(due):
                self._begin(due)

    async def _is_worth_it(self, due: DueRun) -> bool:
        """Tell whether to try a run now. One that may kill this process is driven beside no other of its kind."""
        run_id = due.run_id
        if run_id in self._driving or run_id in self._foreign:
            return False
        if due.strikes >= _SUSPECT_STRIKES and self._suspect is not None:
            return False
        held_off = self._held_off.get(run_id)
        if held_off is not None and asyncio.get_running_loop().time() < held_off.until:
            return False
        return (
            due.orphaned
            or due.wake_ms is not None
            or bool(await self._messages(run_id) - self._unread.get(run_id, frozenset()))
        )

    async def _messages(self, run_id: str) -> frozenset[str]:
        try:
            return frozenset(letter.message_id for letter in await self._store.inbox(run_id))
        except StoreUnavailableError:
            return frozenset()

    async def _pause(self) -> None:
        seconds = max(0.0, self._next_look - asyncio.get_running_loop().time())
        if self._driving:
            await asyncio.wait(self._driving.values(), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(seconds)

    # --- driving ------------------------------------------------------------------------------------------------------

    def _begin(self, due: DueRun) -> None:
        if due.strikes >= _SUSPECT_STRIKES:
            self._suspect = due.run_id
        self._driving[due.run_id] = task = asyncio.create_task(self._see_to(due))
        task.add_done_callback(lambda _: self._ended(due.run_id))

    def _ended(self, run_id: str) -> None:
        del self._driving[run_id]
        if self._suspect == run_id:
            self._suspect = None

    async def _see_to(self, due: DueRun) -> None:
        """Drive a run; whatever becomes of it is this run's affair and no other's."""
        try:
            moved = await self._drive(due)
        except RunOwnedError:
            return  # somebody was faster
        except ConcurrencyError as error:
            self._tell(Report("lost", due.run_id, message=str(error)))
        except DurumError as error:
            self._hold_off(due.run_id, str(error))
        except Exception as error:  # noqa: BLE001 - one run's trouble must not end the others
            self._hold_off(due.run_id, f"unexpected {type(error).__name__}: {error}")
        else:
            if moved:
                self._held_off.pop(due.run_id, None)
            else:
                self._hold_off(due.run_id)

    def _hold_off(self, run_id: str, message: str = "") -> None:
        before = self._held_off.get(run_id)
        delay = _FIRST_DELAY_SECONDS if before is None else min(before.delay_seconds * 2, _LONGEST_DELAY_SECONDS)
        self._held_off[run_id] = _HeldOff(asyncio.get_running_loop().time() + delay, delay, message)
        if message and (before is None or before.said != message):
            self._tell(Report("trouble", run_id, message=message))

    async def _drive(self, due: DueRun) -> bool:
        """Return whether the run came on."""
        head = await self._store.head(due.run_id)
        if head is None or head.epoch != due.epoch:
            return True  # somebody drove it since
        run = await load_run(self._store, self._reader, due.run_id)
        if run.state.over:
            await self._tidy(due, run)
            self._unread[due.run_id] = await self._messages(due.run_id)
            return True
        op_id, before = run.state.plan.op_id, run.state.seq
        code = self._code(run)
        if code is None:
            self._leave_alone(due.run_id, op_id)
            return True
        workflow, plan = code
        engine = self._engine(workflow, Watcher(event=self._announcer(due, op_id)))
        waiting = await self._messages(due.run_id)
        state = await engine.resume(due.run_id, plan, None, run, overrule=False)
        self._unread[due.run_id] = waiting & await self._messages(due.run_id)  # it was read, and is there still
        if state.seq > before:
            self._tell(Report("over" if state.over else "rests", due.run_id, op_id, views.status_word(state)))
        return state.seq > before

    def _announcer(self, due: DueRun, op_id: str) -> Callable[[Envelope], bool]:
        """Return what says that a run was claimed, at its first event."""

        def announce(envelope: Envelope) -> bool:
            self._tell(Report("claimed", envelope.run_id, op_id, adopted=due.orphaned))
            return True  # that is enough

        return announce

    def _leave_alone(self, run_id: str, op_id: str) -> None:
        if op_id not in self._foreign.values():
            message = f"runs of {op_id} are left alone, for none of the targets holds it"
            self._tell(Report("left_alone", run_id, op_id, message=message))
        self._foreign[run_id] = op_id

    async def _tidy(self, due: DueRun, run: LoadedRun) -> None:
        """Release a run that was over when its owner died, and tell its parent, for its owner may not have come to that."""
        await report(self._store, run.state, run.manifest)
        if due.orphaned or due.wake_ms is not None:
            head = await self._store.claim(due.run_id)
            await self._store.release(due.run_id, head.epoch)

    async def _end(self) -> None:
        """Wait for what is under way: told to stop, it lets go by itself; if this task was cancelled, that is passed on."""
        while self._driving:
            if not self._stop.asked:
                for task in self._driving.values():
                    task.cancel()
            await asyncio.wait(self._driving.values())
