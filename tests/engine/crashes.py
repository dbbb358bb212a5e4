"""Crashes without processes: a store in memory, cut off after any event, and what resuming from there comes to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from durum import Durum
from durum.engine.artifacts import ArtifactReader
from durum.stores.memory import MemoryBackend, MemoryStore
from tests.engine.doubles import FixedEntropy, InstantClock

if TYPE_CHECKING:
    from durum.engine.engine import Store
    from durum.ports import Clock, Entropy

RUN = "00000000-0000-7000-8000-00000000c4a5"


def opened(store: MemoryBackend | Store, clock: Clock | None = None, entropy: Entropy | None = None) -> Durum:
    """Return the service over a store in memory, or over a double of one."""
    service = Durum("memory://", clock=clock or InstantClock(), entropy=entropy or FixedEntropy(counts=False))
    service._store = MemoryStore(store) if isinstance(store, MemoryBackend) else store
    service._reader = ArtifactReader(service._store)
    return service


def cut(backend: MemoryBackend, events: int, run_id: str = RUN) -> MemoryBackend:
    """Return what the store held when ``events`` were durable and the process that owned the run died."""
    left = MemoryBackend()
    left.artifacts = dict(backend.artifacts)  # too many are harmless
    run = backend.runs[run_id]
    kept = run.events[:events]
    head = msgspec.structs.replace(run.head, seq=events, hash=kept[-1].hash, owner="dead")
    left.runs[run_id] = type(run)(head, list(kept))
    return left
