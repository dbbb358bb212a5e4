"""Which transport serves a namespace. A transport is constructed on its first live call, so replay never makes one."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from durum.core.payload import encode_payload, payload_text
from durum.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from durum.core.canonical import JsonValue
    from durum.ports import Transport

TransportFactory = "Callable[[], Transport]"
_SHORTEST_SCRUBBED = 4
_log = logging.getLogger(__name__)


class CallHandle:
    """Implements ``TransportCall`` and remembers the secrets it resolved, so that no outcome can carry one away."""

    def __init__(self, effect_key: str | None, resolved: dict[str, str]) -> None:
        self._effect_key = effect_key
        self._resolved = resolved  # name -> value, of every call before as well: a later answer may repeat one

    @property
    def effect_key(self) -> str | None:
        """The idempotency key to hand to the receiver; None for a read."""
        return self._effect_key

    def secret(self, name: str) -> str:
        """Resolve a secret reference from the environment."""
        value = os.environ.get(name)
        if not value:
            message = f"secret {name} is not set; put it into the environment of the process that runs this"
            raise TransportError(message, code="secret_missing")
        self._resolved[name] = value
        return value

    def scrub(self, value: JsonValue) -> JsonValue:
        """Return a JSON value with every resolved secret replaced by its name."""
        if not self._resolved:
            return value
        if isinstance(value, str):
            for name, secret in self._resolved.items():
                if len(secret) >= _SHORTEST_SCRUBBED:
                    value = value.replace(secret, f"[secret {name}]")
            return value
        if isinstance(value, list):
            return [self.scrub(item) for item in value]
        if isinstance(value, dict):
            hidden = payload_text(value)
            if hidden is not None:
                text = hidden.encode("latin-1").decode("utf-8", "surrogateescape")
                return encode_payload(str(self.scrub(text)).encode("utf-8", "surrogateescape"))
            return {str(self.scrub(key)): self.scrub(item) for key, item in value.items()}
        return value


class TransportRegistry:
    """Namespaces and how to reach them."""

    def __init__(self, factories: Mapping[str, Callable[[], Transport]], idempotent: frozenset[str] = frozenset()) -> None:
        self._factories = dict(factories)
        self._idempotent = idempotent
        self._made: dict[str, Transport] = {}
        self._resolved: dict[str, str] = {}

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

    def idempotent(self, namespace: str) -> bool:
        """Tell whether repeating the same effect of a namespace is the same as doing it once."""
        return namespace in self._idempotent

    def handle(self, effect_key: str | None) -> CallHandle:
        """Return what a transport may know of the call it performs."""
        return CallHandle(effect_key, self._resolved)

    async def close(self) -> None:
        """Close every transport that was made."""
        made, self._made = self._made, {}
        for namespace, transport in made.items():
            try:
                await transport.close()
            except Exception:  # noqa: BLE001 - the run is over; what a transport left open is not its failure
                _log.warning("transport %s could not be closed", namespace, exc_info=True)
