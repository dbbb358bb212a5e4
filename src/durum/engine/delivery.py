"""A message to a run from outside: into its inbox, and, where nobody drives the run, into its log at once."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from durum.core import events as ev
from durum.core.artifact_kind import ArtifactKind
from durum.core.manifest import Parent
from durum.core.wake import wake_ms
from durum.engine.artifacts import ArtifactReader
from durum.engine.boundaries import Boundaries
from durum.engine.inbox import ChildOver, Steer, message, take
from durum.engine.recorder import Recorder
from durum.engine.recovery import close_orphans, load_claimed
from durum.engine.snapshots import Snapshots
from durum.errors import CorruptionError, DurumError, NotFoundError, RunOwnedError

if TYPE_CHECKING:
    from durum.core.manifest import RunManifest
    from durum.core.run_state import RunState
    from durum.engine.engine import Store
    from durum.ports import Clock, EventStore, Message

STEERED = {"cancel": "its parent was cancelled", "pause": "its parent was paused"}


async def deliver(store: Store, clock: Clock, letter: Message) -> bool:
    """Store a message durably; False if one with its dedupe key was there first. Nothing of the run's code is needed."""
    if not await store.send(letter):
        return False
    await empty_inbox(store, clock, letter.run_id)
    return True


async def empty_inbox(store: Store, clock: Clock, run_id: str) -> None:
    """Move what a run that nobody drives was told into its log.

    Whoever sends a message while somebody owns the run relies on that owner, so every owner looks once more after letting go.
    """
    seen: set[str] = set()
    with contextlib.suppress(RunOwnedError):  # its owner reads the inbox
        while not seen.issuperset(letter.message_id for letter in await store.inbox(run_id)):
            seen |= await _take_over(store, clock, run_id)


async def report(store: EventStore, state: RunState, manifest: RunManifest) -> None:
    """Tell the parent of a run that is over, if it is; once is enough, however often it is told."""
    if not isinstance(manifest.parent, Parent) or state.completed is None:
        return
    over = ChildOver(state.run_id, state.completed.status, state.completed.final_snapshot_id)
    with contextlib.suppress(NotFoundError):  # it is not in this store
        await store.send(message(manifest.parent.run_id, "child", over, f"child:{state.run_id}"))


async def _take_over(store: Store, clock: Clock, run_id: str) -> set[str]:
    """Take what a run was told and return which messages that were."""
    head = await store.claim(run_id)
    reader = ArtifactReader(store)
    wake: int | None = clock.now_ms()  # should this fail, whoever drives it on finds out why
    try:
        loaded = await load_claimed(store, reader, head)
        recorder = Recorder(store, reader, clock, head, store.worker, loaded.state)
        letters, was_paused = await store.inbox(run_id), recorder.state.paused is not None
        for letter in letters:
            take(recorder, letter)
        if recorder.state.cancelling is not None and not recorder.state.over:
            await _cancel(store, clock, recorder, reader)
        elif recorder.state.paused is not None and not was_paused:
            await _tell_children(store, clock, recorder.state, "pause")
        await recorder.commit()
        await report(store, loaded.state, loaded.manifest)
        wake = wake_ms(loaded.state, clock.now_ms())
        return {letter.message_id for letter in letters}
    finally:
        with contextlib.suppress(DurumError):
            await store.release(run_id, head.epoch, wake_ms=wake)


async def _cancel(store: Store, clock: Clock, recorder: Recorder, reader: ArtifactReader) -> None:
    """Stage the end of a cancelled run that nobody drives, its children's first."""
    state = recorder.state
    assert state.cancelling is not None
    await _tell_children(store, clock, state, "cancel")
    close_orphans(recorder)
    final = await _final(state, recorder, reader)
    recorder.stage(ev.RunCompleted(final_snapshot_id=final, status=ev.RunStatus.CANCELLED))


async def _tell_children(store: Store, clock: Clock, state: RunState, word: str) -> None:
    """Send a word to every open child, before its parent's log says so: whoever dies in between does it again."""
    steer = Steer(actor=f"run {state.run_id}", reason=STEERED[word])
    for child_id in list(state.children):
        with contextlib.suppress(NotFoundError, CorruptionError):  # it never began, or is damaged: that holds nobody up
            await deliver(store, clock, message(child_id, word, steer))


async def _final(state: RunState, recorder: Recorder, reader: ArtifactReader) -> str:
    assert state.started is not None
    artifacts: dict[str, bytes] = {}
    boundaries = Boundaries(Snapshots(reader), state, state.started.initial_snapshot_id)
    tree, _ = await boundaries.final(artifacts)
    recorder.keep_all(ArtifactKind.CONTEXT_SNAPSHOT, artifacts)
    return tree.id
