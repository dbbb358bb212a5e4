"""What happens in a run, one class per event; tag, fields and meaning are a stored format (docs/decisions/0002).

Field names stand in alphabetical order, so that encoding a struct gives canonical JSON without sorting.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

import msgspec

from durum.core.failure import StateError
from durum.core.ids import ArtifactIdField, ContextKeyField, FactKeyField, OpIdField, StateIdField

FACT_RECORDED = "fact_recorded"
ARTIFACT_WRITTEN = "artifact_written"
OP_BOUNDARY = "op_boundary"
CHILD_RUN_SPAWNED = "child_run_spawned"
CHILD_RUN_COMPLETED = "child_run_completed"
RESERVED_EVENT_NAMES = frozenset({FACT_RECORDED, ARTIFACT_WRITTEN, OP_BOUNDARY, CHILD_RUN_SPAWNED, CHILD_RUN_COMPLETED})

INLINE_KEYS = 32
"""Most keys an event lists; beyond that it carries their digest and count, and the snapshots tell the rest."""

INLINE_PAYLOAD_BYTES = 16 * 1024
"""Longest payload of a domain event that stands in the log; a longer one is an artifact. Kernel events stay under 32 KiB."""

Attempt = Annotated[int, msgspec.Meta(ge=0)]
WriteOp = Literal["set", "delete", "append"]
FactScope = Literal["run", "attempt"]
FactOutcome = Literal["success", "error", "refused", "cancelled"]


class RunStatus(StrEnum):
    """Where a run stands, derived from its log (semantics.md 6.1)."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    INTERRUPTED = "interrupted"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    COMPENSATED = "compensated"
    PARTIALLY_COMPENSATED = "partially_compensated"


TERMINAL_STATUSES = frozenset(
    {RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.COMPENSATED, RunStatus.PARTIALLY_COMPENSATED}
)


class SkipReason(StrEnum):
    """Why a state was not executed."""

    TAG = "tag"  # the run's skip_tags; dependents go on
    UPSTREAM = "upstream"  # something it depends on failed; dependents are skipped too
    FAIL_FAST = "fail_fast"  # another state failed and the run stops at the first failure


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every event class derives from. ``kind`` is the stored tag, ``version`` the stored shape's version."""

    kind: ClassVar[str]
    version: ClassVar[int] = 1


class RunStarted(Event, frozen=True, kw_only=True):
    """A run exists: what it is, its plan and the context it starts from."""

    kind = "run.started"

    initial_snapshot_id: ArtifactIdField
    manifest_id: ArtifactIdField
    op_id: OpIdField
    plan_id: ArtifactIdField


class StateEntered(Event, frozen=True, kw_only=True):
    """An attempt of a state began from ``base_snapshot_id``; attempts count from 0."""

    kind = "state.entered"

    attempt: Attempt
    base_snapshot_id: ArtifactIdField
    state_id: StateIdField


class Write(msgspec.Struct, frozen=True, array_like=True):
    """One key a state wrote. ``entry`` is its snapshot-tree entry as canonical JSON, ``null`` for a delete.

    With ``op`` "append" the entry is that of the items added; the value they were added to is in the base snapshot.
    """

    key: ContextKeyField
    entry: msgspec.Raw
    op: WriteOp


class StateCompleted(Event, frozen=True, kw_only=True):
    """An attempt succeeded; its writes are in ``context_snapshot_id``.

    ``reads`` and ``writes`` list what was read and written while that is at most 32 keys; past that the list is None and
    ``reads_id`` or ``writes_id`` names the artifact that holds it. ``facts`` is the digest of the sorted (key, payload id)
    pairs the attempt used.
    """

    kind = "state.completed"

    context_snapshot_id: ArtifactIdField
    facts: ArtifactIdField | None = None
    input_digest: ArtifactIdField
    reads: tuple[ContextKeyField, ...] | None = ()
    reads_id: ArtifactIdField | None = None
    state_id: StateIdField
    writes: tuple[Write, ...] | None = ()
    writes_id: ArtifactIdField | None = None


class StateFailed(Event, frozen=True, kw_only=True):
    """An attempt failed; the checkpoint stays where it was. The failure snapshot is for diagnosis only."""

    kind = "state.failed"

    error: StateError
    failure_snapshot_id: ArtifactIdField | None = None
    state_id: StateIdField


class StateSkipped(Event, frozen=True, kw_only=True):
    """A state will not be executed; ``cause`` is the state whose failure it follows from."""

    kind = "state.skipped"

    cause: StateIdField | None = None
    reason: SkipReason
    state_id: StateIdField


class RetryScheduled(Event, frozen=True, kw_only=True):
    """``attempt`` of a state may begin at ``due_ms`` (Unix epoch); ``jitter`` is the share of the delay chance added."""

    kind = "retry.scheduled"

    attempt: Attempt
    delay_ms: int
    due_ms: int
    jitter: int  # parts per million, so that the event holds no float
    state_id: StateIdField


class FactRecorded(Event, frozen=True, kw_only=True):
    """The outcome of an IO call is bound to a key: the seed's ``fact_recorded`` domain event, written by the engine only.

    ``scope`` "run" binds for every attempt, "attempt" within the attempt that recorded it. ``outcome`` "refused" is an error
    that came before anything was done outside; "cancelled" a call whose answer the step did not wait for. ``begun`` counts the
    calls the attempt had made by then: replay answers this one no sooner, so calls side by side meet in the same order.
    ``artifact_ids`` names what the call streamed into the store beside its outcome.
    """

    kind = "fact.recorded"

    artifact_ids: tuple[ArtifactIdField, ...] = ()
    begun: int = 1
    key: FactKeyField
    namespace: str
    outcome: FactOutcome
    payload_id: ArtifactIdField
    request_id: ArtifactIdField | None = None
    scope: FactScope


class EffectIntended(Event, frozen=True, kw_only=True):
    """An effect is about to be tried. Without a fact after it, whether it happened is unknown."""

    kind = "effect.intended"

    effect_key: str
    key: FactKeyField
    namespace: str
    request_id: ArtifactIdField


class DomainEvent(Event, frozen=True, kw_only=True):
    """Something a step reports. A payload over the inline limit is an artifact, named by ``payload_ref``."""

    kind = "domain"

    name: str
    payload: msgspec.Raw
    payload_ref: ArtifactIdField | None = None


class CodeChanged(Event, frozen=True, kw_only=True):
    """A resume brought code that differs from what ran before; ``plan_id`` is the plan from here on."""

    kind = "code.changed"

    plan_id: ArtifactIdField
    steps: tuple[StateIdField, ...]


class RunPaused(Event, frozen=True, kw_only=True):
    """The run waits for a person: ``detail`` says what must be decided of the effect ``effect_key``."""

    kind = "run.paused"

    detail: str
    effect_key: str
    reason: str
    state_id: StateIdField


class RunResumed(Event, frozen=True, kw_only=True):
    """A person let the run go on; ``decision`` "repeat" lets the effect ``effect_key`` be tried again."""

    kind = "run.resumed"

    decision: Literal["repeat"]
    effect_key: str


class RunCompleted(Event, frozen=True, kw_only=True):
    """The run is over. ``final_snapshot_id`` is the causal join of its sinks; None if nothing completed."""

    kind = "run.completed"

    error: StateError | None = None  # a failure of the run itself, such as sinks that cannot be joined
    final_snapshot_id: ArtifactIdField | None = None
    status: RunStatus


class UnknownEvent(Event, frozen=True, kw_only=True):
    """An event of a kind this version does not know: kept byte for byte, ignored by fold."""

    kind = ""

    body: msgspec.Raw
    name: str  # the stored kind


class Envelope(msgspec.Struct, frozen=True):
    """An event in its place in a log."""

    run_id: str
    seq: int  # 1-based and contiguous
    ts_millis: int  # informational; nothing is decided by it
    event: Event
    state_id: str | None
    attempt: int | None
    epoch: int
    writer: str  # which process appended it
    prev_hash: str
    hash: str
    branch: int = 0
