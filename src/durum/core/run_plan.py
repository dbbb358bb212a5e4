"""The plan of a run under way: the stored plan and what recorded extensions added to it.

Invariants: positions never move, and what an extension adds stands behind everything before; ``precedence`` says where it
belongs. A state's dependencies are final once it can be entered.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from durum.core.plan import PlanNode, PlanShape


class RunPlan:
    """Nodes by position and by id, with the edges both ways."""

    def __init__(self, shape: PlanShape) -> None:
        self.shape = shape
        self.op_id = shape.op_id
        self.merges: Mapping[str, str] = shape.merges
        self.nodes: Sequence[PlanNode] = shape.nodes
        self.index = shape.index
        self.deps, self.dependents = shape.edges
        self.items: dict[int, list[int]] = {}  # position of a state that counted items -> positions it added
        self.head: dict[int, int] = {}  # position of an added state -> the one that added it
        self.counts: dict[int, int] = {}  # position of a state that counted items -> how many there are
        self.last_of_item: set[int] = set()  # positions of the states that end an item
        self._precedence: dict[int, tuple[int, ...]] = {}
        self._ancestors: dict[int, int] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RunPlan) and (self.shape, self.counts) == (other.shape, other.counts)

    __hash__ = None  # type: ignore[assignment]  # it grows

    def node(self, state_id: str) -> PlanNode:
        """Return the node of a state; ``KeyError`` if the plan has none."""
        return self.nodes[self.index[state_id]]

    def precedence(self, position: int) -> tuple[int, ...]:
        """Return what sorts states in declaration order, whenever they came into the plan."""
        return self._precedence.get(position) or (position,)

    def item_index(self, position: int) -> int | None:
        """Return which item a state belongs to, None if to none."""
        return self._precedence[position][-2] if position in self.head else None

    def extend(self, head: int, count: int) -> Sequence[int]:
        """Add the states of ``count`` items and return those that end one; what waits for the items depends on them now."""
        rule = self.nodes[head].each
        assert rule is not None
        first = len(self.nodes)
        if not self.counts:  # what it began with belongs to every run of the plan
            self.nodes, self.index = list(self.nodes), dict(self.index)
            self.deps, self.dependents = [list(deps) for deps in self.deps], [list(after) for after in self.dependents]
        self.counts[head] = count
        for index in range(count):
            for part, node in enumerate(item_nodes(rule.body, index)):
                self._add(node, (*self.precedence(head), index, part), head)
        added = range(first, len(self.nodes))
        self.items[head] = list(added)
        then = self.index[rule.then]
        last = list(added[len(rule.body) - 1 :: len(rule.body)])
        for position in last:
            self.dependents[position].append(then)
        self.deps[then] += last
        self.last_of_item.update(last)
        self._ancestors.clear()
        return last

    def _add(self, node: PlanNode, precedence: tuple[int, ...], head: int) -> None:
        assert isinstance(self.nodes, list)
        position = len(self.nodes)
        self.nodes.append(node)
        self.index[node.id] = position
        deps = [self.index[dep] for dep in node.deps]
        self.deps.append(deps)
        self.dependents.append([])
        self.head[position] = head
        self._precedence[position] = precedence
        for dep in deps:
            self.dependents[dep].append(position)

    def lineage(self, position: int) -> int:
        """Return the bit set of the positions a state depends on, directly or not, itself included."""
        return self.ancestors(position) | 1 << position

    def ancestors(self, position: int) -> int:
        """Return the bit set of the positions a state depends on, directly or not."""
        known = self._ancestors
        stack = [position]
        while stack:
            at = stack[-1]
            unknown = [dep for dep in self.deps[at] if dep not in known]
            if at in known:
                stack.pop()
            elif unknown:
                stack += unknown
            else:
                mask = 0
                for dep in self.deps[at]:
                    mask |= known[dep] | 1 << dep
                known[at] = mask
                stack.pop()
        return known[position]

    @property
    def waves(self) -> Sequence[int]:
        """Position -> topological layer, 0-based; a view, never a barrier."""
        layers = [0] * len(self.nodes)
        for position in self.order:
            layers[position] = max((layers[dep] + 1 for dep in self.deps[position]), default=0)
        return layers

    @property
    def order(self) -> Sequence[int]:
        """Positions in topological order, ties by precedence; what lies on or behind a cycle is left out."""
        return self.in_order(range(len(self.nodes)))

    def in_order(self, positions: Iterable[int]) -> Sequence[int]:
        """Return some positions in topological order, ties by precedence; only the edges among them count."""
        members = set(positions)
        waiting: dict[int, int] = {}
        behind: dict[int, list[int]] = {}
        for position in members:
            deps = [dep for dep in self.deps[position] if dep in members]
            waiting[position] = len(deps)
            for dep in deps:
                behind.setdefault(dep, []).append(position)
        ready = [(self.precedence(position), position) for position, count in waiting.items() if not count]
        heapify(ready)
        order: list[int] = []
        while ready:
            _, position = heappop(ready)
            order.append(position)
            for after in behind.get(position, ()):
                waiting[after] -= 1
                if not waiting[after]:
                    heappush(ready, (self.precedence(after), after))
        return order


def item_nodes(body: Sequence[PlanNode], index: int) -> Sequence[PlanNode]:
    """Return the nodes of one item from those of item 0."""
    if index == 0:
        return body
    own = {node.id: renamed(node.id, index) for node in body}
    return [
        msgspec.structs.replace(
            node,
            id=own[node.id],
            deps=tuple(own.get(dep, dep) for dep in node.deps),
            path=node.path.replace("[0]", f"[{index}]", 1),
            spawns=own.get(node.spawns or ""),
        )
        for node in body
    ]


def renamed(state_id: str, index: int) -> str:
    """Return the id of an item's state from that of item 0."""
    stem, _, local = state_id.rpartition(".")
    return f"{stem}.i{index}{local[2:]}"
