"""Reading artifacts: checked by the store, small ones kept in a cache of what was written or read last, large ones streamed."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from durum.core.artifact_kind import ArtifactKind

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable

    from durum.ports import ArtifactStore, StoredFile

CACHE_BYTES = 32 * 1024 * 1024
_LARGEST_CACHED = 1024 * 1024


class ArtifactReader:
    """Serves artifact bytes from memory where it can; content never changes, so nothing goes stale."""

    def __init__(self, store: ArtifactStore, capacity_bytes: int = CACHE_BYTES) -> None:
        self._store = store
        self._capacity = capacity_bytes
        self._size = 0
        self._cache: OrderedDict[str, bytes] = OrderedDict()

    def at_hand(self, artifact_id: str) -> bytes | None:
        """Return the bytes of an artifact if they are in memory."""
        return self._cache.get(artifact_id)

    async def get(self, artifact_id: str) -> bytes:
        """Return the bytes of an artifact."""
        data = self._cache.get(artifact_id)
        if data is None:
            data = await self._store.get(artifact_id)
            self.remember(artifact_id, data)
        return data

    def chunks(self, artifact_id: str) -> AsyncGenerator[bytes, None]:
        """Hand out the bytes of an artifact of any size, past the cache; see ``ArtifactStore.chunks``."""
        return self._store.chunks(artifact_id)

    async def put_stream(self, chunks: AsyncIterable[bytes]) -> StoredFile:
        """Store what a call streams beside its outcome; see ``ArtifactStore.put_stream``."""
        return await self._store.put_stream(ArtifactKind.FACT_PAYLOAD, chunks)

    def remember(self, artifact_id: str, data: bytes) -> None:
        """Keep bytes that were just written; they are likely to be read next."""
        if artifact_id in self._cache or len(data) > _LARGEST_CACHED:
            return
        self._cache[artifact_id] = data
        self._size += len(data)
        while self._size > self._capacity:
            _, dropped = self._cache.popitem(last=False)
            self._size -= len(dropped)
