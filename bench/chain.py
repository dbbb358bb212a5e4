"""One thousand states in a row against the same rows, bytes and SQL replayed bare in the same run.

    python -m bench.chain [--states 1000] [--rounds 5]

Three shapes: a 1 KiB value passed along, a new 1 KiB key a state, and a list that grows by one 1 KiB item a state. The ratio is
the bare loop's time over the engine's, each the median of its rounds run in turn; bytes are those of the stored rows.
"""

from __future__ import annotations

import argparse
import contextlib
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import durum
from durum.core.events import Envelope, StateCompleted
from durum.stores.sqlite_file import open_database
from durum.stores.statements import statements

if TYPE_CHECKING:
    from collections.abc import Callable

    from durum.core.state import DynContext, EventRecorder, IoProvider

TEXT = "What a run needs to go on stands in its log. " * 22
EDGE = 200  # states at either end that are looked at on their own


class PassAlong:
    """Reads one value of 1 KiB and writes the next."""

    def __init__(self, place: int) -> None:
        self.place = place

    def meta(self) -> durum.StateMeta:
        """Return that the state is pure."""
        return durum.StateMeta()

    async def handle(self, ctx: DynContext, io: IoProvider, rec: EventRecorder) -> durum.StateOutcome:
        """Count one up."""
        del io, rec
        value = ctx.read("value")
        assert isinstance(value, dict)
        ctx.write("value", {**value, "count": self.place})
        return durum.StateOutcome()


class NewKey(PassAlong):
    """Writes 1 KiB under a key of its own."""

    async def handle(self, ctx: DynContext, io: IoProvider, rec: EventRecorder) -> durum.StateOutcome:
        """Write one key."""
        del io, rec
        ctx.write(f"key{self.place:05}", f"{self.place:06}{TEXT}")
        return durum.StateOutcome()


class AppendItem(PassAlong):
    """Adds one 1 KiB item to a list."""

    async def handle(self, ctx: DynContext, io: IoProvider, rec: EventRecorder) -> durum.StateOutcome:
        """Append one item."""
        del io, rec
        ctx.append("items", [f"{self.place:06}{TEXT}"])
        return durum.StateOutcome()


def chain(name: str, states: int, make: Callable[[int], PassAlong]) -> durum.ExecutionPlan:
    """Return a plan of states in a row."""
    nodes = tuple(durum.StateNode(f"{name}.s{place}.main", make(place)) for place in range(states))
    edges = tuple(durum.DependencyEdge(nodes[place].id, nodes[place + 1].id) for place in range(states - 1))
    plan = durum.ExecutionPlan(name, nodes, edges, {"items": "append"})
    _ = plan.shape  # validated once, outside the time that is taken
    return plan


def run_engine(plan: durum.ExecutionPlan, path: Path) -> list[float]:
    """Drive a plan; return the moment each state's commit was acknowledged, in seconds."""
    marks: list[float] = []

    def note(envelope: Envelope) -> None:
        if isinstance(envelope.event, StateCompleted):
            marks.append(time.perf_counter())

    with durum.open(f"sqlite:///{path}") as store:
        result = store.start(plan, {"value": {"count": 0, "text": TEXT}}, watcher=durum.Watcher(event=note))
        assert result["status"] == "completed", result
    return marks


def stored_bytes(path: Path) -> tuple[int, int, int]:
    """Return (bytes of events, bytes of snapshot artifacts, how many of them)."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (events,) = connection.execute("SELECT sum(length(body) + length(hash)) FROM events").fetchone()
        artifacts, count = connection.execute(
            "SELECT sum(size + 32), count(*) FROM artifacts WHERE kind = 'context_snapshot'"
        ).fetchone()
    return events, artifacts, count


def run_bare(source: Path, path: Path, states: int) -> float:
    """Write a finished run's rows once more, a commit a state, with nothing but the SQL; return the seconds."""
    sql = statements()
    with contextlib.closing(sqlite3.connect(source)) as connection:
        events = connection.execute("SELECT position, hash, body FROM events ORDER BY position").fetchall()
        artifacts = connection.execute("SELECT digest, kind, size, data FROM artifacts ORDER BY artifact_no").fetchall()
        run = connection.execute("SELECT run_id, created_ms FROM runs").fetchone()
    share = len(artifacts) / states
    batches = [
        (events[place * 2 : place * 2 + 2], artifacts[round(place * share) : round((place + 1) * share)])
        for place in range(states)
    ]
    bare = open_database(path, create=True)
    bare.execute(sql["add_run"], (run[0], run[1], b"0" * 32, "bench"))
    begun = time.perf_counter()
    seq = 0
    for rows, blobs in batches:
        bare.execute("BEGIN IMMEDIATE")
        bare.execute(sql["move_head"], (seq + len(rows), rows[-1][1], 1, seq, 1))
        bare.executemany(sql["add_event"], rows)
        bare.executemany(sql["add_artifact"], blobs)
        bare.execute("COMMIT")
        seq += len(rows)
    seconds = time.perf_counter() - begun
    bare.close()
    return seconds


def measure(name: str, states: int, make: Callable[[int], PassAlong], rounds: int) -> str:
    """Return one shape's figures as a line."""
    engine, bare, first, last = [], [], [], []
    sizes: dict[int, tuple[int, int, int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for place in range(rounds):
            path = Path(folder) / f"{place}.db"
            marks = run_engine(chain(name, states, make), path)
            bare.append(run_bare(path, Path(folder) / f"bare{place}.db", states) / states)
            engine.append((marks[-1] - marks[0]) / (states - 1))
            first.append((marks[EDGE] - marks[0]) / EDGE)
            last.append((marks[-1] - marks[-1 - EDGE]) / EDGE)
            sizes[states] = stored_bytes(path)
        for count in (1, EDGE, states - EDGE):
            path = Path(folder) / f"size{count}.db"
            run_engine(chain(name, count, make), path)
            sizes[count] = stored_bytes(path)
    head = [(later - earlier) / (EDGE - 1) for earlier, later in zip(sizes[1], sizes[EDGE], strict=True)]
    tail = [(later - earlier) / EDGE for earlier, later in zip(sizes[states - EDGE], sizes[states], strict=True)]
    middle = statistics.median
    return (
        f"{name:9} {1 / middle(engine):8.0f} {middle(bare) / middle(engine):8.2f}   "
        f"{middle(first) * 1e6:22.0f} {middle(last) * 1e6:9.0f}   "
        f"{head[0]:6.0f} {head[1]:6.0f} {head[2]:5.1f}   {tail[0]:6.0f} {tail[1]:6.0f} {tail[2]:5.1f}"
    )


def main() -> None:
    """Measure the three shapes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--states", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(
        "shape     states/s  of bare   us a state: first 200, last 200   bytes a state (events, artifacts, rows): first, last"
    )
    print(measure("passing", options.states, PassAlong, options.rounds))
    print(measure("newkeys", options.states, NewKey, options.rounds))
    print(measure("appending", options.states, AppendItem, options.rounds))


if __name__ == "__main__":
    main()
