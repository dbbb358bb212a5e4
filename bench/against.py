"""A row against a peer, whose rounds are done by a process in an environment of its own that stays for all of them."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.environments import python_of
from bench.figures import Bounds, Figure, NotMeasuredError, ratio
from bench.rounds import Took, clocks, rates_note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

OURS = "durum"
ROOT = Path(__file__).resolve().parent.parent


@contextlib.contextmanager
def asking(peer: str, script: str, *arguments: str) -> Iterator[Callable[[Path], Took]]:
    """Yield what has a peer's script do a round in a folder, as in ``asking("dbos", "dbos_chain", "1000", "wal")``."""
    command = [str(python_of(peer)), "-m", f"bench.peers.{script}", *arguments]
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as said,  # a pipe that nobody reads would stop it
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True) as process,
    ):

        def ask(folder: Path) -> Took:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{folder}\n")
            process.stdin.flush()
            answer = process.stdout.readline()
            if not answer:
                process.wait()
                said.seek(0)
                raise NotMeasuredError(f"the peer failed: {(said.read().splitlines() or ['no word'])[-1]}")
            return Took(*json.loads(answer))

        try:
            yield ask
        finally:
            process.kill()


def compared(measure: str, took: Mapping[str, list[Took]], states: int, bounds: Bounds) -> list[Figure]:
    """Return how many times as fast we are as each peer; the bounds are those of the first."""
    ways = [name for name in took if name.startswith(OURS)]
    peers = [name for name in took if name not in ways]
    return [
        Figure(
            f"{measure}{way.removeprefix(OURS)}, against {peer}",
            ratio(clocks(took[peer]), clocks(took[way])),
            bounds if peer == peers[0] else None,
            note=rates_note({way: took[way], peer: took[peer]}, states),
        )
        for way in ways
        for peer in peers
    ]
