"""Keeps what a step got to know by itself out of the record: the values of secrets that calls of this run resolved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durum.core.canonical import canonical_json, decode_json
from durum.errors import SecretsDetectedError

if TYPE_CHECKING:
    from durum.core.canonical import JsonValue
    from durum.core.known_secrets import KnownSecrets


class SecretGuard:
    """Refuses what one attempt would leave in the record. While no secret is known, nothing is looked at."""

    def __init__(self, known: KnownSecrets) -> None:
        self._known = known
        # Kept: the attempt fails for it whatever the step catches, for replay knows no value and would refuse nothing.
        self.refused: SecretsDetectedError | None = None

    @property
    def active(self) -> bool:
        """Whether there is anything to look for."""
        return bool(self._known)

    def check(self, where: str, data: bytes) -> None:
        """Refuse canonical JSON that holds the value of a known secret; ``SecretsDetectedError``."""
        found = self._known.find(decode_json(data)) if self._known else None
        if found is not None:
            path, name = found
            error = SecretsDetectedError(where, self._known.scrub_text(path), f"the value of {name}")
            self.refused = self.refused or error
            raise error

    def check_value(self, where: str, value: object) -> None:
        """Refuse a value that holds the value of a known secret; ``SecretsDetectedError``."""
        if self._known:
            self.check(where, canonical_json(value))

    def scrub(self, value: JsonValue) -> JsonValue:
        """Return a JSON value with every known secret replaced by ``[secret NAME]``."""
        return self._known.scrub(value)
