"""Events to bytes and back, whatever they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from durum.codec import EVENT_KINDS, Header, decode, decode_log, encode, genesis_hash, record
from durum.core import events as ev
from durum.core.canonical import canonical_json
from durum.core.failure import ErrorCategory, ErrorInfo, StateError

if TYPE_CHECKING:
    from durum.ports import StoredEvent

RUN = "00000000-0000-7000-8000-0000000000c0"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
DIGESTS = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
SEGMENTS = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)
STATES = st.builds("{}.{}.{}".format, SEGMENTS, SEGMENTS, SEGMENTS)
KEYS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.:/-]{0,30}", fullmatch=True)
FACT_KEYS = st.from_regex(r"[\x21-\x7e]{1,60}", fullmatch=True)
NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=8
)
RAW = JSON.map(lambda value: msgspec.Raw(canonical_json(value)))
INFOS = st.builds(
    ErrorInfo, category=st.sampled_from(ErrorCategory), code=SEGMENTS, details=RAW, message=TEXT, retryable=st.booleans()
)
ERRORS = st.builds(StateError, INFOS, st.none() | STATES)
OPS = st.sampled_from(["set", "delete", "append", "reduce"])
WRITES = st.none() | st.lists(st.builds(ev.Write, KEYS, RAW, OPS), max_size=4).map(tuple)
SMALL = st.integers(0, 2**31)
RUNS = st.uuids().map(str)
GATE_FIELDS = st.builds(
    ev.GateField, help=TEXT, name=TEXT, required=st.booleans(), type=st.sampled_from(["boolean", "text", "number", "json"])
)
EVENTS: dict[str, st.SearchStrategy[ev.Event]] = {
    "run.started": st.builds(ev.RunStarted, initial_snapshot_id=DIGESTS, manifest_id=DIGESTS, op_id=SEGMENTS, plan_id=DIGESTS),
    "state.entered": st.builds(ev.StateEntered, attempt=SMALL, base_snapshot_id=DIGESTS, state_id=STATES),
    "state.completed": st.builds(
        ev.StateCompleted,
        context_snapshot_id=DIGESTS,
        facts=st.none() | DIGESTS,
        input_digest=DIGESTS,
        reads=st.none() | st.lists(KEYS, max_size=4).map(tuple),
        reads_id=st.none() | DIGESTS,
        state_id=STATES,
        writes=WRITES,
        writes_id=st.none() | DIGESTS,
    ),
    "state.failed": st.builds(ev.StateFailed, error=ERRORS, failure_snapshot_id=st.none() | DIGESTS, state_id=STATES),
    "state.skipped": st.builds(
        ev.StateSkipped, cause=st.none() | STATES, reason=st.sampled_from(ev.SkipReason), state_id=STATES
    ),
    "retry.scheduled": st.builds(
        ev.RetryScheduled, attempt=SMALL, delay_ms=SMALL, due_ms=NUMBERS, jitter=NUMBERS, state_id=STATES
    ),
    "fact.recorded": st.builds(
        ev.FactRecorded,
        artifact_ids=st.lists(DIGESTS, max_size=2).map(tuple),
        begun=SMALL,
        key=FACT_KEYS,
        namespace=TEXT,
        outcome=st.sampled_from(["success", "error", "refused", "cancelled"]),
        payload_id=DIGESTS,
        request_id=st.none() | DIGESTS,
        scope=st.sampled_from(["run", "attempt"]),
    ),
    "effect.intended": st.builds(ev.EffectIntended, effect_key=TEXT, key=FACT_KEYS, namespace=TEXT, request_id=DIGESTS),
    "domain": st.builds(ev.DomainEvent, name=TEXT, payload=RAW, payload_ref=st.none() | DIGESTS),
    "code.changed": st.builds(ev.CodeChanged, plan_id=DIGESTS, steps=st.lists(STATES, max_size=3).map(tuple)),
    "effect.settled": st.builds(
        ev.EffectSettled,
        effect_key=TEXT,
        happened=st.booleans(),
        payload_id=st.none() | DIGESTS,
        request_id=DIGESTS,
        source=st.sampled_from(["answer", "reconcile"]),
    ),
    "plan.extended": st.builds(ev.PlanExtended, count=SMALL, rule=st.just("each"), state_id=STATES),
    "gate.opened": st.builds(
        ev.GateOpened,
        digest=DIGESTS,
        fields=st.lists(GATE_FIELDS, max_size=3).map(tuple),
        gate=TEXT,
        gate_kind=st.just("unknown_effect"),
        prompt=TEXT,
        request_id=DIGESTS,
        state_id=STATES,
        subject=TEXT,
    ),
    "gate.answered": st.builds(
        ev.GateAnswered, actor=TEXT, answer=RAW, answer_ref=st.none() | DIGESTS, digest=DIGESTS, gate=TEXT, reason=TEXT
    ),
    "child.spawned": st.builds(
        ev.ChildSpawned,
        child_run_id=RUNS,
        depth=st.integers(1, 20),
        inputs_id=DIGESTS,
        key=TEXT,
        op_id=st.just("child"),
        state_id=STATES,
    ),
    "child.completed": st.builds(
        ev.ChildCompleted,
        child_run_id=RUNS,
        final_snapshot_id=st.none() | DIGESTS,
        status=st.sampled_from(sorted(ev.TERMINAL_STATUSES)),
    ),
    "cancel.requested": st.builds(ev.CancelRequested, actor=TEXT, reason=TEXT),
    "run.paused": st.builds(ev.RunPaused, actor=TEXT, reason=TEXT),
    "run.resumed": st.builds(ev.RunResumed, actor=TEXT),
    "run.completed": st.builds(
        ev.RunCompleted,
        error=st.none() | ERRORS,
        final_snapshot_id=st.none() | DIGESTS,
        status=st.sampled_from(sorted(ev.TERMINAL_STATUSES)),
    ),
}


def test_every_kind_is_drawn() -> None:
    """A new kind of event cannot be forgotten here."""
    assert EVENTS.keys() == EVENT_KINDS.keys()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.one_of(*EVENTS.values()), st.none() | STATES, st.none() | SMALL), min_size=1, max_size=4))
def test_a_log_comes_back_as_it_went(events: list[tuple[ev.Event, str | None, int | None]]) -> None:
    """Every event equals itself after the round trip, its bytes are canonical JSON, and writing it again gives them again."""
    stored: list[StoredEvent] = []
    previous = genesis_hash(RUN)
    for seq, (event, state_id, attempt) in enumerate(events, start=1):
        header = Header(RUN, seq, seq, state_id, attempt, 1, "w", seq - 1)
        one = encode(event, header, previous)
        assert record(event, header, previous) == (one, decode(RUN, one, previous))
        envelope = decode(RUN, one, previous)
        assert (envelope.event, envelope.state_id, envelope.attempt) == (event, state_id, attempt)
        assert canonical_json(msgspec.json.decode(one.body)) == one.body
        assert encode(envelope.event, header, previous) == one
        stored.append(one)
        previous = one.hash
    assert [envelope.event for envelope in decode_log(RUN, stored)] == [event for event, _, _ in events]
