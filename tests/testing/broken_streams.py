"""Stores that lose or mix up what is streamed, for the conformance suite to find."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import TYPE_CHECKING

from durum.errors import CorruptionError, DurumError, NotFoundError
from durum.ports import Artifact, StoredFile
from tests.testing.broken_stores import BrokenStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable


class KeepsWhatCame(BrokenStore):
    """A stream that broke off is stored as far as it came."""

    async def put_stream(self, kind: str, chunks: AsyncIterable[bytes]) -> StoredFile:
        """Store what came, then fail."""
        data = bytearray()
        try:
            async for chunk in chunks:
                data += chunk
        except BaseException:
            await self.put(Artifact(sha256(data).hexdigest(), kind, bytes(data)))
            raise
        return StoredFile(await self.put(Artifact(sha256(data).hexdigest(), kind, bytes(data))), len(data))


class TakesTheEndForGranted(KeepsWhatCame):
    """A source that fails has just come to its end."""

    async def put_stream(self, kind: str, chunks: AsyncIterable[bytes]) -> StoredFile:
        """Swallow what it raises."""

        async def calm() -> AsyncGenerator[bytes, None]:
            try:
                async for chunk in chunks:
                    yield chunk
            except Exception:  # noqa: BLE001 - the fault
                return

        return await super().put_stream(kind, calm())


class LosesStreams(BrokenStore):
    """A stream is acknowledged but not stored."""

    async def put_stream(self, kind: str, chunks: AsyncIterable[bytes]) -> StoredFile:
        """Forget it."""
        stored = await super().put_stream(kind, chunks)
        self._backend.artifacts.pop(stored.id)
        return stored


class OwnsStreams(BrokenStore):
    """Artifacts go with the handle that streamed them."""

    async def close(self) -> None:
        """Take them along."""
        await super().close()
        self._backend.artifacts.clear()


class MeasuresPieces(BrokenStore):
    """The size is that of the last piece."""

    async def put_stream(self, kind: str, chunks: AsyncIterable[bytes]) -> StoredFile:
        """Measure wrongly."""
        last = b""

        async def seen() -> AsyncGenerator[bytes, None]:
            nonlocal last
            async for chunk in chunks:
                last = chunk
                yield chunk

        return StoredFile((await super().put_stream(kind, seen())).id, len(last))


class EndsAtAnEmptyPiece(BrokenStore):
    """An empty piece is taken for the end."""

    async def put_stream(self, kind: str, chunks: AsyncIterable[bytes]) -> StoredFile:
        """Stop there."""

        async def begun() -> AsyncGenerator[bytes, None]:
            async for chunk in chunks:
                if not chunk:
                    return
                yield chunk

        return await super().put_stream(kind, begun())


class StreamsOnce(BrokenStore):
    """Streaming the same bytes again is an error."""

    async def put_stream(self, kind: str, chunks: AsyncIterable[bytes]) -> StoredFile:
        """Refuse the second time."""
        before = set(self._backend.artifacts)
        stored = await super().put_stream(kind, chunks)
        if stored.id in before:
            raise DurumError
        return stored


class MixesStreams(BrokenStore):
    """Streams that come at once share their memory."""

    shared = bytearray()

    async def put_stream(self, kind: str, chunks: AsyncIterable[bytes]) -> StoredFile:
        """Gather in one place."""
        async for chunk in chunks:
            self.shared += chunk
            await asyncio.sleep(0)
        data = bytes(self.shared)
        self.shared.clear()
        return StoredFile(await self.put(Artifact(sha256(data).hexdigest(), kind, data)), len(data))


class HandsOutAtOnce(BrokenStore):
    """Whatever its size, an artifact comes in one piece."""

    async def chunks(self, artifact_id: str) -> AsyncGenerator[bytes, None]:
        """Read it whole."""
        yield await self.get(artifact_id)


class ChecksTooLate(BrokenStore):
    """Damage is told when all was handed out."""

    async def chunks(self, artifact_id: str) -> AsyncGenerator[bytes, None]:
        """Make the damaged bytes as long as the true ones, hand them out, then check."""
        data = self._backend.artifacts.get(artifact_id)
        if data is None:
            raise NotFoundError("artifact", artifact_id)
        for start in range(0, len(data), 1000):
            yield data[start : start + 1000]
        if sha256(data).hexdigest() != artifact_id:
            raise CorruptionError(f"artifact {artifact_id}", "too late")


class StreamsUnchecked(BrokenStore):
    """Damaged bytes are handed out."""

    async def chunks(self, artifact_id: str) -> AsyncGenerator[bytes, None]:
        """Take what is there."""
        data = self._backend.artifacts.get(artifact_id)
        if data is None:
            raise NotFoundError("artifact", artifact_id)
        for start in range(0, len(data), 1000):
            yield data[start : start + 1000]


class HasNothingForTheUnknown(BrokenStore):
    """An unknown artifact is an empty one."""

    async def chunks(self, artifact_id: str) -> AsyncGenerator[bytes, None]:
        """End at once."""
        if artifact_id in self._backend.artifacts:
            async for chunk in super().chunks(artifact_id):
                yield chunk


class ReadsOnFromThere(BrokenStore):
    """Readers share one place in the bytes."""

    def __init__(self, *given: object) -> None:
        super().__init__(*given)  # type: ignore[arg-type]
        self.places: dict[str, int] = {}

    async def chunks(self, artifact_id: str) -> AsyncGenerator[bytes, None]:
        """Begin where the last reader stopped."""
        place = self.places.pop(artifact_id, 0)
        number = 0
        async for chunk in super().chunks(artifact_id):
            number += 1
            if number > place:
                self.places[artifact_id] = number
                yield chunk
        self.places.pop(artifact_id, None)
