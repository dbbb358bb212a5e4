"""Joins made again in replay: whether the branches of a run still come together as the record says, under its own reducers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durum.core import events as ev
from durum.core.fold import fold
from durum.core.replay import Divergence
from durum.core.run_state import begin
from durum.engine.boundaries import Boundaries

if TYPE_CHECKING:
    from durum.core.plan import ExecutionPlan
    from durum.core.run_state import RunState
    from durum.core.tree import Tree
    from durum.engine.recovery import LoadedRun
    from durum.engine.snapshots import Snapshots


_CANCELLED = ev.RunStatus.CANCELLED  # perhaps by a process without the code, which leaves what only the code can join


async def check_joins(run: LoadedRun, plan: ExecutionPlan, snapshots: Snapshots) -> Divergence | None:
    """Return the first context that does not come together as recorded; ``verify`` has seen to all without own reducers."""
    recorded, now = run.state.plan.merges, plan.shape.merges
    for key in sorted(recorded.keys() | now.keys()):
        if recorded.get(key) != now.get(key):
            message = f"context key {key!r} merges in another way now"
            return Divergence("plan", None, None, None, message, recorded.get(key), now.get(key))
    if not plan.reducers:
        return None
    started = run.envelopes[0].event
    assert isinstance(started, ev.RunStarted)
    state = begin(run.state.run_id, run.plan, run.manifest.run_config)
    boundaries = Boundaries(snapshots, state, started.initial_snapshot_id, plan.reducers)
    for envelope in run.envelopes:
        found = await _compared(state, boundaries, envelope, snapshots)
        if found is not None:
            return found
        fold(state, (envelope,), run.attached)
    return None


async def _compared(state: RunState, boundaries: Boundaries, envelope: ev.Envelope, snapshots: Snapshots) -> Divergence | None:
    event = envelope.event
    if isinstance(event, ev.StateEntered):
        recorded, (tree, _) = event.base_snapshot_id, await boundaries.base(state.plan.index[event.state_id], {})
    elif isinstance(event, ev.RunCompleted) and event.final_snapshot_id is not None and event.status is not _CANCELLED:
        recorded, (tree, _) = event.final_snapshot_id, await boundaries.final({})
    else:
        return None
    if tree.id == recorded:
        return None
    keys = _different(await snapshots.tree(recorded), tree)
    place = "at the end of the run" if envelope.state_id is None else f"before {envelope.state_id}"
    message = f"{', '.join(keys)} {'comes' if len(keys) == 1 else 'come'} together in another way {place}"
    return Divergence("join", envelope.state_id, envelope.attempt, envelope.seq, message, recorded, tree.id)


def _different(one: Tree, other: Tree) -> list[str]:
    before, after = ({item.key: item.text for item in tree.entries()} for tree in (one, other))
    return sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
