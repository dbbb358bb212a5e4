"""Replay without a single live call: the log folded and checked, or every recorded attempt executed again from the record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from durum.core import events as ev
from durum.core.canonical import JsonObject, JsonValue, canonical_json, decode_json, normalized
from durum.core.diff import differences
from durum.core.facts import FactIndex
from durum.core.failure import (
    CHILD_TOO_DEEP,
    CONTEXT_CONFLICT,
    EFFECT_UNKNOWN,
    INVALID_EXTENSION,
    MERGE_FAILED,
    ORPHAN_ATTEMPT_RECOVERED,
    RUN_CANCELLED,
    SECRETS_DETECTED,
    STEP_TIMEOUT,
)
from durum.core.merges import Merges
from durum.core.meta import SideEffectKind
from durum.core.replay import Divergence, plan_divergence
from durum.core.run_plan import RunPlan
from durum.core.state import Child, Items
from durum.engine.attempt import DomainEvents, Executed, execute
from durum.engine.context import ContextOverlay
from durum.engine.replay_io import ReplayIo
from durum.engine.snapshots import Snapshots
from durum.history.divergence import diverged, other_reads, other_writes, same_message, shown
from durum.history.joins import check_joins
from durum.history.walk import walk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from durum.core.plan import ExecutionPlan
    from durum.engine.artifacts import ArtifactReader
    from durum.engine.recovery import LoadedRun
    from durum.history.verify import Examined

_NOT_REPEATABLE = frozenset(
    {
        CHILD_TOO_DEEP,
        CONTEXT_CONFLICT,
        EFFECT_UNKNOWN,
        INVALID_EXTENSION,
        MERGE_FAILED,
        ORPHAN_ATTEMPT_RECOVERED,
        RUN_CANCELLED,
        SECRETS_DETECTED,
        STEP_TIMEOUT,
    }
)
_SHORTEST_PATIENCE_MS = 60_000


class ReplayResult(msgspec.Struct, frozen=True):
    """How a replay ended."""

    mode: str
    final_snapshot_id: str | None
    attempts: int  # executed again
    passed_over: int  # attempts the engine itself ended: nothing to repeat
    divergence: Divergence | None
    run_id: str
    live_calls: int = 0  # no transport exists in replay

    def to_json(self) -> JsonObject:
        """Return the result as JSON."""
        return {
            "result": "same" if self.divergence is None else "diverged",
            "run_id": self.run_id,
            "mode": self.mode,
            "live_calls": self.live_calls,
            "final_snapshot_id": self.final_snapshot_id,
            "attempts": self.attempts,
            "passed_over": self.passed_over,
            "divergence": None if self.divergence is None else self.divergence.to_json(),
        }


class Recorded(msgspec.Struct):
    """One attempt as the log has it."""

    entered: ev.Envelope
    facts: list[ev.FactRecorded] = []
    events: list[ev.DomainEvent] = []
    extension: ev.PlanExtended | ev.ChildSpawned | None = None


def folded(found: Examined, mode: str) -> ReplayResult:
    """Return what a replay comes to without executing anything: the record is damaged, strays, or is as it should be."""
    result, run = found.result, found.run
    if run is None:
        assert result.first_bad is not None
        bad = result.first_bad
        damage = Divergence("record", None, None, bad.seq, f"{bad.what}: {bad.reason}")
        return ReplayResult(mode, None, 0, 0, damage, result.run_id)
    return ReplayResult(mode, _final_snapshot_id(run), 0, 0, found.stray, result.run_id)


def _final_snapshot_id(run: LoadedRun) -> str | None:
    return None if run.state.completed is None else run.state.completed.final_snapshot_id


async def reproduce(
    found: Examined, plan: ExecutionPlan, reader: ArtifactReader, watch: Callable[[str, int], None] | None = None
) -> ReplayResult:
    """Execute every recorded attempt of a whole record again, from its base with its outcomes, and compare."""
    if found.run is None:
        return folded(found, "reproduce")
    return await _Reproduction(found.run, plan, reader, watch).run(found.stray)


class _Reproduction:
    """One walk over a log."""

    def __init__(
        self, run: LoadedRun, plan: ExecutionPlan, reader: ArtifactReader, watch: Callable[[str, int], None] | None
    ) -> None:
        self._run = run
        self._plan = plan
        self._coded = RunPlan(plan.shape)  # grows as the recorded plan did
        self._reader = reader
        self._watch = watch
        self._snapshots = Snapshots(reader)
        self._merges = Merges(run.state.plan.merges, plan.reducers)
        self._facts = FactIndex()
        self._open: dict[str, Recorded] = {}
        self._attempts = 0
        self._passed_over = 0

    async def run(self, stray: Divergence | None) -> ReplayResult:
        """Return how the replay ended."""
        divergence = plan_divergence(self._run.state.plan.shape, self._plan.shape) or stray
        divergence = divergence or await check_joins(self._run, self._plan, self._snapshots)
        if divergence is not None and divergence.what == "plan":
            divergence = msgspec.structs.replace(divergence, seq=_planned_at(self._run.envelopes))
        async for envelope in walk(self._run.envelopes if divergence is None else (), self._reader):
            divergence = await self._step(envelope)
            if divergence is not None:
                break
        final = _final_snapshot_id(self._run)
        return ReplayResult("reproduce", final, self._attempts, self._passed_over, divergence, self._run.state.run_id)

    async def _step(self, envelope: ev.Envelope) -> Divergence | None:
        event = envelope.event
        match event:
            case ev.StateEntered():
                self._open[event.state_id] = Recorded(envelope)
            case ev.StateCompleted() | ev.StateFailed():
                recorded = self._open.pop(event.state_id)
                if isinstance(event, ev.StateFailed) and not _repeatable(event):
                    self._passed_over += 1
                else:
                    return await self._again(recorded, envelope, event)
            case _ if envelope.state_id in self._open:
                self._note(envelope, self._open[envelope.state_id])
        return None

    def _note(self, envelope: ev.Envelope, recorded: Recorded) -> None:
        """Keep what an attempt did on its way."""
        match envelope.event:
            case ev.FactRecorded() as fact:
                self._facts.add(fact, envelope.state_id, envelope.attempt)
                recorded.facts.append(fact)
            case ev.DomainEvent() as event:
                recorded.events.append(event)
            case ev.PlanExtended() | ev.ChildSpawned() as extension:
                recorded.extension = extension
                if isinstance(extension, ev.PlanExtended):
                    self._coded.extend(self._coded.index[extension.state_id], extension.count)

    async def _again(
        self, recorded: Recorded, envelope: ev.Envelope, event: ev.StateCompleted | ev.StateFailed
    ) -> Divergence | None:
        """Execute one attempt again and compare it with its record."""
        entered = recorded.entered.event
        assert isinstance(entered, ev.StateEntered)
        base = await self._snapshots.tree(entered.base_snapshot_id)
        overlay = ContextOverlay(self._snapshots, base, self._merges)
        node = self._coded.node(entered.state_id)
        io = ReplayIo(
            self._reader,
            entered.state_id,
            entered.attempt,
            self._facts,
            recorded.facts,
            applies_effects=node.meta.side_effects is SideEffectKind.APPLY_SIDE_EFFECT,
            missing_fact_retryable=self._run.manifest.run_config.replay_missing_fact_retryable,
        )
        emitted: list[ev.DomainEvent] = []
        events = DomainEvents(self._run.manifest.run_config, emitted.append)
        if self._watch is not None:
            self._watch(entered.state_id, entered.attempt)
        executed = await execute(
            self._plan.implementation(self._coded, entered.state_id),
            overlay,
            io,
            events,
            self._reader,
            timeout_ms=_patience_ms(node.timeout_ms),
            progress=lambda _: None,
        )
        self._attempts += 1
        if executed.committed is not None:
            self._snapshots.remember(executed.committed.tree)
        found = await self._compare_calls(io) or await self._compare_outcome(overlay, executed, event)
        found = found or await self._compare_events(recorded.events, emitted)
        found = found or await self._compare_extension(recorded.extension, executed.extension)
        return None if found is None else self._placed(found, envelope, recorded)

    def _placed(self, found: Divergence, envelope: ev.Envelope, recorded: Recorded) -> Divergence:
        state_id = envelope.state_id or ""
        was, now = self._run.state.plan.node(state_id).digest, self._coded.node(state_id).digest
        facts: list[JsonValue] = [
            {"key": fact.key, "namespace": fact.namespace, "outcome": fact.outcome, "payload_id": fact.payload_id}
            for fact in recorded.facts
        ]
        return msgspec.structs.replace(
            found,
            state_id=state_id,
            attempt=envelope.attempt,
            seq=envelope.seq,
            message=f"{state_id} attempt {(envelope.attempt or 0) + 1}: {found.message}",
            facts=facts,
            code_changed=None if was is None or now is None else was != now,
        )

    async def _compare_calls(self, io: ReplayIo) -> Divergence | None:
        """Hold the calls the code makes against the recorded ones; a changed request stands against the one it replaces."""
        unused = io.unused()
        if io.missing:
            call = io.missing[0]
            instead = next((fact for fact in unused if fact.namespace == call["namespace"]), None)
            expected = None if instead is None else await self._request(instead)
            got: JsonValue = {"namespace": call["namespace"], "request": call["request"]}
            return diverged("call", f"it makes a {call['namespace']} call the record does not hold", expected, got)
        if unused:
            expected = await self._request(unused[0])
            return diverged("call", f"it no longer makes a recorded {unused[0].namespace} call", expected, None)
        return None

    async def _request(self, fact: ev.FactRecorded) -> JsonValue:
        """Return what was asked when a fact was recorded; of the clock and the like there is only the key."""
        if fact.request_id is None:
            return {"namespace": fact.namespace, "key": fact.key}
        return decode_json(await self._reader.get(fact.request_id))

    async def _compare_outcome(
        self, overlay: ContextOverlay, executed: Executed, event: ev.StateCompleted | ev.StateFailed
    ) -> Divergence | None:
        if isinstance(event, ev.StateFailed):
            info = event.error.info
            expected: JsonValue = {"code": info.code, "message": info.message, "retryable": info.retryable}
            if executed.error is None:
                return diverged("outcome", "it failed when recorded and completes now", expected, "completed")
            got: JsonValue = {
                "code": executed.error.code,
                "message": info.message if same_message(info.message, executed.error.message) else executed.error.message,
                "retryable": executed.error.retryable,
            }
            return None if expected == got else diverged("outcome", "it fails in another way", expected, got)
        if executed.committed is None:
            assert executed.error is not None
            return diverged(
                "outcome",
                f"it completed when recorded and fails now: {executed.error.message}",
                "completed",
                executed.error.code,
            )
        if executed.committed.tree.id != event.context_snapshot_id:
            return await self._compare_contexts(event, overlay, executed)
        wrote = executed.committed.writes
        recorded = event.writes or () if event.writes_id is None else self._run.attached.writes[event.writes_id]
        if [*recorded] != [*wrote]:
            return other_writes(recorded, wrote)
        reads = await self._reads(event)
        return None if reads == sorted(overlay.reads) else other_reads(reads, overlay.reads)

    async def _reads(self, event: ev.StateCompleted) -> list[str]:
        """Return the keys a recorded attempt read, in order."""
        keys: Any = event.reads or () if event.reads_id is None else decode_json(await self._reader.get(event.reads_id))
        return [*keys]

    async def _compare_contexts(self, event: ev.StateCompleted, overlay: ContextOverlay, executed: Executed) -> Divergence:
        recorded = await self._snapshots.content(await self._snapshots.tree(event.context_snapshot_id))
        now = overlay.dump()
        assert executed.committed is not None
        keys = sorted(key for key in recorded.keys() | now.keys() if recorded.get(key) != now.get(key))
        expected: JsonObject = {key: shown(recorded[key]) for key in keys if key in recorded}
        got: JsonObject = {key: shown(now[key]) for key in keys if key in now}
        diff = differences({key: recorded[key] for key in expected}, {key: now[key] for key in got})
        return diverged("writes", f"it writes another {', '.join(keys)}", expected, got, diff)

    async def _compare_events(self, recorded: list[ev.DomainEvent], emitted: list[ev.DomainEvent]) -> Divergence | None:
        if not recorded and not emitted:
            return None
        before = [await self._event(event) for event in recorded]
        now = [await self._event(event) for event in emitted]
        if canonical_json(before) == canonical_json(now):  # to Python true is 1
            return None
        return diverged("events", "it reports other events", before, now, differences(before, now))

    async def _compare_extension(
        self, recorded: ev.PlanExtended | ev.ChildSpawned | None, now: Items | Child | None
    ) -> Divergence | None:
        expected: JsonValue = None
        match recorded:
            case ev.PlanExtended(count=count):
                expected = {"items": count}
            case ev.ChildSpawned(inputs_id=inputs_id):
                expected = {"child": decode_json(await self._reader.get(inputs_id))}
        got: JsonValue = None
        match now:
            case Items(count=count):
                got = {"items": count}
            case Child(inputs=inputs):
                got = {"child": normalized(inputs)}
        return None if expected == got else diverged("extension", "it adds something else to the plan", expected, got)

    async def _event(self, event: ev.DomainEvent) -> JsonValue:
        payload = event.payload if event.payload_ref is None else await self._reader.get(event.payload_ref)
        return {"name": event.name, "payload": decode_json(bytes(payload))}


def _planned_at(envelopes: Sequence[ev.Envelope]) -> int:
    """Return the event that says which plan is in force."""
    return max([1, *(envelope.seq for envelope in envelopes if isinstance(envelope.event, ev.CodeChanged))])


def _patience_ms(timeout_ms: int | None) -> int | None:
    """Return how long a step may take in replay: it kept its time when it was recorded, and this machine may be slower."""
    return None if timeout_ms is None else max(_SHORTEST_PATIENCE_MS, 10 * timeout_ms)


def _repeatable(event: ev.StateFailed) -> bool:
    return event.error.info.code not in _NOT_REPEATABLE
