"""Drives a run in a process of its own on a disk that forgets, and says which events it was told are durable."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import durum
from durum.engine.engine import Watcher
from durum.errors import StoreUnavailableError
from durum.stores import sqlite
from tests.faults.machine import RUN, TARGET

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durum.core.events import Envelope
    from durum.ports import StoredEvent

PARKED = 3


class TellingStore(sqlite.SqliteStore):
    """Says of each event that it is durable when the contract of ``EventStore.append`` says so."""

    behind = 0  # appends whose sync went on behind them

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._unsynced: list[tuple[str, StoredEvent]] = []

    async def append(
        self, run_id: str, expected_seq: int, epoch: int, events: Sequence[StoredEvent], *given: Any, sync: bool = True
    ) -> int:
        """Append; if that waits, what was appended before is durable then, too."""
        seq = await super().append(run_id, expected_seq, epoch, events, *given, sync=sync)
        TellingStore.behind += self._database._log_sync is not None and self._database._log_sync.under_way
        self._unsynced.extend((run_id, event) for event in events)
        if sync:
            self._tell()
        return seq

    async def sync(self) -> None:
        """Sync; what was appended is durable then."""
        await super().sync()
        self._tell()

    def _tell(self) -> None:
        for run_id, event in self._unsynced:
            tell(run_id, event.seq, event.hash.hex())
        self._unsynced.clear()


def tell(run_id: str, seq: int, event_hash: str) -> None:
    """Say that an event was acknowledged."""
    os.write(1, f"{run_id} {seq} {event_hash}\n".encode())


def told(envelope: Envelope) -> None:
    """Say so of an event the run's watcher was handed."""
    tell(envelope.run_id, envelope.seq, envelope.hash)


def main(url: str, target: str, *, watched: bool) -> int:
    """Start the run, or drive it on."""
    watcher = None
    if watched:
        watcher = Watcher(event=told, child=told)
    else:
        sqlite.SqliteStore = TellingStore  # type: ignore[misc]
    inputs = {"rows": 3} if target == TARGET else {}
    with durum.open(url) as service:
        try:
            if service.runs():
                service.resume(RUN, target, watcher=watcher)
            else:
                service.start(target, inputs, run_id=RUN, watcher=watcher)
        except StoreUnavailableError as error:
            os.write(2, f"{error}\n".encode())
            return PARKED
    os.write(2, f"{TellingStore.behind} behind\n".encode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], watched=sys.argv[3] == "True"))
