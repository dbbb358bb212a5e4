"""Keeps what a step got to know by itself out of the record: the values of secrets that calls of this run resolved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from durum.core.canonical import canonical_json, decode_json
from durum.core.known_secrets import KnownSecrets
from durum.errors import SecretsDetectedError

if TYPE_CHECKING:
    from durum.core.canonical import JsonValue


class SecretGuard(msgspec.Struct, eq=False):
    """Refuses what one attempt would leave in the record. While no secret is known, nothing is looked at."""

    known: KnownSecrets
    # Kept: the attempt fails for it whatever the step catches, for replay knows no value and would refuse nothing.
    refused: SecretsDetectedError | None = None

    def check(self, where: str, data: bytes) -> None:
        """Refuse canonical JSON that holds the value of a known secret; ``SecretsDetectedError``."""
        found = self.known.find(decode_json(data)) if self.known else None
        if found is not None:
            path, name = found
            error = SecretsDetectedError(where, self.known.scrub_text(path), f"the value of {name}")
            self.refused = self.refused or error
            raise error

    def check_value(self, where: str, value: object) -> None:
        """Refuse a value that holds the value of a known secret; ``SecretsDetectedError``."""
        if self.known:
            self.check(where, canonical_json(value))

    def scrub(self, value: JsonValue) -> JsonValue:
        """Return a JSON value with every known secret replaced by ``[secret NAME]``."""
        return self.known.scrub(value)
