"""The part of a call that most transports have no use for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable

    from durum.ports import StoredFile


class NoStore:
    """A call of a transport that streams nothing."""

    async def store(self, chunks: AsyncIterable[bytes]) -> StoredFile:
        """Fail: nothing is to be stored."""
        raise AssertionError(f"{chunks} was to be stored")

    def stored(self, artifact_id: str) -> AsyncGenerator[bytes, None]:
        """Fail: nothing is stored."""
        raise AssertionError(f"{artifact_id} was asked for")
