"""Which context a state begins with: the causal join of what its dependencies left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durum.core.canonical import digest
from durum.core.joins import Conflict, Writers, boundary, plan_join, resolve
from durum.core.merges import Merges, Reducer
from durum.core.tree import Tree, map_row
from durum.engine.merging import changed, edit_tree
from durum.errors import ContextConflictError, ContextError, MergeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from durum.core.run_state import RunState
    from durum.engine.snapshots import Snapshots


class Boundaries:
    """Finds and builds the snapshots at state boundaries of one run."""

    def __init__(
        self, snapshots: Snapshots, state: RunState, initial_snapshot_id: str, reducers: Mapping[str, Reducer] | None = None
    ) -> None:
        self._snapshots = snapshots
        self._state = state
        self._initial = initial_snapshot_id
        self._reducers = reducers or {}
        self._writers = Writers(state)

    async def base(
        self, position: int, artifacts: dict[str, bytes], recorded: str | None = None
    ) -> tuple[Tree, ContextError | None]:
        """Return the tree a state begins with, and why it cannot begin; nodes a join makes go to ``artifacts``.

        A key that does not come together is left as the first branch has it. ``recorded`` is the snapshot a log tells of: it
        answers for reducers whose code is not at hand.
        """
        plan = self._state.plan
        deps = plan.deps[position]
        if len(deps) == 1 and (left := self._state.states[deps[0]].snapshot_id) is not None:  # nothing to join
            return await self._snapshots.tree(left), None
        return await self._joined(deps, plan.nodes[position].id, artifacts, recorded)

    async def final(self, artifacts: dict[str, bytes], recorded: str | None = None) -> tuple[Tree, ContextError | None]:
        """Return the tree a run ends with, the join of every completed state nothing completed depends on, as ``base`` does."""
        return await self._joined(boundary(self._state), None, artifacts, recorded)

    async def _joined(
        self, positions: Sequence[int], state_id: str | None, artifacts: dict[str, bytes], recorded: str | None
    ) -> tuple[Tree, ContextError | None]:
        join = plan_join(self._state.plan, self._completed(positions))
        before = None if join.start is None else self._state.states[join.start].snapshot_id
        tree = await self._snapshots.tree(before or self._initial)
        if not join.missing:
            return tree, None
        merges = Merges(self._state.plan.merges, self._reducers)  # the code may have changed, and how keys merge with it
        changes, conflicts = resolve(self._state, join, self._writers, lambda key: _entry(tree, key))
        fault: ContextError | None = await self._conflict(conflicts[0], state_id) if conflicts else None
        edits: dict[str, bytes | None] = {}
        for change in changes:
            try:
                edits[change.key] = await changed(self._snapshots, tree, change, merges, artifacts, recorded)
            except MergeError as error:
                fault = fault or error
        joined = edit_tree(tree, edits, artifacts)
        self._snapshots.remember(joined)
        return joined, fault

    async def _conflict(self, conflict: Conflict, state_id: str | None) -> ContextConflictError:
        nodes = self._state.plan.nodes
        one, other = conflict.writers
        digests = [None if entry is None else digest(await self._snapshots.value(entry)) for entry in conflict.entries]
        return ContextConflictError(conflict.key, state_id, {nodes[one].id: digests[0], nodes[other].id: digests[1]})

    def _completed(self, positions: Iterable[int]) -> set[int]:
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
                waiting += plan.deps[position]
            else:
                found.add(position)
        return found


def _entry(tree: Tree, key: str) -> bytes | None:
    item = tree.find(key)
    return None if item is None else map_row(item)[1]
