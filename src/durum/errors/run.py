"""A run's fault: recorded in its log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durum.errors.roots import RunError

if TYPE_CHECKING:
    from collections.abc import Mapping


class StepError(RunError):
    """A step says that it failed; ``retryable`` tells the engine whether another try may help."""

    code = "step_failed"

    def __init__(self, message: str, *, code: str | None = None, retryable: bool = False, details: object = None) -> None:
        self.step_code = code or self.code
        self.retryable = retryable
        self.details = details
        super().__init__(message)


class ContextError(RunError):
    """Reading, converting or joining the context failed."""

    code = "context_error"


class MissingKeyError(ContextError):
    """A context key that was read is not there."""

    code = "missing_key"

    def __init__(self, key: str, hint: str = "") -> None:
        self.key = key
        super().__init__(f"context key {key!r} is missing" + (f"; {hint}" if hint else ""))


class SerializationError(ContextError):
    """A context value does not convert to or from its declared type."""

    code = "context_serialization"

    def __init__(self, key: str, reason: str) -> None:
        self.key = key
        self.reason = reason
        super().__init__(f"context key {key!r}: {reason}")


class ContextConflictError(ContextError):
    """Two states wrote one key side by side and the key declares no merge.

    ``writers`` maps each one's id to the digest of the value it wrote, None for one that deleted the key. ``state_id`` is the
    state they meet in, None for the end of the run.
    """

    code = "context_conflict"

    def __init__(self, key: str, state_id: str | None, writers: Mapping[str, str | None]) -> None:
        self.key = key
        self.state_id = state_id
        self.writers = dict(writers)
        self.details = {"key": key, "state_id": state_id, "writers": self.writers}
        values = " and ".join("no value" if digest is None else digest for digest in self.writers.values())
        super().__init__(
            f"context key {key!r} was written by {' and '.join(self.writers)} side by side ({values}), which meet "
            f"{'at the end of the run' if state_id is None else f'in {state_id}'}; order them or declare a merge"
        )


class MergeError(ContextError):
    """The contributions to a context key do not come together: its merge refuses a value, raises or gives what is not JSON."""

    code = "merge_failed"

    def __init__(self, key: str, merge: str, reason: str) -> None:
        self.key = key
        self.merge = merge
        self.reason = reason
        super().__init__(f"context key {key!r} cannot be merged by {merge}: {reason}")


class IoError(RunError):
    """An IO call failed, live or in replay."""

    code = "io_error"


class MissingFactError(IoError):
    """Replay was asked for a call that the record does not hold."""

    code = "missing_fact"

    def __init__(self, key: str, *, retryable: bool = False) -> None:
        self.key = key
        self.retryable = retryable
        super().__init__(f"the record holds no fact {key}; the code makes a call it did not make when the run was recorded")


class FactConflictError(IoError):
    """A fact key is bound to another value already; the first binding wins."""

    code = "fact_payload_conflict"

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"fact {key} is bound to another value already; use another key")


class EffectUnknownError(IoError):
    """Whether an effect happened is not known, so it is not repeated.

    ``request_id`` is the artifact of what it asks; ``needs`` says what it gives back if an answer cannot leave that out.
    """

    code = "effect_unknown"

    def __init__(self, key: str, reason: str, request_id: str = "", needs: str = "") -> None:
        self.key = key
        self.reason = reason
        self.request_id = request_id
        self.needs = needs
        super().__init__(f"effect {key}: {reason}")


class TransportError(IoError):
    """A live call failed; the failure is the call's recorded outcome."""

    code = "transport_failed"

    def __init__(self, message: str, *, code: str | None = None, retryable: bool = False, details: object = None) -> None:
        self.transport_code = code or self.code
        self.message = message
        self.retryable = retryable
        self.details = details
        super().__init__(message)


class RateLimitedError(TransportError):
    """The other side asked for fewer calls; always retryable."""

    code = "rate_limited"

    def __init__(self, message: str, *, details: object = None) -> None:
        super().__init__(message, code=self.code, retryable=True, details=details)
