"""Every exception a person or a program can meet.

    DurumError
    |-- CallerError            the call is wrong: fix it and call again
    |   |-- InvalidIdError
    |   |-- CanonicalJsonError
    |   |-- SecretsDetectedError
    |   |-- InvalidInputError
    |   |-- AnswerError
    |   |-- TargetError
    |   |-- WorkflowDefinitionError
    |   |-- PlanValidationError
    |   |   |-- EmptyPlanError
    |   |   |-- DuplicateStateIdError
    |   |   |-- MissingStateForEdgeError
    |   |   |-- CircularDependencyError
    |   |   |-- DanglingDependencyTagError
    |   |   `-- SideBySideWritersError
    |   |-- ConfigError
    |   |-- NotFoundError
    |   |-- RunExistsError
    |   |-- RunOverError
    |   |-- KeyReusedError
    |   |-- RunOwnedError
    |   |-- PlanChangedError
    |   `-- ForeignStoreError
    |-- RunError               this run's fault: recorded in its log
    |   |-- StepError
    |   |-- ContextError
    |   |   |-- MissingKeyError
    |   |   |-- SerializationError
    |   |   |-- ContextConflictError
    |   |   `-- MergeError
    |   `-- IoError
    |       |-- MissingFactError
    |       |-- FactConflictError
    |       |-- EffectUnknownError
    |       |-- TransportError
    |       `-- RateLimitedError
    `-- WorldError             the machine's or a store's fault: try again
        |-- OutOfFilesError
        `-- StorageError
            |-- ConcurrencyError
            |-- CorruptionError
            `-- StoreUnavailableError

Each class has a stable ``code`` (a page section in ``docs/errors.md``) and builds its one-sentence message from its fields.
"""

from durum.errors.caller import (
    AnswerError,
    CanonicalJsonError,
    CircularDependencyError,
    ConfigError,
    DanglingDependencyTagError,
    DuplicateStateIdError,
    EmptyPlanError,
    ForeignStoreError,
    InvalidIdError,
    InvalidInputError,
    KeyReusedError,
    MissingStateForEdgeError,
    NotFoundError,
    PlanChangedError,
    PlanValidationError,
    RunExistsError,
    RunOverError,
    RunOwnedError,
    SecretsDetectedError,
    SideBySideWritersError,
    TargetError,
    WorkflowDefinitionError,
)
from durum.errors.roots import (
    CallerError,
    DurumError,
    RunError,
    WorldError,
)
from durum.errors.run import (
    ContextConflictError,
    ContextError,
    EffectUnknownError,
    FactConflictError,
    IoError,
    MergeError,
    MissingFactError,
    MissingKeyError,
    RateLimitedError,
    SerializationError,
    StepError,
    TransportError,
)
from durum.errors.world import (
    ConcurrencyError,
    CorruptionError,
    OutOfFilesError,
    StorageError,
    StoreUnavailableError,
)

__all__ = [
    "AnswerError",
    "CallerError",
    "CanonicalJsonError",
    "CircularDependencyError",
    "ConcurrencyError",
    "ConfigError",
    "ContextConflictError",
    "ContextError",
    "CorruptionError",
    "DanglingDependencyTagError",
    "DuplicateStateIdError",
    "DurumError",
    "EffectUnknownError",
    "EmptyPlanError",
    "FactConflictError",
    "ForeignStoreError",
    "InvalidIdError",
    "InvalidInputError",
    "IoError",
    "KeyReusedError",
    "MergeError",
    "MissingFactError",
    "MissingKeyError",
    "MissingStateForEdgeError",
    "NotFoundError",
    "OutOfFilesError",
    "PlanChangedError",
    "PlanValidationError",
    "RateLimitedError",
    "RunError",
    "RunExistsError",
    "RunOverError",
    "RunOwnedError",
    "SecretsDetectedError",
    "SerializationError",
    "SideBySideWritersError",
    "StepError",
    "StorageError",
    "StoreUnavailableError",
    "TargetError",
    "TransportError",
    "WorkflowDefinitionError",
    "WorldError",
]
