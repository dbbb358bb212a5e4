"""How a failure is written down: code, category, whether to retry, a message without secrets (seed 002, ``errors``)."""

from __future__ import annotations

from enum import StrEnum
from traceback import extract_tb

import msgspec

from durum.core.canonical import canonical_json, normalized
from durum.core.ids import ErrorCodeField, StateIdField
from durum.core.secrets import redact, redact_text
from durum.errors import (
    CallerError,
    CanonicalJsonError,
    ContextError,
    DurumError,
    IoError,
    StepError,
    StorageError,
    TransportError,
)

ORPHAN_ATTEMPT_RECOVERED = "orphan_attempt_recovered"
EFFECT_UNKNOWN = "effect_unknown"
STEP_TIMEOUT = "step_timeout"
STEP_RAISED = "step_raised"
MAX_MESSAGE_CHARACTERS = 4_000
_MAX_DETAILS_BYTES = 16_384
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


def describe(error: BaseException, *, retryable: bool | None = None) -> ErrorInfo:
    """Return what is written of an exception; ``retryable`` None takes the exception's own word."""
    own = error.retryable if isinstance(error, DurumError) else False
    return ErrorInfo(
        category=_category(error),
        code=_code(error),
        details=_details(error),
        message=redact_text(_message(error))[:MAX_MESSAGE_CHARACTERS],
        retryable=own if retryable is None else retryable,
    )


def failure(code: str, message: str, *, retryable: bool = False) -> ErrorInfo:
    """Return the record of a failure the engine itself found."""
    return ErrorInfo(category=ErrorCategory.UNKNOWN, code=code, details=NO_DETAILS, message=message, retryable=retryable)


def _code(error: BaseException) -> str:
    match error:
        case StepError():
            return error.step_code
        case TransportError():
            return error.transport_code
        case DurumError():
            return error.code
    return STEP_RAISED


def _message(error: BaseException) -> str:
    text = str(error).encode("utf-8", "replace").decode()
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


def _details(error: BaseException) -> msgspec.Raw:
    """Return the error's own details, else the place it was raised at."""
    given: object = getattr(error, "details", None) if isinstance(error, DurumError) else None
    if given is None:
        frames = extract_tb(error.__traceback__)
        if not frames or isinstance(error, DurumError):
            return NO_DETAILS
        given = {"raised_at": f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}", "in": frames[-1].name}
    try:
        clean = redact(normalized(given))
    except CanonicalJsonError:
        return NO_DETAILS
    data = canonical_json(clean)
    return msgspec.Raw(data) if len(data) <= _MAX_DETAILS_BYTES else NO_DETAILS
