"""LangGraph: a node that gives numbers, ``Send`` of each of them to a node, a node that adds up what they gave.

Synchronous ``invoke`` over SqliteSaver, which was faster than ``ainvoke`` over AsyncSqliteSaver. ``durability="sync"``, WAL and
``synchronous`` FULL, as in ``langgraph_chain``. The results come together by the documented reducer, ``operator.add``.
"""

from __future__ import annotations

import contextlib
import operator
import sys
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from bench.peers.serving import TEXT, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ITEMS = int(sys.argv[1])


class Context(TypedDict, total=False):
    """The graph's state."""

    text: str
    numbers: list[int]
    squares: Annotated[list[int], operator.add]
    total: int


class Item(TypedDict):
    """What is sent to a square."""

    item: int


def numbers(state: Context) -> Context:
    """Give the numbers."""
    del state
    return {"numbers": list(range(ITEMS))}


def fan_out(state: Context) -> list[Any]:
    """Send each number."""
    return [Send("square", {"item": number}) for number in state["numbers"]]


def square(state: Item) -> Context:
    """Square one number."""
    return {"squares": [state["item"] * state["item"]]}


def total(state: Context) -> Context:
    """Add up."""
    return {"total": sum(state["squares"])}


def graph() -> Any:  # noqa: ANN401 - the peer's class
    """Return the graph, not compiled."""
    builder = StateGraph(Context)
    builder.add_node("numbers", numbers)
    builder.add_node("square", square)
    builder.add_node("total", total)
    builder.add_edge(START, "numbers")
    builder.add_conditional_edges("numbers", fan_out, ["square"])
    builder.add_edge("square", "total")
    builder.add_edge("total", END)
    return builder


@contextlib.contextmanager
def ready(folder: Path) -> Iterator[Callable[[], object]]:
    """Prepare a round."""
    with SqliteSaver.from_conn_string(str(folder / "runs.db")) as saver:
        saver.setup()
        compiled = graph().compile(checkpointer=saver)
        results: list[Any] = []
        yield lambda: results.append(compiled.invoke({"text": TEXT}, {"configurable": {"thread_id": "1"}}, durability="sync"))
    assert results[0]["total"] == sum(number * number for number in range(ITEMS))


if __name__ == "__main__":
    serve(ready)
