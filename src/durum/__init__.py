"""Durable agent workflows: every run resumable, replayable, provable; one SQLite file."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from durum.public import (
        DependencyEdge,
        Durum,
        DurumError,
        DynContext,
        EventRecorder,
        ExecResult,
        ExecutionPlan,
        Happened,
        HttpResponse,
        Io,
        IoCall,
        IoProvider,
        IoResult,
        RateLimitedError,
        Retry,
        RunConfig,
        Secret,
        SideEffectKind,
        State,
        StateMeta,
        StateNode,
        StateOutcome,
        StepError,
        StoredFile,
        Transport,
        TransportCall,
        TransportError,
        UnknownEffect,
        Watcher,
        Workflow,
        canonical_json,
        digest,
        open,  # noqa: A004 - durum.open reads as what it does
    )

__all__ = [
    "DependencyEdge",
    "Durum",
    "DurumError",
    "DynContext",
    "EventRecorder",
    "ExecResult",
    "ExecutionPlan",
    "Happened",
    "HttpResponse",
    "Io",
    "IoCall",
    "IoProvider",
    "IoResult",
    "RateLimitedError",
    "Retry",
    "RunConfig",
    "Secret",
    "SideEffectKind",
    "State",
    "StateMeta",
    "StateNode",
    "StateOutcome",
    "StepError",
    "StoredFile",
    "Transport",
    "TransportCall",
    "TransportError",
    "UnknownEffect",
    "Watcher",
    "Workflow",
    "canonical_json",
    "digest",
    "open",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        message = f"module 'durum' has no attribute {name!r}"
        raise AttributeError(message)
    from durum import public  # noqa: PLC0415 - at the first use of a name

    value: object = getattr(public, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
