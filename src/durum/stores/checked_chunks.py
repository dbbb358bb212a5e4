"""Stored bytes handed out piece by piece, the last piece only once all of them match their id."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import TYPE_CHECKING, BinaryIO

from durum.errors import CorruptionError
from durum.ports import MAX_CHUNK_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


async def checked_chunks(artifact_id: str, source: BinaryIO) -> AsyncGenerator[bytes, None]:
    """Yield the bytes of an open file; ``CorruptionError`` in place of the last piece if they are not those of the id."""
    digest = sha256()

    def read() -> bytes:
        chunk = source.read(MAX_CHUNK_BYTES)
        digest.update(chunk)
        return chunk

    held = b""
    while chunk := await asyncio.to_thread(read):
        if held:
            yield held
        held = chunk
    if digest.hexdigest() != artifact_id:
        raise CorruptionError(f"artifact {artifact_id}", "its bytes hash to another id")
    if held:
        yield held
