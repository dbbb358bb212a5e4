"""LangGraph: N runs of 10 steps each, side by side in one event loop over one AsyncSqliteSaver.

The graph is the one of ``langgraph_chain`` with an async node; all ``ainvoke`` calls are gathered. ``durability="sync"``, WAL
and ``synchronous`` FULL, as there.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING, Any, TypedDict

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph

from bench.peers.serving import VALUE, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

RUNS, STEPS = int(sys.argv[1]), 10


class Context(TypedDict):
    """The graph's state."""

    value: dict[str, Any]


async def count(state: Context) -> Context:
    """Count one up."""
    value = state["value"]
    return {"value": {**value, "count": value["count"] + 1}}


async def prepare(saver: Any) -> Any:  # noqa: ANN401 - the peer's classes
    """Return the compiled graph, its tables made."""
    await saver.setup()
    builder = StateGraph(Context)
    builder.add_node("count", count)
    builder.add_edge(START, "count")
    builder.add_conditional_edges("count", lambda state: "count" if state["value"]["count"] < STEPS else END)
    return builder.compile(checkpointer=saver)


async def run(compiled: Any) -> None:  # noqa: ANN401 - the peer's class
    """Start all runs and wait for them."""
    results = await asyncio.gather(
        *(
            compiled.ainvoke({"value": VALUE}, {"configurable": {"thread_id": str(run)}}, durability="sync")
            for run in range(RUNS)
        )
    )
    assert all(result["value"]["count"] == STEPS for result in results)


@contextlib.contextmanager
def ready(folder: Path) -> Iterator[Callable[[], object]]:
    """Prepare a round."""
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()
        saver = runner.run(stack.enter_async_context(AsyncSqliteSaver.from_conn_string(str(folder / "runs.db"))))
        compiled = runner.run(prepare(saver))
        yield lambda: runner.run(run(compiled))
        runner.run(stack.aclose())


if __name__ == "__main__":
    serve(ready)
