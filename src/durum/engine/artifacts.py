"""Reading artifacts: checked by the store, kept in a small cache of what was written or read last."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from durum.ports import ArtifactStore

CACHE_BYTES = 32 * 1024 * 1024
_LARGEST_CACHED = 1024 * 1024


class ArtifactReader:
    """Serves artifact bytes from memory where it can; content never changes, so nothing goes stale."""

    def __init__(self, store: ArtifactStore, capacity_bytes: int = CACHE_BYTES) -> None:
        self._store = store
        self._capacity = capacity_bytes
        self._size = 0
        self._cache: OrderedDict[str, bytes] = OrderedDict()

    async def get(self, artifact_id: str) -> bytes:
        """Return the bytes of an artifact."""
        data = self._cache.get(artifact_id)
        if data is None:
            data = await self._store.get(artifact_id)
            self.remember(artifact_id, data)
        return data

    def remember(self, artifact_id: str, data: bytes) -> None:
        """Keep bytes that were just written; they are likely to be read next."""
        if artifact_id in self._cache or len(data) > _LARGEST_CACHED:
            return
        self._cache[artifact_id] = data
        self._size += len(data)
        while self._size > self._capacity:
            _, dropped = self._cache.popitem(last=False)
            self._size -= len(dropped)
