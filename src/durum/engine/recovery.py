"""A run read back from its log: fold, the facts it holds, and the attempts a dead owner left open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from durum.codec import decode_log
from durum.core import events as ev
from durum.core.artifact_kind import ArtifactKind
from durum.core.facts import FactIndex, index_facts
from durum.core.failure import ORPHAN_ATTEMPT_RECOVERED, StateError, failure
from durum.core.fold import Attached, fold
from durum.core.manifest import RunManifest, decode_manifest
from durum.core.plan import PlanShape, decode_shape, rule_of
from durum.core.run_state import RunState, begin
from durum.errors import ConcurrencyError, CorruptionError, NotFoundError, PlanChangedError

if TYPE_CHECKING:
    from durum.core.plan import ExecutionPlan
    from durum.engine.artifacts import ArtifactReader
    from durum.engine.recorder import Recorder
    from durum.ports import EventStore, Head

_HINT = "list the runs of this store with: durum ls"


_decode_writes = msgspec.json.Decoder(tuple[ev.Write, ...]).decode  # made here: see ``core/plan.py``


class LoadedRun(msgspec.Struct, frozen=True):
    """A run as its log tells it."""

    envelopes: Sequence[ev.Envelope]
    manifest: RunManifest
    plan: PlanShape  # as it was started; ``state.plan`` is the one in force
    state: RunState
    facts: FactIndex
    attached: Attached


async def load_run(store: EventStore, reader: ArtifactReader, run_id: str) -> LoadedRun:
    """Read, check and fold a run's whole log.

    Raises:
        NotFoundError: the store holds no such run.
        CorruptionError: an event or artifact is damaged or missing.
    """
    envelopes = decode_log(run_id, await store.read_range(run_id))
    if not envelopes:
        raise NotFoundError("run", run_id, _HINT)
    started = envelopes[0].event
    if not isinstance(started, ev.RunStarted):
        raise CorruptionError(f"run {run_id}", "its log does not begin with run.started")
    manifest = decode_manifest(await reader.get(started.manifest_id))
    plan = decode_shape(await reader.get(started.plan_id))
    attached = await load_attached(reader, envelopes)
    state = fold(begin(run_id, plan, manifest.run_config), envelopes, attached)
    return LoadedRun(envelopes, manifest, plan, state, index_facts(envelopes), attached)


async def load_attached(reader: ArtifactReader, envelopes: Sequence[ev.Envelope]) -> Attached:
    """Read the artifacts fold needs."""
    plans: dict[str, PlanShape] = {}
    writes: dict[str, Sequence[ev.Write]] = {}
    for envelope in envelopes:
        event = envelope.event
        if isinstance(event, ev.CodeChanged):
            plans[event.plan_id] = decode_shape(await reader.get(event.plan_id))
        elif isinstance(event, ev.StateCompleted) and event.writes_id is not None:
            writes[event.writes_id] = _decode_writes(await reader.get(event.writes_id))
    return Attached(plans, writes)


async def load_claimed(store: EventStore, reader: ArtifactReader, head: Head) -> LoadedRun:
    """Read a run that was just claimed.

    Raises:
        ConcurrencyError: it went on meanwhile, so it was taken over since.
    """
    run = await load_run(store, reader, head.run_id)
    if run.state.seq != head.seq:
        raise ConcurrencyError(head.run_id, head.seq, run.state.seq, head.epoch, run.envelopes[-1].epoch)
    return run


def close_orphans(recorder: Recorder) -> int:
    """Stage the end of every attempt whose owner died; they do not count against the retry budget."""
    state = recorder.state
    orphans = sorted(state.open.items())
    for position, attempt in orphans:
        state_id = state.plan.nodes[position].id
        info = failure(ORPHAN_ATTEMPT_RECOVERED, "the process that drove this attempt ended before it did", retryable=True)
        recorder.stage(ev.StateFailed(error=StateError(info, state_id), state_id=state_id), state_id, attempt)
    return len(orphans)


def adopt_code(recorder: Recorder, plan: ExecutionPlan) -> None:
    """Record that the code changed, if it did; refuse it where the log no longer fits.

    Raises:
        PlanChangedError: a state the log speaks of is gone, or its edges, effect class or merges changed.
    """
    state = recorder.state
    old, new = state.plan.shape, plan.shape
    reasons = [*_misfits(state, new), *_merge_misfits(state, new)]
    if reasons:
        raise PlanChangedError(state.run_id, reasons)
    reducers = {key for key in new.merges if old.reducers.get(key) != new.reducers.get(key)}
    changed = [
        node.id
        for node in new.nodes
        if node.id not in old.index or old.node(node.id) != node or not reducers.isdisjoint(node.writes)
    ]
    same_order = [node.id for node in old.nodes] == [node.id for node in new.nodes]
    if not changed and not reducers and same_order and old.merges == new.merges:
        return
    plan_id = recorder.keep(ArtifactKind.OTHER, new.stored)
    recorder.stage(
        ev.CodeChanged(plan_id=plan_id, steps=tuple(changed[: ev.INLINE_KEYS])), attached=Attached(plans={plan_id: new})
    )


def _misfits(state: RunState, new: PlanShape) -> list[str]:
    reasons = []
    for position, node in enumerate(state.plan.shape.nodes):
        if state.states[position].attempt < 0 and state.states[position].skip is None:
            continue  # the log does not speak of it yet
        if node.id not in new.index:
            reasons.append(f"state {node.id} has run but is gone")
            continue
        now = new.node(node.id)
        if set(now.deps) != set(node.deps):
            reasons.append(f"state {node.id} has run but depends on other states now")
        if rule_of(now) != rule_of(node):
            reasons.append(f"state {node.id} has run but adds other states to the plan now")
        if now.meta.side_effects is not node.meta.side_effects:
            reasons.append(f"state {node.id} has run as {node.meta.side_effects} but is {now.meta.side_effects} now")
    return reasons


def _merge_misfits(state: RunState, new: PlanShape) -> list[str]:
    """Return what no longer fits of the keys that were written to."""
    keys = sorted(key for key in state.writers if state.plan.merges.get(key) != new.merges.get(key))
    return [f"context key {key!r} merges in another way now" for key in keys]
