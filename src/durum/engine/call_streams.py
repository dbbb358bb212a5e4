"""What one call streams into the store or out of it: in bounded memory, without the secrets this process knows."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from durum.errors import NotFoundError, StorageError, TransportError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Iterator, Sequence

    from durum.core.known_secrets import KnownSecrets
    from durum.engine.artifacts import ArtifactReader
    from durum.ports import StoredFile

MOST_ARTIFACTS = 64
"""Most artifacts one call may stream: the fact that names them is an event, and events are short."""

SHORTEST_SOUGHT = 8
"""Bytes of the shortest secret that is looked for; anything shorter stands in gigabytes of other data by chance."""


class CallStreams:
    """The artifacts of one call. A store that fails is the call's failure, which the step may catch."""

    def __init__(self, artifacts: ArtifactReader, known: KnownSecrets) -> None:
        self._artifacts = artifacts
        self._known = known
        self.ids: tuple[str, ...] = ()

    async def put(self, chunks: AsyncIterable[bytes]) -> StoredFile:
        """Stream bytes into the store; see ``TransportCall.store``."""
        if len(self.ids) >= MOST_ARTIFACTS:
            message = f"one call streams at most {MOST_ARTIFACTS} artifacts; spread them over several calls"
            raise TransportError(message, code="too_many_artifacts")
        with _as_failure_of_the_call():
            stored = await self._artifacts.put_stream(without_secrets(chunks, self._known.values()))
        if stored.id not in self.ids:
            self.ids += (stored.id,)
        return stored

    async def get(self, artifact_id: str) -> AsyncGenerator[bytes, None]:
        """Stream bytes out of the store; see ``TransportCall.stored``."""
        with _as_failure_of_the_call():
            async with contextlib.aclosing(self._artifacts.chunks(artifact_id)) as chunks:
                async for chunk in chunks:
                    yield chunk


@contextlib.contextmanager
def _as_failure_of_the_call() -> Iterator[None]:
    try:
        yield
    except (StorageError, NotFoundError) as error:
        raise TransportError(str(error), code=error.code, retryable=error.retryable) from error


async def without_secrets(chunks: AsyncIterable[bytes], secrets: Sequence[tuple[str, str]]) -> AsyncGenerator[bytes, None]:
    """Hand chunks on, and raise ``TransportError`` in place of the one that completes the value of a secret (name, value).

    A stream cannot be blanked out: its bytes may be compressed, signed or measured. Only values that were resolved are looked
    for, as they are; a file may well hold what merely looks like a token.
    """
    encoded = [(name, value.encode("utf-8", "surrogateescape")) for name, value in secrets]
    sought = [(name, value) for name, value in encoded if len(value) >= SHORTEST_SOUGHT]
    reach = max((len(value) - 1 for _, value in sought), default=0)
    before = b""
    async for chunk in chunks:
        border = before + chunk[:reach]
        found = [name for name, value in sought if value in chunk or value in border]
        if found:
            message = f"what the call would store holds the value of secret {found[0]}; nothing of it was stored"
            raise TransportError(message, code="secret_in_stream")
        before = (before + chunk[-reach:])[-reach:] if reach else b""
        yield chunk
