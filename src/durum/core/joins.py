"""Which writes a state sees when several branches meet, decided by ancestry and never by finish order.

A join starts from the context of its first dependency and adds what the ancestors missing there wrote, in plan order. A later
write supersedes an earlier one if the earlier writer is its ancestor; equal entries never conflict; deletes are writes; appends
and contributions add up; anything else is a conflict.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, pairwise
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from durum.core.events import Write
    from durum.core.run_plan import RunPlan
    from durum.core.run_state import RunState

_FEW = 16


class Join(msgspec.Struct, frozen=True):
    """``start`` is the position whose context to begin with (None: the run's initial context)."""

    start: int | None
    missing: Sequence[int]  # positions whose writes are to be added, in plan order


class Change(msgspec.Struct, frozen=True):
    """What a join does to one key: set it to an entry, delete it (no entries), or append or reduce entries, in order."""

    key: str
    op: str
    entries: Sequence[bytes]


class Conflict(msgspec.Struct, frozen=True):
    """A key written differently side by side: two writers that disagree, and what each wrote (None: it deleted the key)."""

    key: str
    writers: tuple[int, int]
    entries: tuple[bytes | None, bytes | None]


def plan_join(plan: RunPlan, positions: Iterable[int]) -> Join:
    """Return how the contexts after ``positions`` come together.

    One that another of them comes after brings nothing of its own: its writes are in the other's context.
    """
    after = sorted(positions, key=plan.precedence)
    if len(after) < 2:  # noqa: PLR2004 - one branch has nothing to join, and needs no ancestors
        return Join(after[0] if after else None, ())
    met = above = 0
    for position in after:
        lineage = plan.lineage(position)
        met |= lineage
        above |= lineage ^ 1 << position
    start = next(position for position in after if not above >> position & 1)
    return Join(start, plan.in_order(_members(met & ~plan.lineage(start))))


def _members(mask: int) -> Iterator[int]:
    bits = f"{mask:b}"[::-1]
    at = bits.find("1")
    while at >= 0:
        yield at
        at = bits.find("1", at + 1)


class Writers:
    """Finds the latest of a key's writers among some states; that costs no walk through all who ever wrote the key."""

    def __init__(self, state: RunState) -> None:
        self._state = state
        self._plan = state.plan
        self._known: dict[str, tuple[int, int]] = {}  # key -> how many of its writers are in the bit set, and the bit set

    def latest(self, key: str, among: int) -> int | None:
        """Return the last of a key's writers in a bit set of states, None if there is none."""
        if self._plan is not self._state.plan:  # the code changed, and positions with it
            self._plan = self._state.plan
            self._known = {}
        positions = self._state.writers.get(key, ())
        count, mask = self._known.get(key, (0, 0))
        for position in positions[count:]:
            mask |= 1 << position
        if len(positions) > _FEW:
            self._known[key] = (len(positions), mask)
        found = mask & among
        return next(position for position in reversed(positions) if found >> position & 1) if found else None


def resolve(
    state: RunState, join: Join, writers: Writers, entry: Callable[[str], bytes | None]
) -> tuple[list[Change], list[Conflict]]:
    """Return what the missing ancestors change, and the conflicts; a conflicting key is left as its start has it.

    ``entry`` tells what a key holds in the context the join starts from, None if it holds nothing.
    """
    written: dict[str, list[tuple[int, Write]]] = {}
    for position in join.missing:
        for write in state.states[position].writes:
            written.setdefault(write.key, []).append((position, write))
    before = 0 if join.start is None else state.plan.lineage(join.start)
    changes: list[Change] = []
    conflicts: list[Conflict] = []
    for key, writes in written.items():
        op = writes[0][1].op
        if op in {"append", "reduce"}:
            changes.append(Change(key, op, [bytes(write.entry) for _, write in writes]))
            continue
        tips, covered = _tips(state.plan, writes)
        standing = writers.latest(key, before & ~covered)
        if standing is not None:
            tips.insert(0, (standing, entry(key)))
        one, other = tips[0], next((tip for tip in tips if tip[1] != tips[0][1]), None)
        if other is not None:
            one, other = sorted((one, other), key=lambda tip: state.plan.precedence(tip[0]))
            conflicts.append(Conflict(key, (one[0], other[0]), (one[1], other[1])))
        elif standing is None:
            changes.append(Change(key, "delete", ()) if one[1] is None else Change(key, "set", (one[1],)))
    return changes, conflicts


def _tips(plan: RunPlan, writes: Sequence[tuple[int, Write]]) -> tuple[list[tuple[int, bytes | None]], int]:
    """Return the writes no later one supersedes, in order, and the bit set of all states the writers come after."""
    covered = 0
    tips: list[tuple[int, bytes | None]] = []
    for position, write in reversed(writes):
        if not covered >> position & 1:
            tips.append((position, None if write.op == "delete" else bytes(write.entry)))
        covered |= plan.lineage(position)
    return tips[::-1], covered


def boundary(state: RunState) -> list[int]:
    """Return the completed states no completed state depends on: what a run's final context is joined from."""
    done = [position for position, progress in enumerate(state.states) if progress.snapshot_id is not None]
    behind = set(chain.from_iterable(map(state.plan.deps.__getitem__, done)))
    return [position for position in done if position not in behind]


def side_by_side(plan: RunPlan) -> tuple[str, int, int] | None:
    """Return a key that two states declare to write with neither before the other, and those two; None if there is none."""
    written: dict[str, list[int]] = {}
    for position, node in enumerate(plan.nodes):
        for key in node.writes:
            if key not in plan.merges:
                written.setdefault(key, []).append(position)
    shared = {key: positions for key, positions in written.items() if len(positions) > 1}
    place = {position: place for place, position in enumerate(plan.order)} if shared else {}
    for key, positions in shared.items():
        ordered = sorted(positions, key=place.__getitem__)
        for before, after in pairwise(ordered):
            if not plan.lineage(after) >> before & 1:
                return key, before, after
    return None
