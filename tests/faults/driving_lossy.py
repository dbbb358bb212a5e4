"""Drives the burden in a process of its own on a disk that forgets, and says which events it was told are durable."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import durum
from durum.engine.engine import Watcher
from durum.errors import StoreUnavailableError
from tests.faults.machine import RUN, TARGET

if TYPE_CHECKING:
    from durum.core.events import Envelope

PARKED = 3


def tell(envelope: Envelope) -> None:
    """Say that an event was acknowledged."""
    os.write(1, f"{envelope.run_id} {envelope.seq} {envelope.hash}\n".encode())


def main(url: str) -> int:
    """Start the run, or drive it on."""
    watcher = Watcher(event=tell, child=tell)
    with durum.open(url) as service:
        try:
            if service.runs():
                service.resume(RUN, TARGET, watcher=watcher)
            else:
                service.start(TARGET, {"rows": 3}, run_id=RUN, watcher=watcher)
        except StoreUnavailableError as error:
            os.write(2, f"{error}\n".encode())
            return PARKED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
