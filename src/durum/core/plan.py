"""The executable graph: validated states and edges, and the stored shape that lets a log be read without the code."""

from __future__ import annotations

from functools import cached_property
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

import msgspec

from durum.core.canonical import canonical_json, decode_json
from durum.core.config import RetryPolicy
from durum.core.ids import ArtifactIdField, OpId, OpIdField, StateId, StateIdField
from durum.core.meta import StateMeta
from durum.core.state import State
from durum.errors import (
    CircularDependencyError,
    ConfigError,
    DanglingDependencyTagError,
    DuplicateStateIdError,
    EmptyPlanError,
    MissingStateForEdgeError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class DependencyEdge(msgspec.Struct, frozen=True):
    """``from_id`` must complete before ``to_id`` may run."""

    from_id: StateIdField
    to_id: StateIdField


class PlanNode(msgspec.Struct, frozen=True, omit_defaults=True):
    """One state as the stored plan knows it; everything decide needs, nothing that is code."""

    id: StateIdField
    deps: tuple[StateIdField, ...] = ()
    meta: StateMeta = StateMeta()
    retry: RetryPolicy | None = None  # None: the run's policy
    timeout_ms: int | None = None
    digest: ArtifactIdField | None = None  # of the step's code; a hint, replay is the judge
    version: str = ""
    path: str = ""  # what people see, where it differs from the id
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()


class PlanShape(msgspec.Struct, frozen=True, dict=True, omit_defaults=True):
    """A plan without its code: immutable, stored as an artifact, in declaration order."""

    op_id: OpIdField
    nodes: tuple[PlanNode, ...]
    merges: dict[str, str] = {}  # context key -> how several writers merge ("append")

    @cached_property
    def index(self) -> Mapping[str, int]:
        """State id -> position in declaration order."""
        return {node.id: position for position, node in enumerate(self.nodes)}

    @cached_property
    def order(self) -> Sequence[int]:
        """Positions in topological order, ties by declaration."""
        return _topological_order(self)

    @cached_property
    def rank(self) -> Sequence[int]:
        """Position -> place in topological order."""
        places = [0] * len(self.nodes)
        for place, position in enumerate(self.order):
            places[position] = place
        return places

    @cached_property
    def dependents(self) -> Sequence[Sequence[int]]:
        """Position -> positions that depend on it, in declaration order."""
        found: list[list[int]] = [[] for _ in self.nodes]
        for position, node in enumerate(self.nodes):
            for dep in node.deps:
                found[self.index[dep]].append(position)
        return found

    @cached_property
    def sinks(self) -> Sequence[int]:
        """Positions nothing depends on."""
        return [position for position, after in enumerate(self.dependents) if not after]

    @cached_property
    def waves(self) -> Sequence[int]:
        """Position -> topological layer, 0-based; a view, never a barrier."""
        layers = [0] * len(self.nodes)
        for position in self.order:
            layers[position] = max((layers[self.index[dep]] + 1 for dep in self.nodes[position].deps), default=0)
        return layers

    @cached_property
    def ancestors(self) -> Sequence[int]:
        """Position -> bit set of the positions it depends on, directly or not."""
        masks = [0] * len(self.nodes)
        for position in self.order:
            mask = 0
            for dep in self.nodes[position].deps:
                at = self.index[dep]
                mask |= masks[at] | (1 << at)
            masks[position] = mask
        return masks

    def lineage(self, position: int) -> int:
        """Return the bit set of the positions a state depends on, directly or not, itself included."""
        return self.ancestors[position] | 1 << position

    def precedence(self, position: int) -> tuple[int, ...]:
        """Return what sorts states in declaration order, whenever they came into the plan."""
        return (position,)

    def node(self, state_id: str) -> PlanNode:
        """Return the node of a state; ``KeyError`` if the plan has none."""
        return self.nodes[self.index[state_id]]


class StateNode(msgspec.Struct, frozen=True):
    """A planned state and the implementation that executes it. The plan gives the id; the state does not know it."""

    id: StateIdField
    state: State
    node: PlanNode | None = None  # retry, timeout and digests, where the planner knows them


class ExecutionPlan(msgspec.Struct, frozen=True, dict=True):
    """What the engine executes: states with their code, and the edges between them."""

    op_id: OpIdField
    states: tuple[StateNode, ...]
    edges: tuple[DependencyEdge, ...] = ()
    merges: dict[str, str] = {}

    @cached_property
    def shape(self) -> PlanShape:
        """The stored form, validated.

        Raises:
            PlanValidationError: the graph breaks a rule; the subclass says which.
        """
        return validate(self)

    @cached_property
    def code(self) -> Mapping[str, State]:
        """State id -> implementation."""
        return {node.id: node.state for node in self.states}


def validate(plan: ExecutionPlan) -> PlanShape:
    """Check a plan's structure and return its shape.

    Raises:
        InvalidIdError, EmptyPlanError, DuplicateStateIdError, MissingStateForEdgeError, CircularDependencyError,
        DanglingDependencyTagError.
    """
    if not plan.states:
        raise EmptyPlanError
    OpId(plan.op_id)
    deps = _dependencies(plan)
    nodes = tuple(_node(state_node, tuple(deps[state_node.id])) for state_node in plan.states)
    _check_tags(nodes)
    shape = PlanShape(op_id=plan.op_id, nodes=nodes, merges=plan.merges)
    if len(shape.order) < len(nodes):
        raise CircularDependencyError(_find_cycle(deps))
    return shape


def shape_bytes(shape: PlanShape) -> bytes:
    """Return the canonical JSON a plan is stored as.

    Raises:
        ConfigError: it could not be read back, for something in it is of another type than declared.
    """
    data = canonical_json(decode_json(msgspec.json.encode(shape, enc_hook=str)))
    try:
        decode_shape(data)
    except msgspec.ValidationError as error:
        message = f"plan of {shape.op_id}: {error}"
        raise ConfigError(message) from error
    return data


def decode_shape(data: bytes) -> PlanShape:
    """Return the plan stored as ``data``."""
    return msgspec.json.decode(data, type=PlanShape)


def _dependencies(plan: ExecutionPlan) -> dict[str, list[str]]:
    """Return state id -> ids it depends on, in declaration order."""
    deps: dict[str, list[str]] = {}
    for state_node in plan.states:
        if state_node.id in deps:
            raise DuplicateStateIdError(state_node.id)
        deps[StateId(state_node.id)] = []
    for edge in plan.edges:
        for end in (edge.from_id, edge.to_id):
            if end not in deps:
                raise MissingStateForEdgeError(end)
        if edge.from_id not in deps[edge.to_id]:
            deps[edge.to_id].append(edge.from_id)
    return deps


def _node(state_node: StateNode, deps: tuple[str, ...]) -> PlanNode:
    meta, state_id = state_node.state.meta(), str(state_node.id)
    if state_node.node is None:
        return PlanNode(id=state_id, deps=deps, meta=meta)
    return msgspec.structs.replace(state_node.node, id=state_id, deps=deps, meta=meta)


def _check_tags(nodes: tuple[PlanNode, ...]) -> None:
    carried = {tag for node in nodes for tag in node.meta.tags}
    for node in nodes:
        for tag in node.meta.depends_on:
            if tag not in carried:
                raise DanglingDependencyTagError(node.id, tag)


def _topological_order(shape: PlanShape) -> Sequence[int]:
    """Kahn's algorithm over a heap, so that ties fall to the earlier declaration."""
    waiting = [len(node.deps) for node in shape.nodes]
    ready = [position for position, count in enumerate(waiting) if count == 0]
    heapify(ready)
    order: list[int] = []
    while ready:
        position = heappop(ready)
        order.append(position)
        for after in shape.dependents[position]:
            waiting[after] -= 1
            if waiting[after] == 0:
                heappush(ready, after)
    return order


def _find_cycle(deps: Mapping[str, Sequence[str]]) -> Sequence[str]:
    """Return the states of one cycle in the order they would run.

    Every state left over by Kahn's algorithm that lies on or behind a cycle has a dependency that is left over as well, so
    walking back through such dependencies must meet itself.
    """
    left = _on_or_behind_cycles(deps)
    walk: list[str] = []
    at = next(iter(left))
    while at not in walk:
        walk.append(at)
        at = next(dep for dep in deps[at] if dep in left)
    return tuple(reversed(walk[walk.index(at) :]))


def _on_or_behind_cycles(deps: Mapping[str, Sequence[str]]) -> dict[str, None]:
    left = dict.fromkeys(deps)
    while True:
        free = [state for state in left if not any(dep in left for dep in deps[state])]
        if not free:
            return left
        for state in free:
            del left[state]
