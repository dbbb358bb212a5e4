"""Drives a run of the forty states in a process of its own, which is there to be killed: ``URL VERB RUN_ID STORE``.

It says on stdout which events were acknowledged to it. Its randomness is the same in every process: runs can be compared.
"""

from __future__ import annotations

import hashlib
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
    """A broken double: acknowledges an intent before it is durable, and writes it only with what comes next."""

    _late: tuple[str, int, int, Sequence[StoredEvent], Sequence[Artifact], Sequence[str]] | None = None

    async def append(
        self,
        run_id: str,
        expected_seq: int,
        epoch: int,
        events: Sequence[StoredEvent],
        artifacts: Sequence[Artifact] = (),
        consumed: Sequence[str] = (),
    ) -> int:
        """Append what was held back, then the events, unless an intent is among them."""
        late, self._late = self._late, None
        if late is not None:
            await super().append(*late)
        if any(b'"kind":"effect.intended"' in event.body for event in events):
            self._late = (run_id, expected_seq, epoch, events, artifacts, consumed)
            return expected_seq + len(events)
        return await super().append(run_id, expected_seq, epoch, events, artifacts, consumed)


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
