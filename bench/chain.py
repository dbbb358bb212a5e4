"""One thousand states in a row against the same rows, bytes and SQL replayed bare in the same run.

    python -m bench.chain [--states 1000] [--rounds 5]

Three shapes: a 1 KiB value passed along, a new key a state, and a list that grows by one 1 KiB item a state.
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
from durum.core.plan import ExecutionPlan, StateNode
from durum.core.state import DynContext, EventRecorder, IoProvider, StateOutcome
from durum.core.meta import StateMeta

if TYPE_CHECKING:
    from collections.abc import Callable

KIB = "x" * 1000


class PassAlong:
    """Reads one value of 1 KiB and writes the next."""

    def meta(self) -> StateMeta:
        """Return that the state is pure."""
        return StateMeta()

    async def handle(self, ctx: DynContext, io: IoProvider, rec: EventRecorder) -> StateOutcome:
        """Count one up."""
        del io, rec
        value = await ctx.read("value")
        assert isinstance(value, dict)
        count = value["count"]
        assert isinstance(count, int)
        ctx.write("value", {"count": count + 1, "text": KIB})
        return StateOutcome()


class NewKey(PassAlong):
    """Writes 1 KiB under a key of its own."""

    def __init__(self, place: int) -> None:
        self._place = place

    async def handle(self, ctx: DynContext, io: IoProvider, rec: EventRecorder) -> StateOutcome:
        """Write one key."""
        del io, rec
        ctx.write(f"key{self._place:05}", f"{self._place:06}{KIB}")
        return StateOutcome()


class AppendItem(NewKey):
    """Adds one 1 KiB item to a list."""

    async def handle(self, ctx: DynContext, io: IoProvider, rec: EventRecorder) -> StateOutcome:
        """Append one item."""
        del io, rec
        ctx.append("items", [f"{self._place:06}{KIB}"])
        return StateOutcome()


def chain(name: str, states: int, make: Callable[[int], PassAlong]) -> ExecutionPlan:
    """Return a plan of states in a row."""
    nodes = tuple(StateNode(f"{name}.s{place}.main", make(place)) for place in range(states))
    edges = tuple(durum.DependencyEdge(nodes[place].id, nodes[place + 1].id) for place in range(states - 1))
    merges = {"items": "append"} if name == "appending" else {}
    return ExecutionPlan(name, nodes, edges, merges)


def run_engine(plan: ExecutionPlan, path: Path) -> tuple[float, list[int], list[float]]:
    """Drive a plan; return its seconds, and after each state the database's bytes and the time."""
    marks: list[float] = []

    def note(envelope: object) -> None:
        if type(envelope.event).__name__ == "StateCompleted":  # type: ignore[attr-defined]
            marks.append(time.perf_counter())

    with durum.open(f"sqlite:///{path}") as store:
        begun = time.perf_counter()
        result = store.start(plan, {"value": {"count": 0, "text": KIB}}, watcher=durum.Watcher(event=note))
        seconds = time.perf_counter() - begun
        assert result["status"] == "completed", result
    return seconds, sizes_by_state(path), marks


def sizes_by_state(path: Path) -> list[int]:
    """Return the bytes of events and artifacts each state added, in order, from the rows themselves."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        events = connection.execute("SELECT body FROM events ORDER BY position").fetchall()
        artifacts = connection.execute("SELECT size FROM artifacts ORDER BY artifact_no").fetchall()
    total_events = sum(len(row[0]) + 32 for row in events)
    return [total_events, sum(row[0] for row in artifacts), len(events), len(artifacts)]


def run_bare(source: Path, path: Path, states: int) -> float:
    """Write the rows of a finished run once more, commit by commit, with nothing else around the SQL; return the seconds."""
    from durum.stores.sqlite_file import open_database  # noqa: PLC0415
    from durum.stores.statements import statements  # noqa: PLC0415

    sql = statements()
    with contextlib.closing(sqlite3.connect(source)) as connection:
        events = connection.execute("SELECT position, hash, body FROM events ORDER BY position").fetchall()
        artifacts = connection.execute("SELECT digest, kind, size, data FROM artifacts ORDER BY artifact_no").fetchall()
        run = connection.execute("SELECT run_id, created_ms FROM runs").fetchone()
    # One commit a state: two events each, and an even share of the artifacts.
    share = len(artifacts) / (states + 1)
    batches = []
    for place in range(states + 1):
        mine = events[place * 2 : place * 2 + 2]
        batches.append((mine, artifacts[round(place * share) : round((place + 1) * share)]))
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


def measure(name: str, states: int, make: Callable[[int], PassAlong], rounds: int) -> None:
    """Print one shape's figures."""
    ratios, speeds, early, late = [], [], [], []
    volume: list[int] = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            engine_path, bare_path = Path(folder) / "engine.db", Path(folder) / "bare.db"
            seconds, volume, marks = run_engine(chain(name, states, make), engine_path)
            bare = run_bare(engine_path, bare_path, states)
            span = marks[-1] - marks[0]
            ratios.append(bare / span)
            speeds.append(states / span)
            early.append((marks[200] - marks[0]) / 200)
            late.append((marks[-1] - marks[-201]) / 200)
    print(
        f"{name:10} {statistics.median(speeds):7.0f} states/s   {statistics.median(ratios):.2f} of the bare loop   "
        f"{volume[0] / states:6.0f} B events + {volume[1] / states:6.0f} B artifacts ({volume[3] / states:.1f} rows) a state   "
        f"first 200: {statistics.median(early) * 1e6:.0f} us, last 200: {statistics.median(late) * 1e6:.0f} us a state"
    )


def main() -> None:
    """Measure the three shapes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--states", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    measure("passing", options.states, lambda _: PassAlong(), options.rounds)
    measure("newkeys", options.states, NewKey, options.rounds)
    measure("appending", options.states, AppendItem, options.rounds)


if __name__ == "__main__":
    main()
