"""A row against a peer, whose rounds are done by a process in an environment of its own that stays for all of them."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from bench.environments import python_of
from bench.figures import Bounds, Figure, NotMeasuredError, ratio
from bench.rounds import Took, clocks, rates_note

if TYPE_CHECKING:
    from collections.abc import Mapping

OURS = "durum"
ROOT = Path(__file__).resolve().parent.parent


class Peer:
    """A peer's script under way, such as ``Peer("dbos", "dbos_chain", "1000", "wal")``."""

    def __init__(self, peer: str, script: str, *arguments: str) -> None:
        command = [str(python_of(peer)), "-m", f"bench.peers.{script}", *arguments]
        self._said = tempfile.TemporaryFile("w+", encoding="utf-8")  # a pipe that nobody reads would stop it
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._said.close()

    def round(self, folder: Path) -> Took:
        """Have a round done in a folder; return what it took."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{folder}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            self._process.communicate()
            self._said.seek(0)
            raise NotMeasuredError(f"the peer failed: {(self._said.read().splitlines() or ['no word'])[-1]}")
        clock, processor = json.loads(answer)
        return Took(clock, processor)


def compared(measure: str, took: Mapping[str, list[Took]], states: int, bounds: Bounds) -> list[Figure]:
    """Return how many times as fast we are as each peer; the bounds are those of the first."""
    ours = clocks(took[OURS])
    return [
        Figure(
            f"{measure}, against {name}",
            ratio(clocks(theirs), ours),
            None if place else bounds,
            note=rates_note({OURS: took[OURS], name: theirs}, states),
        )
        for place, (name, theirs) in enumerate((name, theirs) for name, theirs in took.items() if name != OURS)
    ]
