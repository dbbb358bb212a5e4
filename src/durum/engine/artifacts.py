"""Reading artifacts: checked by the store, small ones kept in a cache of what was written or read last, large ones streamed."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from typing import TYPE_CHECKING

from durum.core.artifact_kind import ArtifactKind
from durum.errors import CorruptionError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable

    from durum.ports import ArtifactStore, StoredFile

CACHE_BYTES = 4 * 1024 * 1024
_LARGEST_CACHED = 1024 * 1024
_TRIES = 3


class Cache(OrderedDict[str, bytes]):
    """The bytes of artifacts that were written or read last, up to so many in all; none of more than 1 MiB."""

    def __init__(self, capacity_bytes: int) -> None:
        super().__init__()
        self._left = capacity_bytes

    def keep(self, artifact_id: str, data: bytes) -> None:
        """Keep bytes that will likely be read next, and drop the oldest for them."""
        if artifact_id in self or len(data) > _LARGEST_CACHED:
            return
        self[artifact_id] = data
        self._left -= len(data)
        while self._left < 0:
            _, dropped = self.popitem(last=False)
            self._left += len(dropped)


class ArtifactReader:
    """Serves artifact bytes from memory where it can; content never changes, so nothing goes stale."""

    def __init__(self, store: ArtifactStore, capacity_bytes: int = CACHE_BYTES, cache: Cache | None = None) -> None:
        self._store = store
        self.cache = Cache(capacity_bytes) if cache is None else cache
        self.on_away: Callable[[StoreUnavailableError], None] | None = None

    def sibling(self) -> ArtifactReader:
        """Return a reader over the same cache for another run, which hears for itself when the store is away."""
        return ArtifactReader(self._store, cache=self.cache)

    async def get(self, artifact_id: str) -> bytes:
        """Return the bytes of an artifact; a store that stays away is told to ``on_away`` too, for a step may swallow it."""
        data = self.cache.get(artifact_id)
        if data is None:
            try:
                data = await self._read(artifact_id)
            except StoreUnavailableError as error:
                if self.on_away is not None:
                    self.on_away(error)
                raise
            self.cache.keep(artifact_id, data)
        return data

    async def _read(self, artifact_id: str) -> bytes:
        """Read from the store; it is asked again at once if it fails, for a step that reads its context cannot wait."""
        for _ in range(_TRIES - 1):
            with contextlib.suppress(StoreUnavailableError):
                return await self._store.get(artifact_id)
        return await self._store.get(artifact_id)

    async def read_ahead(self, artifact_ids: Iterable[str]) -> None:
        """Read at once what will be asked for soon; what cannot be had so is left to ``get``, which says what is the matter."""
        wanted = [identity for identity in dict.fromkeys(artifact_ids) if identity not in self.cache]
        if wanted:
            with contextlib.suppress(StoreUnavailableError, CorruptionError):
                for identity, data in (await self._store.get_many(wanted)).items():
                    self.cache.keep(identity, data)

    def chunks(self, artifact_id: str) -> AsyncGenerator[bytes, None]:
        """Hand out the bytes of an artifact of any size, past the cache; see ``ArtifactStore.chunks``."""
        return self._store.chunks(artifact_id)

    async def put_stream(self, chunks: AsyncIterable[bytes]) -> StoredFile:
        """Store what a call streams beside its outcome; see ``ArtifactStore.put_stream``."""
        return await self._store.put_stream(ArtifactKind.FACT_PAYLOAD, chunks)
