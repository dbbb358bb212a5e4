"""Every exception a person or a program can meet.

    DurumError
    |-- CallerError            the call is wrong: fix it and call again
    |   |-- InvalidIdError
    |   |-- CanonicalJsonError
    |   |-- SecretsDetectedError
    |   |-- InvalidInputError
    |   |-- TargetError
    |   |-- WorkflowDefinitionError
    |   |-- PlanValidationError
    |   |   |-- EmptyPlanError
    |   |   |-- DuplicateStateIdError
    |   |   |-- MissingStateForEdgeError
    |   |   |-- CircularDependencyError
    |   |   `-- DanglingDependencyTagError
    |   |-- ConfigError
    |   |-- NotFoundError
    |   |-- RunExistsError
    |   |-- RunOwnedError
    |   |-- PlanChangedError
    |   `-- ForeignStoreError
    |-- RunError               this run's fault: recorded in its log
    |   |-- StepError
    |   |-- ContextError
    |   |   |-- MissingKeyError
    |   |   |-- SerializationError
    |   |   `-- ContextConflictError
    |   `-- IoError
    |       |-- MissingFactKeyError
    |       |-- MissingFactError
    |       |-- FactConflictError
    |       |-- EffectUnknownError
    |       |-- TransportError
    |       `-- RateLimitedError
    `-- WorldError             the machine's or a store's fault: try again
        `-- StorageError
            |-- ConcurrencyError
            |-- CorruptionError
            `-- StoreUnavailableError

Each class has a stable ``code`` (a page section in ``docs/errors.md``) and builds its one-sentence message from its fields.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence


class DurumError(Exception):
    """Root of every error Durum raises; ``str()`` is one sentence a person can act on."""

    code: ClassVar[str] = "durum_error"
    retryable: bool = False


class CallerError(DurumError):
    """The call is wrong: fix it and call again."""

    code = "caller_error"


class RunError(DurumError):
    """A fault of one run; it is recorded in that run's log."""

    code = "run_error"


class WorldError(DurumError):
    """A fault of the machine or of a store; trying again may help."""

    code = "world_error"
    retryable = True


# --- the caller's fault -------------------------------------------------------------------------------------------------


class InvalidIdError(CallerError):
    """An identifier breaks the naming contract of its kind (seed 002, ``ids``)."""

    code = "invalid_id"

    def __init__(self, kind: str, value: object, rule: str = "") -> None:
        self.kind = kind
        self.value = value
        self.rule = rule
        super().__init__(f"invalid {kind}: {value!r}" + (f"; it must be {rule}" if rule else ""))


class CanonicalJsonError(CallerError):
    """A value has no canonical JSON form (RFC 8785); ``path`` is where, as ``$.a[0]``."""

    code = "not_canonical_json"

    def __init__(self, reason: str, path: str = "$") -> None:
        self.reason = reason
        self.path = path
        super().__init__(f"not JSON at {path}: {reason}")


class SecretsDetectedError(CallerError):
    """A value that would be stored holds a secret; pass a reference instead."""

    code = "secrets_detected"

    def __init__(self, where: str, path: str, rule: str) -> None:
        self.where = where
        self.path = path
        self.rule = rule
        super().__init__(f"{where} holds a secret at {path} ({rule}); pass a reference such as durum.Secret('NAME') instead")


class InvalidInputError(CallerError):
    """Inputs of a run are missing, unknown or of the wrong type."""

    code = "invalid_input"

    def __init__(self, workflow: str, problems: Sequence[str]) -> None:
        self.workflow = workflow
        self.problems = tuple(problems)
        super().__init__(f"invalid input for workflow {workflow}: {'; '.join(self.problems)}")


class TargetError(CallerError):
    """A TARGET names no workflow that can be loaded."""

    code = "invalid_target"

    def __init__(self, target: str, reason: str) -> None:
        self.target = target
        self.reason = reason
        super().__init__(f"cannot load {target}: {reason}")


class WorkflowDefinitionError(CallerError):
    """A workflow is authored wrongly; found when its file is loaded."""

    code = "invalid_workflow"

    def __init__(self, workflow: str, reason: str) -> None:
        self.workflow = workflow
        self.reason = reason
        super().__init__(f"workflow {workflow}: {reason}")


class PlanValidationError(CallerError):
    """A plan breaks a structural rule (seed 002, ``plan``)."""

    code = "invalid_plan"


class EmptyPlanError(PlanValidationError):
    """The plan holds no states."""

    code = "empty_plan"

    def __init__(self) -> None:
        super().__init__("the plan has no states; add at least one step")


class DuplicateStateIdError(PlanValidationError):
    """Two states of a plan share an id."""

    code = "duplicate_state_id"

    def __init__(self, state_id: str) -> None:
        self.state_id = state_id
        super().__init__(f"state {state_id} appears twice in the plan; give each its own id")


class MissingStateForEdgeError(PlanValidationError):
    """An edge names a state that is not in the plan."""

    code = "missing_state_for_edge"

    def __init__(self, missing: str) -> None:
        self.missing = missing
        super().__init__(f"an edge names state {missing}, which is not in the plan")


class CircularDependencyError(PlanValidationError):
    """The plan has a cycle; ``cycle`` lists its states in order."""

    code = "circular_dependency"

    def __init__(self, cycle: Sequence[str]) -> None:
        self.cycle = tuple(cycle)
        super().__init__(f"the plan has a cycle: {' -> '.join((*self.cycle, self.cycle[0]))}; break one of these dependencies")


class DanglingDependencyTagError(PlanValidationError):
    """A state depends on a tag that no state carries."""

    code = "dangling_dependency_tag"

    def __init__(self, state_id: str, missing_tag: str) -> None:
        self.state_id = state_id
        self.missing_tag = missing_tag
        super().__init__(f"state {state_id} depends on tag {missing_tag!r}, which no state carries")


class ConfigError(CallerError):
    """A setting is unknown or out of range."""

    code = "invalid_config"


class NotFoundError(CallerError):
    """A run, key or artifact that was asked for does not exist."""

    code = "not_found"

    def __init__(self, kind: str, name: str, hint: str = "") -> None:
        self.kind = kind
        self.name = name
        self.hint = hint
        super().__init__(f"no {kind} {name}" + (f"; {hint}" if hint else ""))


class RunExistsError(CallerError):
    """A run with this id was started before."""

    code = "run_already_exists"

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(f"run {run_id} exists already; resume it with: durum resume {run_id}")


class RunOwnedError(CallerError):
    """Another live worker drives the run."""

    code = "run_owned"

    def __init__(self, run_id: str, owner: str) -> None:
        self.run_id = run_id
        self.owner = owner
        super().__init__(f"run {run_id} is being driven by {owner}; wait for it or stop that process first")


class PlanChangedError(CallerError):
    """The code named for a resume no longer fits the run's log."""

    code = "plan_changed"

    def __init__(self, run_id: str, reasons: Sequence[str]) -> None:
        self.run_id = run_id
        self.reasons = tuple(reasons)
        super().__init__(f"run {run_id} cannot go on with this code: {'; '.join(self.reasons)}; resume it with the code it started on")


class ForeignStoreError(CallerError):
    """The store is no Durum store of a version this code can read; it was not touched."""

    code = "foreign_store"

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path} {reason}; it was not touched")


# --- this run's fault ---------------------------------------------------------------------------------------------------


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
    """Two states wrote one key side by side and the key declares no merge."""

    code = "context_conflict"

    def __init__(self, key: str, writers: Sequence[str]) -> None:
        self.key = key
        self.writers = tuple(writers)
        super().__init__(f"context key {key!r} was written by {' and '.join(self.writers)} side by side; order them or declare a merge")


class IoError(RunError):
    """An IO call failed, live or in replay."""

    code = "io_error"


class MissingFactKeyError(IoError):
    """Replay was asked for a call that has no fact key."""

    code = "missing_fact_key"

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        super().__init__(f"replay needs a fact key for this {namespace} call")


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
    """Whether an effect happened is not known, so it is not repeated."""

    code = "effect_unknown"

    def __init__(self, key: str, reason: str) -> None:
        self.key = key
        self.reason = reason
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


# --- the world's fault --------------------------------------------------------------------------------------------------


class StorageError(WorldError):
    """A store failed."""

    code = "storage_error"


class ConcurrencyError(StorageError):
    """An append was refused: the head moved or the epoch is stale."""

    code = "event_store_concurrency"
    retryable = False

    def __init__(self, run_id: str, expected_seq: int, actual_seq: int, epoch: int, actual_epoch: int) -> None:
        self.run_id = run_id
        self.expected_seq = expected_seq
        self.actual_seq = actual_seq
        self.epoch = epoch
        self.actual_epoch = actual_epoch
        super().__init__(
            f"run {run_id} moved on: expected head {expected_seq} in epoch {epoch}, found {actual_seq} in epoch {actual_epoch}; "
            "another worker took it over"
        )


class CorruptionError(StorageError):
    """Stored data does not match its hash or its shape."""

    code = "corruption"
    retryable = False

    def __init__(self, what: str, reason: str) -> None:
        self.what = what
        self.reason = reason
        super().__init__(f"{what} is damaged: {reason}; check the whole store with: durum verify RUN")


class StoreUnavailableError(StorageError):
    """The store cannot be opened, read or written now; whether a last write landed is checked before going on."""

    code = "store_unavailable"

    def __init__(self, store: str, reason: str) -> None:
        self.store = store
        self.reason = reason
        super().__init__(f"store {store}: {reason}")
