"""Read a transport's request field by field; what is unknown or of the wrong shape is refused before anything happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durum.core.payload import decode_payload
from durum.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from durum.core.canonical import JsonObject, JsonValue
    from durum.ports import TransportCall

MAX_PAYLOAD_BYTES = 256 * 1024 * 1024  # no request may raise its own limit above this
MAX_TIMEOUT_MS = 7 * 24 * 3600 * 1000


class Fields:
    """The fields of one request; every method raises ``TransportError`` (``invalid_request``) naming the field at fault."""

    def __init__(self, namespace: str, request: JsonObject, known: AbstractSet[str]) -> None:
        self.namespace = namespace
        self._request = request
        if not isinstance(request, dict):
            raise self.refuse("it must be an object")
        unknown = sorted(set(request) - known)
        if unknown:
            raise self.refuse(f"unknown field {unknown[0]!r}; the known ones are {', '.join(sorted(known))}")

    def refuse(self, reason: str) -> TransportError:
        """Return the error for a request that is wrong because of ``reason``."""
        return TransportError(f"{self.namespace} request: {reason}", code="invalid_request")

    def __contains__(self, name: str) -> bool:
        return name in self._request

    def text(self, name: str) -> str:
        """Return a required string."""
        value = self._request.get(name)
        if not isinstance(value, str):
            raise self.refuse(f"{name} must be a string")
        return value

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """Return an integer from ``low`` to ``high``, both included."""
        value = self._request.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.refuse(f"{name} must be an integer from {low} to {high}")
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """Return a boolean."""
        value = self._request.get(name, default)
        if not isinstance(value, bool):
            raise self.refuse(f"{name} must be true or false")
        return value

    def mapping(self, name: str) -> dict[str, JsonValue]:
        """Return an object, empty when the field is absent."""
        value = self._request.get(name, {})
        if not isinstance(value, dict):
            raise self.refuse(f"{name} must be an object")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a required array of strings."""
        value = self._request.get(name)
        if not isinstance(value, list):
            raise self.refuse(f"{name} must be an array of strings")
        items = tuple(item for item in value if isinstance(item, str))
        if len(items) != len(value):
            raise self.refuse(f"{name} must be an array of strings")
        return items

    def payload(self, name: str) -> bytes | None:
        """Return the bytes of a payload object, None when the field is absent."""
        if name not in self._request:
            return None
        try:
            return decode_payload(self._request[name])
        except ValueError as error:
            raise self.refuse(f"{name}: {error}") from None

    def reveal(self, where: str, value: JsonValue, call: TransportCall, *, prefix: bool = False) -> tuple[str, bool]:
        """Return a string and whether it came from a secret; ``{"$secret": NAME}`` is resolved through ``call``.

        ``prefix`` allows ``{"$secret": NAME, "prefix": "Bearer "}``. The value never appears in an error.
        """
        if isinstance(value, str):
            return value, False
        allowed = {"$secret", "prefix"} if prefix else {"$secret"}
        if not isinstance(value, dict) or "$secret" not in value or not set(value) <= allowed:
            raise self.refuse(f'{where} must be a string or {{"$secret": NAME}}')
        name, before = value["$secret"], value.get("prefix", "")
        if not isinstance(name, str) or not isinstance(before, str):
            raise self.refuse(f"{where}: the name and the prefix of a secret must be strings")
        return before + call.secret(name), True
