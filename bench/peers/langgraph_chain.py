"""LangGraph: one run of N steps in a row over SqliteSaver.

One node that hands a 1 KiB value on and a conditional edge back to it: about twice as fast as N nodes in a row, for the cost of
a step grows with the nodes of a graph. ``durability="sync"``: a checkpoint is written before the next step begins, as Durum's
commits are; the default, ``async``, lets the next step begin first. SqliteSaver sets WAL and leaves ``synchronous`` at SQLite's
default, FULL. Tables are made outside the time that is taken.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any, TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph

from bench.peers.serving import VALUE, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

STEPS = int(sys.argv[1])


class Context(TypedDict):
    """The graph's state."""

    value: dict[str, Any]


def count(state: Context) -> Context:
    """Count one up."""
    value = state["value"]
    return {"value": {**value, "count": value["count"] + 1}}


def graph() -> Any:  # noqa: ANN401 - the peer's class
    """Return the graph, not compiled."""
    builder = StateGraph(Context)
    builder.add_node("count", count)
    builder.add_edge(START, "count")
    builder.add_conditional_edges("count", lambda state: "count" if state["value"]["count"] < STEPS else END)
    return builder


@contextlib.contextmanager
def ready(folder: Path) -> Iterator[Callable[[], object]]:
    """Prepare a round."""
    with SqliteSaver.from_conn_string(str(folder / "runs.db")) as saver:
        saver.setup()
        compiled = graph().compile(checkpointer=saver)
        config = {"configurable": {"thread_id": "1"}, "recursion_limit": STEPS + 10}
        results: list[Any] = []
        yield lambda: results.append(compiled.invoke({"value": VALUE}, config, durability="sync"))
    assert results[0]["value"]["count"] == STEPS


if __name__ == "__main__":
    serve(ready)
