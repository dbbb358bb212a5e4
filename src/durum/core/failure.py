"""How a failure is written down: code, category, whether to retry, a message without secrets (seed 002, ``errors``)."""

from __future__ import annotations

from enum import StrEnum
from traceback import extract_tb
from typing import TYPE_CHECKING

import msgspec

from durum.core.canonical import canonical_json, normalized
from durum.core.ids import ErrorCodeField, StateIdField, segment_is_valid
from durum.core.secrets import redact, redact_text
from durum.errors import (
    CallerError,
    CanonicalJsonError,
    ContextError,
    DurumError,
    IoError,
    SecretsDetectedError,
    StepError,
    StorageError,
    TransportError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from durum.core.canonical import JsonValue

ORPHAN_ATTEMPT_RECOVERED = "orphan_attempt_recovered"
CONTEXT_CONFLICT = "context_conflict"
MERGE_FAILED = "merge_failed"
EFFECT_UNKNOWN = "effect_unknown"
CHILD_TOO_DEEP = "child_too_deep"
INVALID_EXTENSION = "invalid_extension"
RUN_CANCELLED = "run_cancelled"
SECRETS_DETECTED = SecretsDetectedError.code
STEP_TIMEOUT = "step_timeout"
STEP_RAISED = "step_raised"
MAX_MESSAGE_CHARACTERS = 4_000
_MAX_DETAILS_BYTES = 7_168
NO_DETAILS = msgspec.Raw(b"null")


class ErrorCategory(StrEnum):
    """Where a failure came from. The seed's on-chain category has no source here and is kept for its formats."""

    PARSING_INPUT = "parsing_input"
    ON_CHAIN = "on_chain"
    OFF_CHAIN = "off_chain"
    RPC = "rpc"
    STORAGE = "storage"
    CONTEXT = "context"
    UNKNOWN = "unknown"


class ErrorInfo(msgspec.Struct, frozen=True):
    """One failure, safe to store and to show. Fields stand in canonical order."""

    category: ErrorCategory
    code: ErrorCodeField
    details: msgspec.Raw  # canonical JSON, null for none; never compared by replay
    message: str
    retryable: bool


class StateError(msgspec.Struct, frozen=True):
    """A failure of a state attempt."""

    info: ErrorInfo
    state_id: StateIdField | None = None


def _as_it_is(value: JsonValue) -> JsonValue:
    return value


def describe(
    error: BaseException, *, retryable: bool | None = None, scrub: Callable[[JsonValue], JsonValue] = _as_it_is
) -> ErrorInfo:
    """Return what is written of an exception; ``retryable`` None takes the exception's own word.

    ``scrub`` replaces secrets whose values are known; it comes first, for a format may fit a part of one and a cut go through.
    Whatever the exception's author made of its parts, the record decodes: a code that is none becomes that of the class.
    """
    own = bool(error.retryable) if isinstance(error, DurumError) else False
    code = code_of(error)
    return ErrorInfo(
        category=_category(error),
        code=code if scrub(code) == code else STEP_RAISED,
        details=_details(error, scrub),
        message=redact_text(str(scrub(_message(error))))[:MAX_MESSAGE_CHARACTERS],
        retryable=own if retryable is None else bool(retryable),
    )


def failure(code: str, message: str, *, retryable: bool = False) -> ErrorInfo:
    """Return the record of a failure the engine itself found."""
    return ErrorInfo(category=ErrorCategory.UNKNOWN, code=code, details=NO_DETAILS, message=message, retryable=retryable)


def code_of(error: BaseException) -> str:
    """Return the code an exception carries if it is one, else that of its class."""
    match error:
        case StepError():
            return _valid(error.step_code) or StepError.code
        case TransportError():
            return _valid(error.transport_code) or TransportError.code
        case DurumError():
            return _valid(error.code) or STEP_RAISED
    return STEP_RAISED


def _valid(code: object) -> str | None:
    return code if isinstance(code, str) and segment_is_valid(code) else None


def text_of(error: BaseException) -> str:
    """Return an exception's text as UTF-8 can hold it; one that cannot be turned into text has none."""
    try:
        return str(error).encode("utf-8", "replace").decode()
    except Exception:  # noqa: BLE001 - an exception's __str__ is anyone's code
        return ""


def _message(error: BaseException) -> str:
    text = text_of(error)
    if isinstance(error, DurumError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _category(error: BaseException) -> ErrorCategory:
    match error:
        case IoError():
            return ErrorCategory.OFF_CHAIN
        case ContextError():
            return ErrorCategory.CONTEXT
        case StorageError():
            return ErrorCategory.STORAGE
        case CallerError():
            return ErrorCategory.PARSING_INPUT
    return ErrorCategory.UNKNOWN


def _details(error: BaseException, scrub: Callable[[JsonValue], JsonValue]) -> msgspec.Raw:
    """Return the error's own details, else the place it was raised at."""
    given: object = getattr(error, "details", None) if isinstance(error, DurumError) else None
    if given is None:
        frames = extract_tb(error.__traceback__)
        if not frames or isinstance(error, DurumError):
            return NO_DETAILS
        given = {"raised_at": f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}", "in": frames[-1].name}
    try:
        clean = redact(scrub(normalized(given)))
    except CanonicalJsonError:
        return NO_DETAILS
    data = canonical_json(clean)
    return msgspec.Raw(data) if len(data) <= _MAX_DETAILS_BYTES else NO_DETAILS
