"""The child runs of one run: each has its own log and is driven beside its parent while this process may own it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Protocol

from durum.core.events import RunStatus
from durum.engine.attempts import child_run_id
from durum.engine.delivery import STEERED, deliver
from durum.engine.inbox import POLL_SECONDS, Steer, message
from durum.engine.recovery import load_run
from durum.engine.snapshots import Snapshots
from durum.errors import CorruptionError, NotFoundError, RunOwnedError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from durum.core import events as ev
    from durum.core.canonical import JsonObject, JsonValue
    from durum.core.run_state import RunState
    from durum.engine.artifacts import ArtifactReader
    from durum.engine.engine import Store
    from durum.engine.recorder import Recorder
    from durum.ports import Clock, TransportCall

_STOP_SECONDS = 3.0
_MOST_SAID = 300


class ChildDriver(Protocol):
    """Starts a child run, or drives it on."""

    async def __call__(self, spawned: ev.ChildSpawned, actor: str | None) -> None:
        """Return once the child is over or parked; one that was paused goes on only on the word of ``actor``.

        Raises:
            RunOwnedError: another process drives it.
        """


class Children:
    """Tends the open children of one run."""

    def __init__(self, store: Store, recorder: Recorder, clock: Clock, drive: ChildDriver) -> None:
        self._store = store
        self._recorder = recorder
        self._state: RunState = recorder.state
        self._clock = clock
        self._drive = drive
        self._told: set[tuple[str, str]] = set()
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._failed: BaseException | None = None
        self._draining = False
        self._stopped = False

    @property
    def under_way(self) -> bool:
        """Whether a child is driven here, waited for or about to be told something."""
        return bool(self._tasks)

    @property
    def _word(self) -> str:
        if self._state.cancelling is not None:
            return "cancel"
        return "go on" if self._state.paused is None else "pause"

    def tend(self, tell: Callable[[], None]) -> None:
        """Drive every open child, and let it know when its parent is cancelled or paused; ``tell`` when one is seen to."""
        for spawned in self._state.children.values():
            said = (spawned.child_run_id, self._word)
            if said not in self._told:
                self._told.add(said)
                self._begin(said, self._tend(spawned) if self._word == "go on" else self._steer(*said), tell)

    def _begin(self, said: tuple[str, str], work: Coroutine[None, None, None], tell: Callable[[], None]) -> None:
        self._tasks[said] = task = asyncio.create_task(work)

        def ended(_: object) -> None:
            del self._tasks[said]
            if not task.cancelled():
                self._failed = self._failed or task.exception()
            if not self._stopped:
                tell()

        task.add_done_callback(ended)

    async def _tend(self, spawned: ev.ChildSpawned) -> None:
        await self._recorder.commit()  # before anything of a child is durable, its parent's word for it is
        actor: str | None = f"run {self._state.run_id}"
        while self._word == "go on" and not self._draining:
            try:
                await self._drive(spawned, actor)
                return
            except RunOwnedError:
                await self._let_go(spawned.child_run_id)
                actor = None  # whoever paused it meanwhile meant it

    async def _let_go(self, child_id: str) -> None:
        """Wait while another living process drives a child: it may end it, park it or die."""
        while self._word == "go on" and not self._draining:
            head = await self._store.head(child_id)
            if head is None or head.owner is None or not await self._store.is_alive(head.owner):
                return
            await asyncio.sleep(POLL_SECONDS)

    async def _steer(self, child_id: str, word: str) -> None:
        """Cancel or pause a child, whoever drives it; one that is about to begin as soon as it has."""
        letter = message(child_id, word, Steer(actor=f"run {self._state.run_id}", reason=STEERED[word]))
        while True:
            with contextlib.suppress(CorruptionError):  # a damaged child holds nobody else up
                try:
                    await deliver(self._store, self._clock, letter)
                except NotFoundError:
                    if (child_id, "go on") in self._tasks:
                        await asyncio.sleep(POLL_SECONDS)
                        continue
            return

    def drain(self) -> None:
        """Wait no longer for children that other processes drive."""
        self._draining = True

    def check(self) -> None:
        """Raise what kept a child from being driven, if anything did."""
        if self._failed is not None:
            raise self._failed

    async def stop(self) -> None:
        """Leave the children where they stand."""
        self._stopped = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_STOP_SECONDS)


class ChildResults:
    """Implements ``Transport`` for the namespace ``child``: what a child run that is over came to."""

    def __init__(self, store: Store, reader: ArtifactReader, run_id: str) -> None:
        self._store = store
        self._reader = reader
        self._run_id = run_id

    async def call(self, request: JsonObject, call: TransportCall) -> JsonValue:
        """Return the final context of the child that state ``key`` started, or its key ``result``."""
        del call
        identity = child_run_id(self._run_id, str(request["key"]))
        try:
            run = await load_run(self._store, self._reader, identity)
        except NotFoundError:
            raise TransportError(f"child run {identity} has not begun", code="child_not_over") from None
        snapshots = Snapshots(self._reader)
        tree = await snapshots.tree(_final(run.state))
        wanted = request.get("result")
        if wanted is None:
            return await snapshots.content(tree)
        try:
            return await snapshots.read(tree, str(wanted))
        except KeyError:
            raise TransportError(
                f"child run {identity} left no {wanted!r} in its context", code="child_result_missing"
            ) from None

    async def close(self) -> None:
        """Hold nothing."""


def _final(state: RunState) -> str:
    """Return the last snapshot of a child that completed."""
    identity, completed = state.run_id, state.completed
    if completed is None:
        raise TransportError(f"child run {identity} is not over", code="child_not_over")
    hint = f"look with: durum show {identity}"
    if completed.status is RunStatus.CANCELLED:
        raise TransportError(f"child run {identity} was cancelled; {hint}", code="child_cancelled")
    if completed.status is not RunStatus.COMPLETED or completed.final_snapshot_id is None:
        raise TransportError(f"child run {identity} {completed.status.value}{_why(state)}; {hint}", code="child_failed")
    return completed.final_snapshot_id


def _why(state: RunState) -> str:
    error = None if state.failed is None else state.states[state.failed].error
    if state.completed is not None and state.completed.error is not None:
        error = state.completed.error
    return "" if error is None else f" ({error.info.message[:_MOST_SAID]})"
