"""The public names, gathered; ``durum`` hands them out at their first use, so that importing it costs next to nothing."""

from durum.app.service import Durum
from durum.app.service import open_store as open  # noqa: A004 - durum.open reads as what it does
from durum.core.canonical import canonical_json, digest
from durum.core.config import RunConfig
from durum.core.meta import SideEffectKind, StateMeta
from durum.core.plan import DependencyEdge, ExecutionPlan, StateNode
from durum.core.state import (
    DynContext,
    EventRecorder,
    Happened,
    IoCall,
    IoProvider,
    IoResult,
    State,
    StateOutcome,
    UnknownEffect,
)
from durum.engine.engine import Watcher
from durum.engine.io import ExecResult, HttpResponse, Io
from durum.engine.secret_values import Secret
from durum.errors import DurumError, RateLimitedError, StepError, TransportError
from durum.ports import StoredFile, Transport, TransportCall
from durum.workflow.authoring import Workflow
from durum.workflow.retry import Retry

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
