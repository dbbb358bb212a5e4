"""Fact keys and outcomes: what a call is called in the record, and which recorded outcome answers it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from durum.core.canonical import canonical_json, decode_json, digest
from durum.core.events import Envelope, FactRecorded
from durum.core.ids import FactKey
from durum.core.secrets import refuse_secrets
from durum.errors import ConfigError, InvalidIdError, IoError, RateLimitedError, TransportError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from durum.core.canonical import JsonObject, JsonValue
    from durum.core.state import IoCall

DERIVED = "|"
"""Separates the parts of a derived key; explicit keys may not hold it, so the two kinds never meet."""

ENGINE_NAMESPACES = frozenset({"child", "clock", "random", "step", "value"})
"""Namespaces the engine answers itself; no transport may stand for one."""

_NAMESPACE = re.compile(r"[\x21-\x7b\x7d\x7e]{1,64}\Z")


def explicit_key(key: str) -> str:
    """Return an author's own fact key, checked."""
    checked = FactKey(key)
    if DERIVED in checked:
        raise InvalidIdError("fact_key", checked, f"without {DERIVED!r}, which marks derived keys")
    refuse_secrets("a fact key", canonical_json(checked))
    return str(checked)


class KeyMaker(msgspec.Struct, eq=False):
    """Derives the fact keys of one attempt: state, namespace, request digest and which time this request is made."""

    state_id: str
    seen: dict[str, int] = {}

    def key(self, namespace: str, request_id: str) -> str:
        """Return the key of the next occurrence of a request."""
        stem = f"{self.state_id}{DERIVED}{namespace}{DERIVED}{request_id}"
        occurrence = self.seen.get(stem, 0)
        self.seen[stem] = occurrence + 1
        return f"{stem}{DERIVED}{occurrence}"


class FactIndex:
    """The bindings of a run. A success of scope "run" binds for every attempt, everything else within its attempt."""

    def __init__(self) -> None:
        self._run: dict[str, FactRecorded] = {}
        self._attempt: dict[tuple[str, str | None, int | None], FactRecorded] = {}

    def add(self, fact: FactRecorded, state_id: str | None, attempt: int | None) -> None:
        """Bind a fact; the first binding wins."""
        if fact.scope == "run":
            self._run.setdefault(fact.key, fact)
        else:
            self._attempt.setdefault((fact.key, state_id, attempt), fact)

    def find(self, key: str, state_id: str, attempt: int) -> FactRecorded | None:
        """Return the binding of a key in an attempt's sight."""
        return self._run.get(key) or self._attempt.get((key, state_id, attempt))


def index_facts(envelopes: Iterable[Envelope]) -> FactIndex:
    """Return the bindings a log holds."""
    index = FactIndex()
    for envelope in envelopes:
        if isinstance(envelope.event, FactRecorded):
            index.add(envelope.event, envelope.state_id, envelope.attempt)
    return index


class CallError(msgspec.Struct, frozen=True):
    """A failed call as its outcome records it."""

    code: str
    message: str
    retryable: bool
    details: Any  # JSON


class _Failed(msgspec.Struct, frozen=True):
    error: CallError


_FAILED = msgspec.json.Decoder(_Failed)  # made once: two threads that meet a type for the first time at once end the process


def success_bytes(response: object) -> bytes:
    """Return the artifact of a successful outcome."""
    return canonical_json({"ok": response})


def error_bytes(error: TransportError, details: JsonValue) -> bytes:
    """Return the artifact of a failed outcome."""
    record = {"code": error.transport_code, "details": details, "message": error.message, "retryable": error.retryable}
    return canonical_json({"error": record})


def outcome(payload: bytes) -> JsonValue:
    """Return the response an outcome artifact holds, or raise the error it records."""
    record = decode_json(payload)
    assert isinstance(record, dict)
    if "ok" in record:
        return record["ok"]
    failed = _FAILED.decode(payload).error
    if failed.code == RateLimitedError.code:
        raise RateLimitedError(failed.message, details=failed.details)
    raise TransportError(failed.message, code=failed.code, retryable=failed.retryable, details=failed.details)


def used_digest(used: dict[str, str]) -> str | None:
    """Return the digest of the facts an attempt used (key -> payload id), None if it used none."""
    return digest(sorted(used.items())) if used else None


def request_object(namespace: str, request: JsonObject) -> JsonObject:
    """Return a request as the artifact beside its outcome holds it."""
    return {"namespace": namespace, "request": request}


def checked_request(call: IoCall) -> bytes:
    """Return the artifact of a request; the same calls are refused live and in replay.

    Raises:
        ConfigError: the namespace or ``keep`` is none.
        CanonicalJsonError: the request is not JSON.
        SecretsDetectedError: the request holds a secret.
    """
    namespace: object = call.namespace
    if not isinstance(namespace, str) or _NAMESPACE.match(namespace) is None:
        message = f"a namespace is 1 to 64 printable ASCII characters without spaces and {DERIVED!r}, not {namespace!r}"[:300]
        raise ConfigError(message)
    if call.keep not in {"run", "attempt"}:
        message = f"keep is 'run' or 'attempt', not {call.keep!r}"
        raise ConfigError(message)
    data = canonical_json(request_object(call.namespace, call.request))
    refuse_secrets(f"{call.namespace} request", data)
    return data


def check_effect(call: IoCall, state_id: str, *, applies_effects: bool) -> None:
    """Refuse an effect in a state that only reads; ``IoError``."""
    if not applies_effects:
        message = f"{state_id} only reads; an effect on {call.namespace} needs effects='apply_side_effect'"
        raise IoError(message)


def checked_value(key: str, value: object) -> bytes:
    """Return the artifact of a value an author records; ``SecretsDetectedError`` if it holds a secret."""
    data = success_bytes(value)
    refuse_secrets("a fact", canonical_json({key: value}))
    return data
