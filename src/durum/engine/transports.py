"""Which transport serves a namespace. A transport is constructed on its first live call, so replay never makes one."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from durum.core.known_secrets import KnownSecrets
from durum.core.secrets import redact_text
from durum.engine.call_streams import CallStreams
from durum.engine.secret_values import secret_value
from durum.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping

    from durum.core.canonical import JsonValue
    from durum.engine.artifacts import ArtifactReader
    from durum.ports import StoredFile, Transport

TransportFactory = "Callable[[], Transport]"
_log = logging.getLogger(__name__)


class CallHandle:
    """Implements ``TransportCall`` and remembers the secrets it resolved, so that no outcome can carry one away."""

    def __init__(self, effect_key: str | None, known: KnownSecrets, artifacts: ArtifactReader) -> None:
        self._effect_key = effect_key
        self._streams = CallStreams(artifacts, known)
        self._known = known  # of every call before as well: a later answer may repeat one

    @property
    def effect_key(self) -> str | None:
        """The idempotency key to hand to the receiver; None for a read."""
        return self._effect_key

    def secret(self, name: str) -> str:
        """Resolve a secret reference; ``TransportError`` (``secret_missing``) if there is nothing behind it."""
        value = secret_value(name)
        self._known.add(name, value)
        return value

    async def store(self, chunks: AsyncIterable[bytes]) -> StoredFile:
        """Stream bytes into the store; the fact of this call will list them."""
        return await self._streams.put(chunks)

    def stored(self, artifact_id: str) -> AsyncGenerator[bytes, None]:
        """Hand stored bytes out in pieces."""
        return self._streams.get(artifact_id)

    @property
    def artifact_ids(self) -> tuple[str, ...]:
        """What this call streamed into the store."""
        return self._streams.ids

    def scrub(self, value: JsonValue) -> JsonValue:
        """Return a JSON value with every resolved secret replaced by its name."""
        return self._known.scrub(value)


class TransportRegistry:
    """Namespaces and how to reach them."""

    def __init__(self, factories: Mapping[str, Callable[[], Transport]]) -> None:
        self._factories = dict(factories)
        self._made: dict[str, Transport] = {}
        self.known = KnownSecrets()  # what the calls of this run resolved

    def get(self, namespace: str) -> Transport:
        """Return the transport of a namespace; ``TransportError`` if none is registered."""
        made = self._made.get(namespace)
        if made is None:
            factory = self._factories.get(namespace)
            if factory is None:
                known = ", ".join(sorted(self._factories))
                message = f"no transport for namespace {namespace!r}; registered are {known}"
                raise TransportError(message, code="unknown_namespace")
            made = self._made[namespace] = factory()
        return made

    @property
    def constructed(self) -> int:
        """How many transports were made; 0 in replay."""
        return len(self._made)

    def add(self, namespace: str, factory: Callable[[], Transport]) -> None:
        """Register a namespace of the engine's own."""
        self._factories[namespace] = factory

    def handle(self, effect_key: str | None, artifacts: ArtifactReader) -> CallHandle:
        """Return what a transport may know of the call it performs."""
        return CallHandle(effect_key, self.known, artifacts)

    def clean(self, text: str) -> str:
        """Return a line that someone will see, without secrets."""
        return redact_text(self.known.scrub_text(text))

    async def close(self) -> None:
        """Close every transport that was made."""
        made, self._made = self._made, {}
        for namespace, transport in made.items():
            try:
                await transport.close()
            except Exception as error:  # noqa: BLE001 - the run is over; what a transport left open is not its failure
                _log.warning("transport %s could not be closed: %s", namespace, self.clean(repr(error)))
