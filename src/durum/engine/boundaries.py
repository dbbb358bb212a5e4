"""Which context a state begins with: the causal join of what its dependencies left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durum.core.joins import Change, Conflict, boundary, plan_join, resolve
from durum.core.tree import Tree, map_item
from durum.engine.context import appended, edit_tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from durum.core.canonical import JsonValue
    from durum.core.fold import RunState
    from durum.core.tree import Item
    from durum.engine.snapshots import Snapshots


class Boundaries:
    """Finds and builds the snapshots at state boundaries of one run."""

    def __init__(self, snapshots: Snapshots, state: RunState, initial_snapshot_id: str) -> None:
        self._snapshots = snapshots
        self._state = state
        self._initial = initial_snapshot_id

    async def base(self, position: int, artifacts: dict[str, bytes]) -> tuple[Tree, Sequence[Conflict]]:
        """Return the tree a state begins with; nodes a join makes go to ``artifacts``."""
        plan = self._state.plan
        return await self._joined([plan.index[dep] for dep in plan.nodes[position].deps], artifacts)

    async def final(self, artifacts: dict[str, bytes]) -> tuple[Tree, Sequence[Conflict]]:
        """Return the tree a run ends with: the join of every completed state nothing completed depends on."""
        return await self._joined(boundary(self._state), artifacts)

    async def _joined(self, positions: Sequence[int], artifacts: dict[str, bytes]) -> tuple[Tree, Sequence[Conflict]]:
        join = plan_join(self._state.plan, self._completed(positions))
        before = None if join.start is None else self._state.states[join.start].snapshot_id
        tree = await self._snapshots.tree(before or self._initial)
        if not join.missing:
            return tree, ()
        changes, conflicts = resolve(self._state, join)
        edits: dict[str, Item | None] = {}
        for change in changes:
            edits[change.key] = await self._item(tree, change, artifacts)
        joined = edit_tree(tree, edits, artifacts)
        self._snapshots.remember(joined)
        return joined, conflicts

    async def _item(self, tree: Tree, change: Change, artifacts: dict[str, bytes]) -> Item | None:
        match change.op:
            case "delete":
                return None
            case "append":
                items: list[JsonValue] = []
                for entry in change.entries:
                    part = await self._snapshots.value(entry)
                    assert isinstance(part, list)
                    items += part
                return map_item(change.key, await appended(self._snapshots, tree, change.key, items, artifacts))
        return map_item(change.key, change.entries[0])

    def _completed(self, positions: Iterable[int]) -> Sequence[int]:
        """Return the completed states behind these: one that was skipped leaves what it would have begun with."""
        plan, states = self._state.plan, self._state.states
        found: set[int] = set()
        seen: set[int] = set()
        waiting = list(positions)
        while waiting:
            position = waiting.pop()
            if position in seen:
                continue
            seen.add(position)
            if states[position].snapshot_id is None:
                waiting += [plan.index[dep] for dep in plan.nodes[position].deps]
            else:
                found.add(position)
        return sorted(found)
