"""What happens in a run, one class per event; tag, fields and meaning are a stored format (docs/decisions/0002).

Field names stand in alphabetical order, so that encoding a struct gives canonical JSON without sorting.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

import msgspec

from durum.core.failure import StateError
from durum.core.ids import ArtifactIdField, ContextKeyField, FactKeyField, OpIdField, RunIdField, StateIdField

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
WriteOp = Literal["set", "delete", "append", "reduce"]
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


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
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


class Write(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One key a state wrote. ``entry`` is its snapshot-tree entry as canonical JSON, ``null`` for a delete.

    With ``op`` "append" the entry is that of the items added, with "reduce" that of the contribution; the value they came to is
    in the snapshots.
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


class EffectSettled(Event, frozen=True, kw_only=True):
    """What became of an effect whose outcome was unknown; ``payload_id`` records its result if it happened.

    ``request_id`` is the request it is settled for: the same effect with another request stays a question.
    """

    kind = "effect.settled"

    effect_key: str
    happened: bool
    payload_id: ArtifactIdField | None = None
    request_id: ArtifactIdField
    source: Literal["answer", "reconcile"]


class PlanExtended(Event, frozen=True, kw_only=True):
    """A state found what to run next: ``count`` items under the rule its node in the plan holds."""

    kind = "plan.extended"

    count: Annotated[int, msgspec.Meta(ge=0)]
    rule: Literal["each"]
    state_id: StateIdField


class GateField(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One field of a gate's answer; ``type`` is "boolean", "text", "number" or "json".

    ``needed_if`` names a boolean field: if that is true, this one cannot be left out.
    """

    help: str
    name: str
    needed_if: str = ""
    required: bool
    type: Literal["boolean", "text", "number", "json"]


class GateOpened(Event, frozen=True, kw_only=True):
    """The state ``state_id`` waits for an answer. ``digest`` is that of what is shown, so an answer counts for just that.

    ``subject`` is what the gate is about: for the kind "unknown_effect" the effect's key.
    """

    kind = "gate.opened"

    digest: ArtifactIdField
    fields: tuple[GateField, ...]
    gate: str
    gate_kind: Literal["unknown_effect"]
    prompt: str
    request_id: ArtifactIdField
    state_id: StateIdField
    subject: str


class GateAnswered(Event, frozen=True, kw_only=True):
    """Somebody answered a gate; the state behind it may go on."""

    kind = "gate.answered"

    actor: str
    answer: msgspec.Raw  # JSON object; null if it stands in ``answer_ref``
    answer_ref: ArtifactIdField | None = None
    digest: ArtifactIdField
    gate: str
    reason: str = ""


class ChildSpawned(Event, frozen=True, kw_only=True):
    """A state started a run of its own; the state its node names waits for it to end."""

    kind = "child.spawned"

    child_run_id: RunIdField
    depth: Annotated[int, msgspec.Meta(ge=1)]  # 1: its parent has no parent
    inputs_id: ArtifactIdField
    key: str  # with the parent's id it gives the child's
    op_id: OpIdField
    state_id: StateIdField


class ChildCompleted(Event, frozen=True, kw_only=True):
    """A child run is over, and what waited for it may go on."""

    kind = "child.completed"

    child_run_id: RunIdField
    final_snapshot_id: ArtifactIdField | None = None
    status: RunStatus


class CancelRequested(Event, frozen=True, kw_only=True):
    """Somebody wants the run to end: nothing more is entered, what is under way is cancelled."""

    kind = "cancel.requested"

    actor: str
    reason: str = ""


class RunPaused(Event, frozen=True, kw_only=True):
    """Somebody wants the run to stop at its next boundary: nothing more is entered until it is resumed."""

    kind = "run.paused"

    actor: str
    quarantined: bool = False  # by the engine: whoever drove it died again and again
    reason: str = ""


class RunResumed(Event, frozen=True, kw_only=True):
    """Somebody let a paused run go on."""

    kind = "run.resumed"

    actor: str


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


class Envelope(msgspec.Struct, frozen=True, gc=False):
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
