"""What people and machines look at: summaries, states, facts and the graph, each a fold of the log into another shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from durum.core import events as ev
from durum.core.canonical import decode_json
from durum.core.digests import log_digest, semantic_digest
from durum.core.failure import EFFECT_UNKNOWN
from durum.core.gates import address
from durum.core.manifest import Parent
from durum.core.run_state import StateStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durum.core.canonical import JsonObject, JsonValue
    from durum.core.failure import StateError
    from durum.core.manifest import RunManifest
    from durum.core.run_plan import RunPlan
    from durum.core.run_state import Progress, RunState
    from durum.engine.recovery import LoadedRun
    from durum.errors import CorruptionError
    from durum.ports import Head


INTERRUPTED = ev.RunStatus.INTERRUPTED.value
QUARANTINED = "quarantined"
_UNDER_WAY = frozenset({StateStatus.READY, StateStatus.RUNNING, StateStatus.RETRYING, StateStatus.AWAITING_ANSWER})


def rests_on_children(state: RunState) -> bool:
    """Tell whether a run can do nothing before its child runs can."""
    return bool(state.children) and state.status() is ev.RunStatus.WAITING and not state.waiting


def summary(state: RunState, manifest: RunManifest, *, owner_alive: bool, below: Sequence[str] = ()) -> JsonObject:
    """Return a run on one page: ``interrupted`` is a run that resuming would bring on, and that has no living owner.

    Before anything began in such a run, it is ``pending``.

    ``below`` are the statuses of its open children, of a run that rests on them: it goes by what they do.
    """
    status = state.status()
    if status in {ev.RunStatus.RUNNING, ev.RunStatus.WAITING} and not owner_alive:
        status = ev.RunStatus.PENDING if state.seq == 1 else _status_by_children(below)
    counts: dict[str, JsonValue] = {}
    for progress in state.states:
        word = _shown(state, progress, owner_alive=owner_alive)
        counts[word] = int(str(counts.get(word, 0))) + 1
    completed = state.completed
    return {
        "run_id": state.run_id,
        "status": status_word(state, status),
        "op_id": state.plan.op_id,
        "op_version": manifest.op_version,
        "head_seq": state.seq,
        "head_hash": state.hash,
        "final_snapshot_id": None if completed is None else completed.final_snapshot_id,
        "semantic_digest": semantic_digest(state),
        "log_digest": log_digest(state),
        "error": run_error(state),
        "paused": paused(state),
        "gates": [gate_json(state, gate) for gate in state.gates.values()],
        "children": [*state.children],
        "parent": manifest.parent.run_id if isinstance(manifest.parent, Parent) else None,
        "driven": owner_alive,
        "states": counts,
        "started_ms": state.started_ms,
        "updated_ms": state.updated_ms,
    }


def status_word(state: RunState, status: ev.RunStatus | None = None) -> str:
    """Return how a run stands as people read it: a pause by the engine itself has a word of its own."""
    status = status or state.status()
    stopped = status is ev.RunStatus.PAUSED and state.paused is not None and state.paused.quarantined
    return QUARANTINED if stopped else status.value


def _status_by_children(below: Sequence[str]) -> ev.RunStatus:
    known = {ev.RunStatus.PAUSED, QUARANTINED, ev.RunStatus.RUNNING, ev.RunStatus.WAITING}
    if not below or not known.issuperset(below):  # one of them is over or let go: resuming takes that up
        return ev.RunStatus.INTERRUPTED
    return ev.RunStatus.PAUSED if {*below} <= {ev.RunStatus.PAUSED, QUARANTINED} else ev.RunStatus.WAITING


def paused(state: RunState) -> str | None:
    """Return who paused a run and why, or what it waits for; None if it does not wait for anybody."""
    if state.paused is not None:
        said = f": {state.paused.reason}" if state.paused.reason else ""
        if state.paused.quarantined:
            return f"quarantined{said}"
        return f"paused by {state.paused.actor}{said}"
    return "; ".join(gate.prompt for gate in state.gates.values()) or None


def gates(run: LoadedRun) -> list[JsonObject]:
    """Return the open gates of a run; one that is over waits for nobody."""
    return [] if run.state.over else [gate_json(run.state, gate) for gate in run.state.gates.values()]


def gate_json(state: RunState, gate: ev.GateOpened) -> JsonObject:
    """Return an open gate as ``durum gates`` prints it; ``gate`` is what to type to answer it."""
    fields: list[JsonValue] = [*msgspec.to_builtins(gate.fields)]
    return {
        "run_id": state.run_id,
        "gate": address(gate),
        "kind": gate.gate_kind,
        "state_id": gate.state_id,
        "path": state.plan.node(gate.state_id).path,
        "prompt": gate.prompt,
        "fields": fields,
        "digest": gate.digest,
        "subject": gate.subject,
        "request_id": gate.request_id,
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
        kind, data = event.name, bytes(event.body)
    else:
        kind, data = event.kind, msgspec.json.encode(event)
    fields = decode_json(data)  # a large float comes back as one, not as an integer that no JSON of ours may hold
    body: JsonObject = {"kind": kind, **(fields if isinstance(fields, dict) else {"body": fields})}
    body["kind"] = kind  # whatever an event of a later version calls its fields
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


def _shown(state: RunState, progress: Progress, *, owner_alive: bool) -> str:
    """Return how a state stands in its run: nothing goes on in one that is over, or that nobody drives."""
    if state.over and progress.status in _UNDER_WAY:
        return StateStatus.CANCELLED.value
    if progress.status is StateStatus.RUNNING and not owner_alive:
        return INTERRUPTED
    return progress.status.value


def _shown_error(progress: Progress) -> JsonValue:
    """Return a state's latest failure, unless it got over it: it completed, or its question was answered."""
    error, status = progress.error, progress.status
    if error is None or status is StateStatus.COMPLETED:
        return None
    answered = error.info.code == EFFECT_UNKNOWN and status in {StateStatus.READY, StateStatus.RUNNING}
    return None if answered else error_json(error)


def states(run: LoadedRun, *, owner_alive: bool) -> list[JsonObject]:
    """Return every state of a run in declaration order, with its attempts timed by the log's informational clock."""
    times = _attempt_times(run)
    plan = run.state.plan
    waves = plan.waves
    rows: list[JsonObject] = []
    for position in sorted(range(len(plan.nodes)), key=plan.precedence):
        node, progress = plan.nodes[position], run.state.states[position]
        begun = times.get(node.id, [])
        rows.append(
            {
                "state_id": node.id,
                "path": node.path,
                "wave": waves[position],
                "status": _shown(run.state, progress, owner_alive=owner_alive),
                "attempts": progress.attempt + 1,
                "max_attempts": run.state.policy(position).max_attempts,
                "duration_ms": sum(end - start for start, end in begun if end is not None) or (0 if begun else None),
                "due_ms": progress.due_ms,
                "deps": [plan.nodes[dep].id for dep in plan.deps[position]],
                "writes": [write.key for write in progress.writes],
                "facts": len(progress.facts),
                "snapshot_id": progress.snapshot_id,
                "error": _shown_error(progress),
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


def graph(plan: RunPlan, state: RunState | None = None, *, owner_alive: bool = False) -> list[JsonObject]:
    """Return the plan by waves: ``[{wave, states: [{state_id, deps, status?, ...}]}]``."""
    waves: dict[int, list[JsonValue]] = {}
    layers = plan.waves
    for position in plan.order:
        node = plan.nodes[position]
        row: JsonObject = {
            "state_id": node.id,
            "path": node.path,
            "deps": list(node.deps),
            "tags": list(node.meta.tags),
            "effects": node.meta.side_effects.value,
            "writes": list(node.writes),
        }
        if state is not None:
            row["status"] = _shown(state, state.states[position], owner_alive=owner_alive)
        waves.setdefault(layers[position], []).append(row)
    return [{"wave": wave, "states": waves[wave]} for wave in sorted(waves)]


def snapshot_at(run: LoadedRun, seq: int | None) -> str:
    """Return the id of the context as of an event: the last snapshot a boundary up to ``seq`` made durable.

    Just at a failure whose state keeps what it had staged it is that; no later event goes on from there.
    """
    latest = ""
    for envelope in run.envelopes:
        if seq is not None and envelope.seq > seq:
            break
        match envelope.event:
            case ev.RunStarted(initial_snapshot_id=identity):
                latest = identity
            case ev.StateFailed(failure_snapshot_id=identity) if identity is not None and envelope.seq == seq:
                latest = identity
            case ev.StateCompleted(context_snapshot_id=identity):
                latest = identity
            case ev.RunCompleted(final_snapshot_id=identity) if identity is not None:
                latest = identity
    return latest
