"""How a failure is written down: code, category, whether to retry, a message without secrets (seed 002, ``errors``)."""

from __future__ import annotations

from enum import StrEnum
from pathlib import PurePath
from traceback import extract_tb
from typing import TYPE_CHECKING

import msgspec

from durum import errors
from durum.core.canonical import canonical_json
from durum.core.ids import ErrorCodeField, StateIdField
from durum.core.secrets import redact, redact_text

if TYPE_CHECKING:
    from durum.core.canonical import JsonValue

ORPHAN_ATTEMPT_RECOVERED = "orphan_attempt_recovered"
STEP_TIMEOUT = "step_timeout"
STEP_RAISED = "step_raised"
MAX_MESSAGE_CHARACTERS = 4_000
_MAX_DETAILS_BYTES = 16_384


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
    details: msgspec.Raw | None  # canonical JSON; never compared by replay
    message: str
    retryable: bool


class StateError(msgspec.Struct, frozen=True):
    """A failure of a state attempt."""

    info: ErrorInfo
    state_id: StateIdField | None = None


def describe(error: BaseException, *, retryable: bool | None = None) -> ErrorInfo:
    """Return what is written of an exception; ``retryable`` None takes the exception's own word."""
    own = error.retryable if isinstance(error, errors.DurumError) else False
    return ErrorInfo(
        category=_category(error),
        code=_code(error),
        details=_details(error),
        message=redact_text(_message(error))[:MAX_MESSAGE_CHARACTERS],
        retryable=own if retryable is None else retryable,
    )


def failure(code: str, message: str, *, retryable: bool = False) -> ErrorInfo:
    """Return the record of a failure the engine itself found."""
    return ErrorInfo(category=ErrorCategory.UNKNOWN, code=code, details=None, message=message, retryable=retryable)


def _code(error: BaseException) -> str:
    match error:
        case errors.StepError():
            return error.step_code
        case errors.TransportError():
            return error.transport_code
        case errors.DurumError():
            return error.code
    return STEP_RAISED


def _message(error: BaseException) -> str:
    text = str(error).encode("utf-8", "replace").decode()
    if isinstance(error, errors.DurumError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _category(error: BaseException) -> ErrorCategory:
    match error:
        case errors.IoError():
            return ErrorCategory.OFF_CHAIN
        case errors.ContextError():
            return ErrorCategory.CONTEXT
        case errors.StorageError():
            return ErrorCategory.STORAGE
        case errors.CallerError():
            return ErrorCategory.PARSING_INPUT
    return ErrorCategory.UNKNOWN


def _details(error: BaseException) -> msgspec.Raw | None:
    """Return the error's own details, else the place it was raised at."""
    given: object = getattr(error, "details", None) if isinstance(error, errors.DurumError) else None
    if given is None:
        frames = extract_tb(error.__traceback__)
        if not frames or isinstance(error, errors.DurumError):
            return None
        given = {"raised_at": f"{PurePath(frames[-1].filename).name}:{frames[-1].lineno}", "in": frames[-1].name}
    try:
        clean: JsonValue = redact(msgspec.json.decode(canonical_json(given)))
    except errors.CanonicalJsonError:
        return None
    data = canonical_json(clean)
    return msgspec.Raw(data) if len(data) <= _MAX_DETAILS_BYTES else None
