"""Payloads of the seed's standard domain events that the engine does not need (seed 002, ``events``).

The names are reserved; ``fact_recorded`` is an event of its own kind (``core.events.FactRecorded``).
"""

from __future__ import annotations

import msgspec

from durum.core.artifact_kind import ArtifactKind
from durum.core.events import RunStatus
from durum.core.ids import ArtifactIdField, OpPathField, RunIdField


class ArtifactWritten(msgspec.Struct, frozen=True):
    """An artifact was kept; ``meta`` is JSON the operation defines."""

    artifact_id: ArtifactIdField
    kind: ArtifactKind
    meta: msgspec.Raw


class OpBoundary(msgspec.Struct, frozen=True):
    """A nested operation reached a phase, such as "started" or "completed"."""

    op_path: OpPathField
    phase: str


class ChildRunSpawned(msgspec.Struct, frozen=True):
    """A run started another."""

    parent_run_id: RunIdField
    child_run_id: RunIdField
    child_manifest_id: ArtifactIdField


class ChildRunCompleted(msgspec.Struct, frozen=True):
    """A child run ended."""

    child_run_id: RunIdField
    status: RunStatus
    final_snapshot_id: ArtifactIdField | None = None
