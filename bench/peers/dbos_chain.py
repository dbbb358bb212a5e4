"""DBOS on SQLite: one workflow that calls a step N times, each handing a 1 KiB value on.

Plain functions, which DBOS's tutorial begins with and which were as fast as async ones. Each step's result is durable before
the next begins; ``dbos_launch`` says how durable.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from dbos import DBOS

from bench.peers.dbos_launch import COUNT, launched
from bench.peers.serving import VALUE, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@DBOS.step()
def count(value: dict[str, Any], place: int) -> dict[str, Any]:
    """Count one up."""
    return {**value, "count": place}


@DBOS.workflow()
def chain(value: dict[str, Any], steps: int) -> dict[str, Any]:
    """Call the step again and again."""
    for place in range(steps):
        value = count(value, place + 1)
    return value


@contextlib.contextmanager
def ready(folder: Path) -> Iterator[Callable[[], object]]:
    """Prepare a round."""
    results: list[dict[str, Any]] = []
    with launched(folder):
        yield lambda: results.append(chain(VALUE, COUNT))
    assert results[0]["count"] == COUNT


if __name__ == "__main__":
    serve(ready)
