"""Durable agent workflows: every run resumable, replayable, provable; one SQLite file."""

from durum.app.service import Durum
from durum.app.service import open_store as open  # noqa: A004 - durum.open reads as what it does
from durum.core.canonical import canonical_json, digest
from durum.core.config import RunConfig
from durum.core.meta import StateMeta
from durum.core.plan import DependencyEdge, ExecutionPlan, StateNode
from durum.core.state import IoCall, State, StateOutcome
from durum.engine.engine import Watcher
from durum.engine.io import ExecResult, HttpResponse, Io, Secret
from durum.errors import DurumError, RateLimitedError, StepError, TransportError
from durum.workflow.authoring import Workflow
from durum.workflow.retry import Retry

__all__ = [
    "DependencyEdge",
    "Durum",
    "DurumError",
    "ExecResult",
    "ExecutionPlan",
    "HttpResponse",
    "Io",
    "IoCall",
    "RateLimitedError",
    "Retry",
    "RunConfig",
    "Secret",
    "State",
    "StateMeta",
    "StateNode",
    "StateOutcome",
    "StepError",
    "TransportError",
    "Watcher",
    "Workflow",
    "canonical_json",
    "digest",
    "open",
]
