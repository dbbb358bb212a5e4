"""A step as its author declared it, and the states it expands into.

A plain step is the state ``main``. With ``each=`` there are ``each`` (counts the items), ``i0``, ``i1`` ... (one an item, in
the plan once they are counted) and ``main`` (where they come together). With ``child=`` there are ``spawn`` and ``main``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from durum.core.config import NO_RETRY, RetryPolicy
from durum.core.meta import SideEffectKind, StateMeta
from durum.core.plan import DependencyEdge, EachRule, PlanNode, StateNode
from durum.core.state import SnapshotPolicy
from durum.workflow.child import Alone, ChildResult, Spawn
from durum.workflow.code_digest import code_digest
from durum.workflow.each import SPAWN, CountItems, Gather
from durum.workflow.expansion_options import INDEX, ITEM
from durum.workflow.retry import Retry
from durum.workflow.signature import Signature
from durum.workflow.step import StepState

if TYPE_CHECKING:
    from durum.core.state import State


class StepDefinition(msgspec.Struct, frozen=True):
    """One step as its author declared it."""

    name: str
    function: Callable[..., Any]
    signature: Signature
    writes: str | None
    effects: SideEffectKind
    tags: tuple[str, ...]
    retry: Retry | None
    timeout: timedelta | None
    after: tuple[str, ...]
    idempotency: str | None
    idempotent: bool
    reconcile: Callable[..., Any] | None
    blocking: bool
    version: str
    each: str | None
    on_missing: str
    max_concurrency: int | None
    child: Any  # a Workflow, None if it starts no run
    result: str | None
    snapshot: SnapshotPolicy

    @property
    def given(self) -> tuple[str, ...]:
        """The parameters that say which item it is called for, no context keys."""
        names = () if self.each is None else (ITEM, INDEX)
        return tuple(parameter.name for parameter in self.signature.parameters if parameter.name in names)

    @property
    def reads(self) -> tuple[str, ...]:
        """The context keys it goes by."""
        names = [parameter.name for parameter in self.signature.parameters if parameter.name not in self.given]
        return tuple(dict.fromkeys([*names, *([] if self.each is None else [self.each])]))


class Expansion(msgspec.Struct, frozen=True):
    """The states of one step: what it waits for must be over before ``first``, what waits for it begins after ``last``."""

    states: Sequence[StateNode]
    edges: Sequence[DependencyEdge]
    first: str
    last: str


def expand(flow: str, definition: StepDefinition, *, appends: bool, merges: bool) -> Expansion:
    """Return the states of a step. ``appends``, ``merges``: how its author declared that its key comes together."""
    return _Expander(flow, definition, appends=appends, merges=merges).expand()


class _Expander:
    def __init__(self, flow: str, definition: StepDefinition, *, appends: bool, merges: bool) -> None:
        self._definition = definition
        self._stem = f"{flow}.{definition.name}"
        self._merges = merges
        self._meta = StateMeta(
            tags=definition.tags,
            side_effects=definition.effects,
            idempotency=definition.idempotency,
            idempotent=definition.idempotent,
        )
        self._step = StepState(
            name=definition.name,
            function=definition.function,
            signature=definition.signature,
            state_meta=self._meta,
            writes=definition.writes,
            appends=appends,
            reduces=merges and not appends,
            blocking=definition.blocking,
            retry=definition.retry,
            reconcile=definition.reconcile,
            snapshot=definition.snapshot,
        )

    def expand(self) -> Expansion:
        definition, main = self._definition, f"{self._stem}.main"
        if definition.each is not None:
            first = f"{self._stem}.each"
            states = [self._counting(first, main, definition.each), self._gathering(main)]
        elif definition.child is not None:
            first = f"{self._stem}.spawn"
            spawn = self._node(first, self._step_node(first, spawns=main), Spawn(Alone(self._step), definition.child))
            states = [spawn, self._node(main, self._result_node(main), ChildResult(self._step, first, definition.result))]
        else:
            return Expansion([self._node(main, self._step_node(main, writes=True), self._step)], (), main, main)
        return Expansion(states, [DependencyEdge(first, main)], first, main)

    @staticmethod
    def _node(state_id: str, node: PlanNode, state: State) -> StateNode:
        return StateNode(state_id, state, node)

    def _step_node(self, state_id: str, *, spawns: str | None = None, writes: bool = False) -> PlanNode:
        """Return the node of the state that calls the function."""
        definition = self._definition
        return PlanNode(
            id=state_id,
            meta=self._meta,
            retry=self._policy(),
            timeout_ms=None if definition.timeout is None else max(1, round(definition.timeout.total_seconds() * 1000)),
            digest=code_digest(definition.function),
            version=definition.version,
            reads=definition.reads,
            writes=(definition.writes,) if writes and definition.writes is not None else (),
            spawns=spawns,
        )

    def _policy(self) -> RetryPolicy | None:
        if self._definition.retry is not None:
            return self._definition.retry.policy()
        return NO_RETRY if self._definition.effects is SideEffectKind.APPLY_SIDE_EFFECT else None

    def _result_node(self, state_id: str) -> PlanNode:
        key = self._definition.writes
        meta = StateMeta(tags=self._definition.tags, side_effects=SideEffectKind.READ_ONLY_IO)
        return PlanNode(id=state_id, meta=meta, retry=NO_RETRY, writes=() if key is None else (key,))

    def _counting(self, state_id: str, main: str, source: str) -> StateNode:
        definition = self._definition
        rule = EachRule(body=self._body(state_id), source=source, then=main, limit=definition.max_concurrency)
        node = PlanNode(
            id=state_id,
            retry=NO_RETRY,
            digest=code_digest(definition.function),
            version=definition.version,
            reads=(source,),
            each=rule,
        )
        state = CountItems(self._step, source, definition.on_missing == "skip", definition.child, definition.result, state_id)
        return self._node(state_id, node, state)

    def _body(self, head: str) -> tuple[PlanNode, ...]:
        """Return the nodes of item 0."""
        first, path = f"{self._stem}.i0", f"{self._definition.name}[0]"
        replace = msgspec.structs.replace
        if self._definition.child is None:
            return (replace(self._step_node(first, writes=True), deps=(head,), path=path),)
        spawn = f"{first}{SPAWN}"
        return (
            replace(self._step_node(spawn, spawns=first), deps=(head,), path=f"{path}.spawn"),
            replace(self._result_node(first), deps=(spawn,), path=path),
        )

    def _gathering(self, main: str) -> StateNode:
        key = self._definition.writes
        node = PlanNode(id=main, retry=NO_RETRY, writes=() if key is None else (key,))
        return self._node(main, node, Gather(self._step, self._merges))
