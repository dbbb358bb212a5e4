"""The states that are run: what each reads and writes is all they do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import durum

if TYPE_CHECKING:
    from collections.abc import Callable

    from durum.core.canonical import JsonObject
    from durum.core.state import DynContext, EventRecorder, IoProvider

TEXT = "What a run needs to go on stands in its log. " * 22  # 990 characters: with its count, a context of 1 KiB


def context(run: int) -> JsonObject:
    """Return what a run begins with, unlike any other's, for equal artifacts are stored once."""
    return {"value": {"count": 0, "run": run, "text": TEXT}}


CONTEXT = context(0)


def message(place: int) -> str:
    """Return a text of 1 KiB, unlike any other's."""
    return f"{place:06}{TEXT}{TEXT}"[:1024]


class PassAlong:
    """Reads one value of 1 KiB and writes the next."""

    inline = True  # the handler never suspends, as a plain `def` step does not

    def __init__(self, place: int) -> None:
        self.place = place

    def meta(self) -> durum.StateMeta:
        """Return that the state is pure."""
        return durum.StateMeta()

    async def handle(self, ctx: DynContext, io: IoProvider, rec: EventRecorder) -> durum.StateOutcome:
        """Do what the state does."""
        del io, rec
        self.change(ctx)
        return durum.StateOutcome()

    def change(self, ctx: DynContext) -> None:
        """Count one up."""
        value = ctx.read("value")
        assert isinstance(value, dict)
        ctx.write("value", {**value, "count": self.place})


class PassAlongAsync(PassAlong):
    """The same as a step that is ``async def``, which may suspend and so runs in a task of its own."""

    inline = False


class NewKey(PassAlong):
    """Writes 1 KiB under a key of its own."""

    def change(self, ctx: DynContext) -> None:
        """Write one key."""
        ctx.write(f"key{self.place:06}", message(self.place))


class AppendItem(PassAlong):
    """Adds one message of 1 KiB to a list it never reads."""

    def change(self, ctx: DynContext) -> None:
        """Append one item."""
        ctx.append("items", [message(self.place)])


class SmallChange(PassAlong):
    """Writes 100 bytes beside whatever else the context holds."""

    def change(self, ctx: DynContext) -> None:
        """Write one small value."""
        ctx.write("small", f"{self.place:06}".ljust(98, "."))


def sequence(name: str, count: int, make: Callable[[int], durum.State]) -> durum.ExecutionPlan:
    """Return a plan of states in a row, validated already."""
    nodes = tuple(durum.StateNode(f"{name}.s{place}.main", make(place)) for place in range(count))
    edges = tuple(durum.DependencyEdge(nodes[place].id, nodes[place + 1].id) for place in range(count - 1))
    plan = durum.ExecutionPlan(name, nodes, edges, {"items": "append"})
    _ = plan.shape
    return plan
