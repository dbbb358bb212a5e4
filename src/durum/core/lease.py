"""How long an owner's last sign of life counts: by monotonic time within one boot of a machine, never by a wall clock."""

from __future__ import annotations

import msgspec


class Lease(msgspec.Struct, frozen=True):
    """The last beat of a worker, and for how long it stands."""

    boot_id: str  # which boot of which machine ``beat_ns`` counts in; empty: unknown
    beat_ns: int  # monotonic; it stands still while the machine sleeps, for then nobody can take a run over either
    length_ns: int

    def lapsed(self, now_ns: int, boot_id: str) -> bool:
        """Tell, as anyone else, whether the worker is to be taken for hung; a beat of another boot says nothing of it."""
        return boot_id == self.boot_id != "" and now_ns - self.beat_ns > self.length_ns

    def held(self, now_ns: int) -> bool:
        """Tell, as the worker itself, whether it may still act on the outside: well before anyone takes it for hung."""
        return now_ns - self.beat_ns <= self.length_ns * 2 // 3
