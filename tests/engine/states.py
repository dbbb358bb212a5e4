"""Raw states and plans of them: the kernel's own contract, for tests that need no authored workflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from durum import DependencyEdge, ExecutionPlan, StateMeta, StateNode, StateOutcome
from durum.core.merges import Reducer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from durum.core.state import DynContext, EventRecorder

T = TypeVar("T")


class Does:
    """A state that does what the test's function does with its context."""

    def __init__(self, act: Callable[[DynContext, Any, EventRecorder], Awaitable[object] | object], **meta: Any) -> None:
        self._act = act
        self._meta = StateMeta(**meta)

    def meta(self) -> StateMeta:
        """Return the meta it was made with."""
        return self._meta

    async def handle(self, ctx: DynContext, io: Any, rec: EventRecorder) -> StateOutcome:
        """Do it."""
        result = self._act(ctx, io, rec)
        if hasattr(result, "__await__"):
            await result
        return StateOutcome()


def _for_each(items: Iterable[T], act: Callable[[DynContext, T], object]) -> Does:
    """Return a state that does the same for each item."""

    def acts(ctx: DynContext, io: object, rec: object) -> None:
        del io, rec
        for item in items:
            act(ctx, item)

    return Does(acts)


def writes(**values: object) -> Does:
    """Return a state that writes keys."""
    return _for_each(values.items(), lambda ctx, item: ctx.write(*item))


def reads(*keys: str) -> Does:
    """Return a state that reads keys."""
    return _for_each(keys, lambda ctx, key: ctx.read(key))


def appends(key: str, *items: object) -> Does:
    """Return a state that appends items to a key."""
    return _for_each([items], lambda ctx, some: ctx.append(key, some))


def deletes(*keys: str) -> Does:
    """Return a state that deletes keys."""
    return _for_each(keys, lambda ctx, key: ctx.delete(key))


def plan_of(
    states: Mapping[str, Any], edges: Mapping[str, str] | None = None, merges: Mapping[str, Any] | None = None
) -> ExecutionPlan:
    """Return a plan: step name -> state, step name -> names it comes after, separated by blanks, key -> merge or reducer."""
    nodes = tuple(StateNode(f"p.{name}.main", state) for name, state in states.items())
    arrows = tuple(
        DependencyEdge(f"p.{before}.main", f"p.{after}.main")
        for after, befores in (edges or {}).items()
        for before in befores.split()
    )
    names = {key: merge for key, merge in (merges or {}).items() if isinstance(merge, str)}
    own = {key: Reducer("own", merge) for key, merge in (merges or {}).items() if callable(merge)}
    return ExecutionPlan("p", nodes, arrows, names, own)
