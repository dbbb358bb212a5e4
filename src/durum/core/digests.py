"""The two digests of a run: one of everything that was logged, one of what it means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durum.core.canonical import canonical_parts, digest_bytes
from durum.core.run_state import StateStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from durum.core.run_plan import RunPlan
    from durum.core.run_state import Progress, RunState


def log_digest(state: RunState) -> str:
    """Return the hash of the last event; the chain makes it cover every event, time and attempt before."""
    return state.hash


def semantic_digest(state: RunState) -> str:
    """Return the digest of what the run came to: two runs that mean the same have the same one.

    It covers, sorted by state id, each settled state's outcome, context writes and the facts its completing attempt went by,
    and the final status. Order, seq, attempts, branches, retries, times and ids are left out.
    """
    plan = state.plan
    settled = [
        _meaning(plan.nodes[position].id, progress)
        for position, progress in enumerate(state.states)
        if progress.status in {StateStatus.COMPLETED, StateStatus.FAILED, StateStatus.SKIPPED}
    ]
    status = None if state.completed is None else state.completed.status.value
    meaning: dict[str, object] = {"states": sorted(settled, key=_state_of), "status": status}
    if plan.counts:
        meaning["extensions"] = [[state_id, count] for state_id, count in sorted(_extensions(plan))]
    return digest_bytes(canonical_parts(meaning))  # entries are canonical JSON as they stand


def _extensions(plan: RunPlan) -> Iterable[tuple[str, int]]:
    return ((plan.nodes[head].id, count) for head, count in plan.counts.items())


def _state_of(meaning: dict[str, object]) -> str:
    return str(meaning["state"])


def _meaning(state_id: str, progress: Progress) -> dict[str, object]:
    meaning: dict[str, object] = {"state": state_id, "outcome": progress.status.value}
    if progress.completed is not None:
        meaning["writes"] = [(write.key, write.entry, write.op) for write in progress.writes]
        meaning["facts"] = progress.completed.facts
    if progress.status is StateStatus.FAILED and progress.error is not None:
        meaning["error"] = progress.error.info.code
    if progress.skip is not None:
        meaning["reason"] = progress.skip.reason.value
    return meaning
