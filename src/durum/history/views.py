"""What people and machines look at: summaries, states, facts and the graph, each a fold of the log into another shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from durum.core import events as ev
from durum.core.canonical import decode_json
from durum.core.digests import log_digest, semantic_digest
from durum.core.fold import StateStatus

if TYPE_CHECKING:
    from durum.core.canonical import JsonObject, JsonValue
    from durum.core.failure import StateError
    from durum.core.fold import RunState
    from durum.core.plan import PlanShape
    from durum.engine.recovery import LoadedRun
    from durum.errors import CorruptionError
    from durum.ports import Head


def summary(run: LoadedRun, *, owner_alive: bool) -> JsonObject:
    """Return a run on one page: ``interrupted`` is a run that is not over and has no living owner."""
    state = run.state
    status = state.status()
    if status in {ev.RunStatus.RUNNING, ev.RunStatus.WAITING} and not owner_alive:
        status = ev.RunStatus.INTERRUPTED
    counts: dict[str, JsonValue] = {}
    for progress in state.states:
        counts[progress.status.value] = int(str(counts.get(progress.status.value, 0))) + 1
    completed = state.completed
    return {
        "run_id": state.run_id,
        "status": status.value,
        "op_id": state.plan.op_id,
        "op_version": run.manifest.op_version,
        "head_seq": state.seq,
        "head_hash": state.hash,
        "final_snapshot_id": None if completed is None else completed.final_snapshot_id,
        "semantic_digest": semantic_digest(state),
        "log_digest": log_digest(state),
        "error": run_error(state),
        "paused": None if state.paused is None else state.paused.detail,
        "paused_effect": None if state.paused is None else state.paused.effect_key,
        "states": counts,
        "started_ms": run.envelopes[0].ts_millis,
        "updated_ms": run.envelopes[-1].ts_millis,
    }


def damaged(head: Head, error: CorruptionError) -> JsonObject:
    """Return the summary of a run whose record cannot be read: what its head still tells."""
    return {
        "run_id": head.run_id,
        "status": "damaged",
        "op_id": None,
        "head_seq": head.seq,
        "head_hash": head.hash.hex(),
        "final_snapshot_id": None,
        "semantic_digest": None,
        "error": {"state_id": None, "code": error.code, "message": str(error), "details": None},
        "states": {},
        "started_ms": head.created_ms,
        "updated_ms": None,
    }


def run_error(state: RunState) -> JsonValue:
    """Return why a run failed: the run's own error, else that of the first state that failed for good."""
    if state.completed is not None and state.completed.error is not None:
        return error_json(state.completed.error)
    failed = state.failed
    error = None if failed is None else state.states[failed].error
    return None if error is None else error_json(error)


def error_json(error: StateError) -> JsonObject:
    """Return a failure as JSON."""
    info = error.info
    return {
        "state_id": error.state_id,
        "code": info.code,
        "category": info.category.value,
        "message": info.message,
        "retryable": info.retryable,
        "details": decode_json(bytes(info.details)),
    }


def envelope_json(envelope: ev.Envelope) -> JsonObject:
    """Return an envelope as ``durum events`` prints it: the event's own fields stand in ``event`` beside its ``kind``."""
    event = envelope.event
    if isinstance(event, ev.UnknownEvent):
        body: JsonObject = {"kind": event.name, **msgspec.json.decode(event.body)}
    else:
        body = {"kind": event.kind, **msgspec.json.decode(msgspec.json.encode(event))}
    return {
        "run_id": envelope.run_id,
        "seq": envelope.seq,
        "ts_millis": envelope.ts_millis,
        "branch": envelope.branch,
        "state_id": envelope.state_id,
        "attempt": envelope.attempt,
        "epoch": envelope.epoch,
        "writer": envelope.writer,
        "hash": envelope.hash,
        "prev_hash": envelope.prev_hash,
        "event": body,
    }


def states(run: LoadedRun) -> list[JsonObject]:
    """Return every state of a run in declaration order, with its attempts timed by the log's informational clock."""
    times = _attempt_times(run)
    rows: list[JsonObject] = []
    for position, node in enumerate(run.state.plan.nodes):
        progress = run.state.states[position]
        begun = times.get(node.id, [])
        rows.append(
            {
                "state_id": node.id,
                "wave": run.state.plan.waves[position],
                "status": progress.status.value,
                "attempts": progress.attempt + 1,
                "max_attempts": run.state.policy(position).max_attempts,
                "duration_ms": sum(end - start for start, end in begun if end is not None) or (0 if begun else None),
                "due_ms": progress.due_ms,
                "deps": list(node.deps),
                "writes": [write.key for write in progress.writes],
                "facts": len(progress.facts),
                "snapshot_id": progress.snapshot_id,
                "error": None
                if progress.error is None or progress.status is StateStatus.COMPLETED
                else error_json(progress.error),
                "skipped": None if progress.skip is None else progress.skip.reason.value,
            }
        )
    return rows


def _attempt_times(run: LoadedRun) -> dict[str, list[tuple[int, int | None]]]:
    times: dict[str, list[tuple[int, int | None]]] = {}
    for envelope in run.envelopes:
        match envelope.event:
            case ev.StateEntered(state_id=state_id):
                times.setdefault(state_id, []).append((envelope.ts_millis, None))
            case ev.StateCompleted(state_id=state_id) | ev.StateFailed(state_id=state_id):
                times[state_id][-1] = (times[state_id][-1][0], envelope.ts_millis)
    return times


def facts(run: LoadedRun) -> list[JsonObject]:
    """Return every recorded fact in log order."""
    rows: list[JsonObject] = []
    for envelope in run.envelopes:
        event = envelope.event
        if isinstance(event, ev.FactRecorded):
            rows.append(
                {
                    "seq": envelope.seq,
                    "state_id": envelope.state_id,
                    "attempt": envelope.attempt,
                    "namespace": event.namespace,
                    "outcome": event.outcome,
                    "scope": event.scope,
                    "key": event.key,
                    "payload_id": event.payload_id,
                    "request_id": event.request_id,
                }
            )
    return rows


def graph(plan: PlanShape, state: RunState | None = None) -> list[JsonObject]:
    """Return the plan by waves: ``[{wave, states: [{state_id, deps, status?, ...}]}]``."""
    waves: dict[int, list[JsonValue]] = {}
    for position in plan.order:
        node = plan.nodes[position]
        row: JsonObject = {
            "state_id": node.id,
            "deps": list(node.deps),
            "tags": list(node.meta.tags),
            "effects": node.meta.side_effects.value,
            "writes": list(node.writes),
        }
        if state is not None:
            row["status"] = state.states[position].status.value
        waves.setdefault(plan.waves[position], []).append(row)
    return [{"wave": wave, "states": waves[wave]} for wave in sorted(waves)]


def snapshot_at(run: LoadedRun, seq: int | None) -> str:
    """Return the id of the context as of an event: the last snapshot a boundary up to ``seq`` made durable."""
    latest = ""
    for envelope in run.envelopes:
        if seq is not None and envelope.seq > seq:
            break
        match envelope.event:
            case ev.RunStarted(initial_snapshot_id=identity):
                latest = identity
            case ev.StateCompleted(context_snapshot_id=identity):
                latest = identity
            case ev.RunCompleted(final_snapshot_id=identity) if identity is not None:
                latest = identity
    return latest
