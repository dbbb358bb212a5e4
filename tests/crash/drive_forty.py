"""Drives a run of the forty states in a process of its own, which is there to be killed: ``URL VERB RUN_ID STORE``.

It says on stdout which events were acknowledged to it. Its randomness is the same in every process: runs can be compared.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from typing import TYPE_CHECKING

from durum.app import wiring
from durum.app.service import Durum
from durum.engine.engine import Watcher
from durum.errors import DurumError
from durum.stores.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from durum.core.events import Envelope
    from durum.engine.engine import Store
    from durum.ports import Artifact, StoredEvent

TARGET = "tests.workflows.forty:flow"
BEGIN = 5
REFUSED = 3


class SameEntropy:
    """Implements ``Entropy``: the same in every process."""

    def random_bytes(self, n: int) -> bytes:
        """Return ``n`` bytes that depend on ``n`` only."""
        return hashlib.shake_128(str(n).encode()).digest(n)

    def uniform(self) -> float:
        """Return the middle."""
        return 0.5


class ForgetfulStore(SqliteStore):
    """A broken double: acknowledges an intent before it is durable, and writes it only with the effect's outcome."""

    def __init__(self, path: Path, *, create: bool) -> None:
        super().__init__(path, create=create)
        self._late: list[tuple[str, int, int, Sequence[StoredEvent], Sequence[str]]] = []
        self._intended: set[str] = set()

    async def append(
        self,
        run_id: str,
        expected_seq: int,
        epoch: int,
        events: Sequence[StoredEvent],
        artifacts: Sequence[Artifact] = (),
        consumed: Sequence[str] = (),
    ) -> int:
        """Hold events back while an effect is under way."""
        for artifact in artifacts:
            await self.put(artifact)
        self._late.append((run_id, expected_seq, epoch, events, consumed))
        for body in (json.loads(event.body) for event in events):
            if body["kind"] == "effect.intended":
                self._intended.add(body["body"]["key"])
            elif body["kind"] == "fact.recorded":
                self._intended.discard(body["body"]["key"])
        while self._late and not self._intended:
            identity, seq, held_epoch, held, letters = self._late.pop(0)
            await super().append(identity, seq, held_epoch, held, (), letters)
        return expected_seq + len(events)


def forgetful(url: str, *, create: bool) -> Store:
    """Open the broken double."""
    return ForgetfulStore(wiring.store_path(url), create=create)


def tell(envelope: Envelope) -> None:
    """Say that an event was acknowledged."""
    os.write(1, f"{envelope.run_id} {envelope.seq} {envelope.hash}\n".encode())


def main(url: str, verb: str, run_id: str, store: str) -> int:
    """Start or resume the run; ``store`` is "true" or "forgetful"."""
    if store == "forgetful":
        wiring.open_store = forgetful
    with Durum(url, entropy=SameEntropy()) as service:
        try:
            if verb == "start":
                service.start(TARGET, {"begin": BEGIN}, run_id=run_id, watcher=Watcher(event=tell))
            else:
                service.resume(run_id, TARGET, watcher=Watcher(event=tell))
        except DurumError as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
            return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
