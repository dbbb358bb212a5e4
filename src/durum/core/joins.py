"""Which writes a state sees when several branches meet, decided by ancestry and never by finish order.

A join starts from the context of its first dependency and adds what the ancestors missing there wrote, in plan order. A later
write supersedes an earlier one if the earlier writer is its ancestor; equal entries never conflict; deletes are writes; appends
add up; anything else is a conflict.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from durum.core.events import Write
    from durum.core.fold import RunState
    from durum.core.plan import PlanShape


class Join(msgspec.Struct, frozen=True):
    """``start`` is the position whose context to begin with (None: the run's initial context)."""

    start: int | None
    missing: Sequence[int]  # positions whose writes are to be added, in plan order


class Change(msgspec.Struct, frozen=True):
    """What a join does to one key: set it to an entry, delete it (no entries) or append entries, in order."""

    key: str
    op: str
    entries: Sequence[bytes]


class Conflict(msgspec.Struct, frozen=True):
    """A key written differently side by side, and who wrote it."""

    key: str
    writers: Sequence[int]


def plan_join(plan: PlanShape, positions: Iterable[int]) -> Join:
    """Return how the contexts after ``positions`` come together."""
    after = sorted(positions)
    if len(after) < 2:  # noqa: PLR2004 - one branch has nothing to join, and needs no ancestors
        return Join(after[0] if after else None, ())
    masks = plan.ancestors
    start = after[0]
    seen = masks[start] | 1 << start
    mask = 0
    for position in after[1:]:
        mask |= masks[position] | 1 << position
    mask &= ~seen
    if not mask:
        return Join(start, ())
    return Join(start, list(_members(mask)))


def _members(mask: int) -> Iterable[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def resolve(state: RunState, join: Join) -> tuple[list[Change], list[Conflict]]:
    """Return what the missing ancestors change, and the conflicts; a conflicting key is left as its start has it."""
    plan = state.plan
    tips: dict[str, list[int]] = {}
    appended: dict[str, list[bytes]] = {}
    for position in sorted(join.missing, key=plan.rank.__getitem__):
        for write in state.states[position].writes:
            if write.op == "append":
                appended.setdefault(write.key, []).append(bytes(write.entry))
                continue
            before = tips.get(write.key)
            if before is None:
                before = _start_tips(state, join.start, write.key)
            mask = plan.ancestors[position]
            tips[write.key] = [*(tip for tip in before if not mask >> tip & 1), position]
    changes = [Change(key, "append", entries) for key, entries in appended.items()]
    conflicts: list[Conflict] = []
    for key, positions in tips.items():
        written = {position: _written(state.states[position].writes, key) for position in positions}
        if len(set(written.values())) > 1:
            conflicts.append(Conflict(key, sorted(positions)))
            continue
        entry = written[positions[-1]]
        changes.append(Change(key, "delete", ()) if entry is None else Change(key, "set", (entry,)))
    return changes, conflicts


def _written(writes: Sequence[Write], key: str) -> bytes | None:
    """Return the entry a state wrote under a key, None for a delete."""
    for write in writes:
        if write.key == key and write.op != "append":
            return bytes(write.entry) if write.op == "set" else None
    return None


def _start_tips(state: RunState, start: int | None, key: str) -> list[int]:
    """Return the latest writers of a key in the context the join starts from."""
    if start is None:
        return []
    plan = state.plan
    seen = plan.ancestors[start] | 1 << start
    inside = [position for position in state.writers.get(key, ()) if seen >> position & 1]
    covered = 0
    for position in inside:
        covered |= plan.ancestors[position]
    return [position for position in inside if not covered >> position & 1]


def boundary(state: RunState) -> list[int]:
    """Return the completed states no completed state depends on: what a run's final context is joined from."""
    done = [progress.snapshot_id is not None for progress in state.states]
    dependents = state.plan.dependents
    return [position for position, good in enumerate(done) if good and not any(done[after] for after in dependents[position])]
