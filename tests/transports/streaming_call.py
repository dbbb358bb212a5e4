"""A call with a store behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durum.core.known_secrets import KnownSecrets
from durum.engine.artifacts import ArtifactReader
from durum.engine.call_streams import CallStreams

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable

    from durum.ports import ArtifactStore, StoredFile


class StreamingCall:
    """A call that streams into a store and out of it."""

    effect_key: str | None = "key"

    def __init__(self, store: ArtifactStore) -> None:
        self._streams = CallStreams(ArtifactReader(store), KnownSecrets())

    def secret(self, name: str) -> str:
        """Know no secret."""
        raise KeyError(name)

    async def store(self, chunks: AsyncIterable[bytes]) -> StoredFile:
        """Stream bytes in."""
        return await self._streams.put(chunks)

    def stored(self, artifact_id: str) -> AsyncGenerator[bytes, None]:
        """Stream bytes out."""
        return self._streams.get(artifact_id)
