"""A step that runs for each item: a state that counts them, one for every item, and one they come together in."""

from __future__ import annotations

from typing import Any

import msgspec

from durum.core.meta import StateMeta
from durum.core.state import DynContext, EventRecorder, Items, SnapshotPolicy, State, StateOutcome
from durum.errors import SerializationError
from durum.workflow.child import ChildResult, Spawn
from durum.workflow.expansion_options import INDEX, ITEM
from durum.workflow.step import StepState

SPAWN = "__spawn"
_FORMS = "a list, or a map whose items are its [key, value] pairs in key order"


class CountItems(msgspec.Struct, frozen=True):
    """Implements ``State``: reads the items once and records how many there are."""

    step: StepState
    source: str
    skip_missing: bool
    child: Any = None  # the workflow each item starts a run of
    child_key: str | None = None
    state_id: str = ""

    inline = True

    def meta(self) -> StateMeta:
        """Return a meta with the step's tags, so that they are skipped together."""
        return StateMeta(tags=self.step.state_meta.tags)

    async def handle(self, ctx: DynContext, io: Any, rec: EventRecorder) -> StateOutcome:  # noqa: ANN401 - Io behind its contract
        """Extend the plan by the items."""
        del io, rec
        value = ctx.read(self.source) if ctx.has(self.source) else None
        if isinstance(value, list | dict):
            return StateOutcome(extension=Items(len(value)))
        if self.skip_missing:
            return StateOutcome(extension=Items(0))
        found = f"holds {_kind(value)}" if ctx.has(self.source) else "is not there"
        reason = f"step {self.step.name} runs for each of its items, but it {found}; give {_FORMS}, or on_missing='skip'"
        raise SerializationError(self.source, reason)

    def item(self, local: str) -> State:
        """Return the implementation of an item's state."""
        index, _, part = local[1:].partition("__")
        one = Item(self.step, self.source, int(index), appends=self.step.appends)
        if self.child is None:
            return one
        stem = self.state_id.rpartition(".")[0]
        spawn_id = f"{stem}.i{index}{SPAWN}"
        return Spawn(one, self.child) if part else ChildResult(self.step, spawn_id, self.child_key, one_of_many=True)


class Item(msgspec.Struct, frozen=True):
    """Implements ``State`` for one item."""

    step: StepState
    source: str
    index: int
    appends: bool

    @property
    def inline(self) -> bool:
        """As the step's."""
        return self.step.inline

    @property
    def reconcile(self) -> Any:  # noqa: ANN401 - an author's hook
        """As the step's."""
        return self.step.reconcile

    @property
    def snapshot(self) -> SnapshotPolicy:
        """As the step's."""
        return self.step.snapshot

    def meta(self) -> StateMeta:
        """Return the step's declared meta."""
        return self.step.state_meta

    def retryable(self, error: BaseException) -> bool | None:
        """Return the step's word."""
        return self.step.retryable(error)

    async def result(self, ctx: DynContext, io: Any) -> object:  # noqa: ANN401 - Io behind its contract
        """Return what the function returns for this item."""
        return await self.step.result(ctx, io, {ITEM: ctx.item(self.source, self.index), INDEX: self.index})

    async def handle(self, ctx: DynContext, io: Any, rec: EventRecorder) -> StateOutcome:  # noqa: ANN401 - Io behind its contract
        """Call the function for this item and add its result to the list."""
        del rec
        self.step.stage(ctx, await self.result(ctx, io), one_of_many=not self.appends)
        return StateOutcome()


class Gather(msgspec.Struct, frozen=True):
    """Implements ``State``: the items' results came together in the join before it; without items the list is empty."""

    step: StepState
    merges: bool  # the author declared how the key merges: no items leave it as it is

    inline = True

    def meta(self) -> StateMeta:
        """Return a meta with the step's tags."""
        return StateMeta(tags=self.step.state_meta.tags)

    async def handle(self, ctx: DynContext, io: Any, rec: EventRecorder) -> StateOutcome:  # noqa: ANN401 - Io behind its contract
        """Leave an empty list where there were no items."""
        del io, rec
        key = self.step.writes
        if key is not None and not self.merges and not ctx.has(key):
            ctx.append(key, [])
        return StateOutcome()


def _kind(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return "a text" if isinstance(value, str) else "a number"
