"""The executable graph: validated states and edges, and the stored shape that lets a log be read without the code."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from durum.core.canonical import canonical_json, decode_json
from durum.core.config import RetryPolicy
from durum.core.ids import ArtifactIdField, OpId, OpIdField, StateId, StateIdField
from durum.core.joins import side_by_side
from durum.core.merges import Merges, Reducer, stored_names
from durum.core.meta import StateMeta
from durum.core.run_plan import RunPlan
from durum.core.state import State
from durum.errors import (
    CircularDependencyError,
    ConfigError,
    DanglingDependencyTagError,
    DuplicateStateIdError,
    EmptyPlanError,
    MissingStateForEdgeError,
    SideBySideWritersError,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


class DependencyEdge(msgspec.Struct, frozen=True):
    """``from_id`` must complete before ``to_id`` may run."""

    from_id: StateIdField
    to_id: StateIdField


class EachRule(msgspec.Struct, frozen=True, omit_defaults=True):
    """One set of states for every item of the context key ``source``; the state ``then`` waits for all of them.

    ``body`` holds the nodes of item 0; those of item k have ``ik`` in place of ``i0`` in their ids.
    """

    body: tuple[PlanNode, ...]
    source: str
    then: StateIdField
    limit: int | None = None  # most items under way at a time, None: as many as the run allows


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
    each: EachRule | None = None  # of a state that counts the items
    spawns: StateIdField | None = None  # of a state that starts a child run: the state that waits for it


class PlanShape(msgspec.Struct, frozen=True, dict=True, omit_defaults=True):
    """A plan without its code: immutable, stored as an artifact, in declaration order."""

    op_id: OpIdField
    nodes: tuple[PlanNode, ...]
    merges: dict[str, str] = {}  # context key -> how several writers merge
    reducers: dict[str, ArtifactIdField] = {}  # context key -> digest of its own reducer's code; a hint, as a step's

    @cached_property
    def index(self) -> dict[str, int]:
        """State id -> position in declaration order."""
        return {node.id: position for position, node in enumerate(self.nodes)}

    @cached_property
    def edges(self) -> tuple[list[list[int]], list[list[int]]]:
        """By position, the positions a state depends on and those that depend on it; every run begins with them."""
        deps = [[self.index[dep] for dep in node.deps] for node in self.nodes]
        dependents: list[list[int]] = [[] for _ in self.nodes]
        for position, before in enumerate(deps):
            for dep in before:
                dependents[dep].append(position)
        return deps, dependents

    @cached_property
    def stored(self) -> bytes:
        """The canonical JSON it is stored as.

        Raises:
            ConfigError: it could not be read back, for something in it is of another type than declared.
        """
        data = canonical_json(decode_json(msgspec.json.encode(self, enc_hook=str)))
        try:
            decode_shape(data)
        except msgspec.ValidationError as error:
            message = f"plan of {self.op_id}: {error}"
            raise ConfigError(message) from error
        return data

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
    reducers: Mapping[str, Reducer] = {}  # context key -> its own reducer

    @cached_property
    def shape(self) -> PlanShape:
        """The stored form, validated.

        Raises:
            PlanValidationError: the graph breaks a rule; the subclass says which.
        """
        return validate(self)

    @cached_property
    def merging(self) -> Merges:
        """How its keys merge, with the code of its own reducers."""
        return Merges(self.shape.merges, self.reducers)

    @cached_property
    def code(self) -> Mapping[str, State]:
        """State id -> implementation, of the states that are in the plan from the start."""
        return {node.id: node.state for node in self.states}

    def implementation(self, plan: RunPlan, state_id: str) -> State:
        """Return the implementation of any state of a run, those of items included."""
        head = plan.head.get(plan.index[state_id])
        if head is None:
            return self.code[state_id]
        counting: Any = self.code[plan.nodes[head].id]
        item: State = counting.item(state_id.rpartition(".")[2])
        return item


def validate(plan: ExecutionPlan) -> PlanShape:
    """Check a plan's structure and return its shape.

    Raises:
        InvalidIdError, EmptyPlanError, DuplicateStateIdError, MissingStateForEdgeError, CircularDependencyError,
        DanglingDependencyTagError, SideBySideWritersError.
    """
    if not plan.states:
        raise EmptyPlanError
    OpId(plan.op_id)
    deps = _dependencies(plan)
    nodes = tuple(_node(state_node, tuple(deps[state_node.id])) for state_node in plan.states)
    _check_tags(nodes)
    digests = {key: reducer.digest for key, reducer in plan.reducers.items() if reducer.digest is not None}
    shape = PlanShape(op_id=plan.op_id, nodes=nodes, merges=stored_names(plan.merges, plan.reducers), reducers=digests)
    if len(RunPlan(shape).order) < len(nodes):
        raise CircularDependencyError(_find_cycle(deps))
    if clash := side_by_side(RunPlan(shape)):
        raise SideBySideWritersError(clash[0], [nodes[position].id for position in clash[1:]])
    return shape


def rule_of(node: PlanNode) -> object:
    """Return what the states that a state may add are called, what they do, and which one waits for them."""
    rule = node.each
    if rule is None:
        return node.spawns
    return (rule.source, rule.then, [(part.id, part.deps, part.meta.side_effects, part.spawns) for part in rule.body])


def decode_shape(data: bytes) -> PlanShape:
    """Return the plan stored as ``data``."""
    return _decode_shape(data)


_decode_shape = msgspec.json.Decoder(PlanShape).decode  # made here: two threads that first meet a type at once crash msgspec


def _dependencies(plan: ExecutionPlan) -> dict[str, dict[str, None]]:
    """Return state id -> ids it depends on, in declaration order."""
    deps: dict[str, dict[str, None]] = {}
    for state_node in plan.states:
        if state_node.id in deps:
            raise DuplicateStateIdError(state_node.id)
        deps[StateId(state_node.id)] = {}
    for edge in plan.edges:
        for end in (edge.from_id, edge.to_id):
            if end not in deps:
                raise MissingStateForEdgeError(end)
        deps[edge.to_id][edge.from_id] = None
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


def _find_cycle(deps: Mapping[str, Collection[str]]) -> Sequence[str]:
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


def _on_or_behind_cycles(deps: Mapping[str, Collection[str]]) -> dict[str, None]:
    left = dict.fromkeys(deps)
    while True:
        free = [state for state in left if not any(dep in left for dep in deps[state])]
        if not free:
            return left
        for state in free:
            del left[state]
