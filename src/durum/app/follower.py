"""Reads on in a run's log while it grows: each event once, in order, checked against the one before, none read again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durum.app.blocking import wait
from durum.codec import decode_log
from durum.core.events import RunCompleted
from durum.errors import NotFoundError
from durum.history.views import envelope_json

if TYPE_CHECKING:
    from durum.core.canonical import JsonObject
    from durum.ports import EventStore

_HINT = "list the runs of this store with: durum ls"


class Follower:
    """Stands somewhere in a run's log; ``over`` once the event that ends the run was read."""

    def __init__(self, store: EventStore, run_id: str, from_seq: int = 1) -> None:
        self._store = store
        self._run_id = run_id
        self._from = from_seq
        self._seq = 0
        self._hash: bytes | None = None
        self.over = False

    def more(self) -> list[JsonObject]:
        """Return the envelopes that came since the last call.

        Raises:
            NotFoundError: the store holds no such run.
            StoreUnavailableError: nothing was read; call again.
        """
        stored = wait(self._store.read_range(self._run_id, self._seq + 1))
        if not stored:
            if self._hash is None:
                raise NotFoundError("run", self._run_id, _HINT)
            return []
        envelopes = decode_log(self._run_id, stored, self._hash)
        self._seq, self._hash = stored[-1].seq, stored[-1].hash
        self.over = self.over or any(isinstance(envelope.event, RunCompleted) for envelope in envelopes)
        return [envelope_json(envelope) for envelope in envelopes if envelope.seq >= self._from]
