"""What must hold in every world, read from the logs, the journal outside and the record of what happened; nothing else."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from durum.codec import chain_hash, decode, genesis_hash
from durum.core import events as ev
from durum.core.digests import semantic_digest
from durum.engine.artifacts import ArtifactReader
from durum.engine.context import at_once
from durum.engine.recovery import load_run
from durum.errors import DurumError
from durum.history.replay import ReplayResult, reproduce
from durum.history.verify import Examined, examine
from durum.stores.memory import MemoryStore
from tests.simulation.codes import named
from tests.simulation.loop import SimulatedLoop
from tests.simulation.record import Claimed, Committed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from durum.ports import StoredEvent
    from tests.simulation.record import Record
    from tests.simulation.world import World

_TOLD = {ev.GateAnswered: "answer", ev.ChildCompleted: "child", ev.CancelRequested: "cancel", ev.RunPaused: "pause"}
QUARANTINE = "durum"
UNDO = ".undone."
WITNESS = "branches.second_part.main"


class Meaning(msgspec.Struct, frozen=True):
    """What a run came to."""

    status: str
    snapshot_id: str | None
    digest: str


class Log(NamedTuple):
    """One run's log in its world."""

    world: World
    run_id: str
    envelopes: Sequence[ev.Envelope]
    times: dict[int, float]  # seq -> when it became durable

    @property
    def op_id(self) -> str:
        """The workflow's name."""
        started = self.envelopes[0].event
        return str(started.op_id) if isinstance(started, ev.RunStarted) else ""


def meaning(world: World, run_id: str) -> Meaning:
    """Return what a run of a world came to."""
    store = MemoryStore(world.backend)
    state = at_once(load_run(store, ArtifactReader(store), run_id)).state
    snapshot_id = None if state.completed is None else state.completed.final_snapshot_id
    return Meaning(state.status().value, snapshot_id, semantic_digest(state))


def check(world: World) -> list[str]:
    """Return what does not hold, each as a sentence."""
    record = world.record
    found = [*record.faults, *world.loop.faults, *_claims(record), *_acknowledged(world), *_journal(record), *_consumed(record)]
    for run_id, run in world.backend.runs.items():
        found += [f"run {run_id[-4:]}: {said}" for said in _owners(record, run_id)]
        envelopes = _chained(run_id, run.events)
        if len(envelopes) < len(run.events):
            found.append(f"run {run_id[-4:]}: its log has a gap or a break where event {len(envelopes) + 1} should stand")
        elif envelopes:
            log = Log(world, run_id, envelopes, record.times(run_id))
            found += [f"run {run_id[-4:]}: {said}" for rule in _RULES for said in rule(log)]
    return found


# --- of the world ---------------------------------------------------------------------------------------------------------


def _claims(record: Record) -> Iterator[str]:
    """No owner is robbed that is well."""
    for claim in record.claims:
        if claim.living:
            yield f"run {claim.run_id[-4:]}: {claim.worker} took the run from {claim.robbed}, which was well"


def _acknowledged(world: World) -> Iterator[str]:
    """What somebody was told is durable is there."""
    for told in world.record.acknowledged:
        events = world.backend.runs[told.run_id].events
        if len(events) < told.seq or events[told.seq - 1].hash != told.hash:
            yield f"run {told.run_id[-4:]}: event {told.seq} was acknowledged and is not there"


def _journal(record: Record) -> Iterator[str]:
    """What may not be repeated was done at most once, and what may be was asked for in the same words."""
    asked: dict[str, object] = {}
    for done in record.journal:
        if done.key in asked and not done.idempotent:
            yield f"{done.key} was done again"
        elif asked.setdefault(done.key, done.request) != done.request:
            yield f"{done.key} was asked for in other words"


def _consumed(record: Record) -> Iterator[str]:
    """No message is dropped by two appends."""
    counts = Counter(message_id for commit in record.commits for message_id in commit.consumed)
    for message_id, count in counts.items():
        if count > 1:
            yield f"message {message_id} was consumed {count} times"


def _owners(record: Record, run_id: str) -> Iterator[str]:
    """Every owner has an epoch of its own, later ones higher ones, and nothing is stored for one that was replaced."""
    owner: Claimed | None = None
    history: list[Claimed | Committed] = [*record.claims, *record.commits]
    for item in sorted(history, key=lambda item: item.number):
        if item.run_id != run_id:
            continue
        if isinstance(item, Claimed):
            if owner is not None and item.epoch <= owner.epoch:
                yield f"{item.worker} became its owner in epoch {item.epoch}, after {owner.worker} in epoch {owner.epoch}"
            owner = item
        elif owner is None or (item.worker, item.epoch) != (owner.worker, owner.epoch):
            who = None if owner is None else f"{owner.worker} in epoch {owner.epoch}"
            yield f"{item.worker} stored events {item.first} to {item.last} in epoch {item.epoch} while its owner was {who}"


# --- of one log -----------------------------------------------------------------------------------------------------------


def _chained(run_id: str, stored: Sequence[StoredEvent]) -> list[ev.Envelope]:
    """Return a log's envelopes as far as it is gapless and chained."""
    envelopes, before = [], genesis_hash(run_id)
    for seq, event in enumerate(stored, start=1):
        if event.seq != seq or chain_hash(before, event.body) != event.hash:
            break
        envelopes.append(decode(run_id, event, before))
        before = event.hash
    return envelopes


def _epochs(log: Log) -> Iterator[str]:
    """One writer for each epoch, and none that comes back."""
    writers: dict[int, str] = {}
    last = 0
    for envelope in log.envelopes:
        if envelope.epoch < last:
            yield f"event {envelope.seq} of epoch {envelope.epoch} stands behind one of epoch {last}"
        last = envelope.epoch
        if writers.setdefault(last, envelope.writer) != envelope.writer:
            yield f"epoch {last} has two writers: {writers[last]} and {envelope.writer}"


def _facts(log: Log) -> Iterator[str]:
    """What was answered is not asked again, in no attempt; only the clock is, for each."""
    bound: set[str] = set()
    for envelope in log.envelopes:
        event = envelope.event
        if isinstance(event, ev.FactRecorded) and event.outcome == "success" and event.namespace != "clock":
            if event.key in bound:
                yield f"the fact {event.key} is bound again by event {envelope.seq}"
            bound.add(event.key)


def _witness(log: Log) -> Iterator[str]:
    """What the outside is told of chance is on record before."""
    drawn = [
        log.times[envelope.seq]
        for envelope in log.envelopes
        if isinstance(envelope.event, ev.FactRecorded) and envelope.event.namespace == "random" and envelope.state_id == WITNESS
    ]
    if WITNESS.startswith(log.op_id) and any(at < min(drawn, default=at + 1) for at in log.world.record.witnessed):
        yield "the outside was told what was drawn before that was durable"


def _retries(log: Log) -> Iterator[str]:
    """No retry begins before its moment by the clock on the wall, and none begins twice."""
    scheduled: dict[tuple[str, int], tuple[int, float]] = {}
    for envelope in log.envelopes:
        event = envelope.event
        if isinstance(event, ev.RetryScheduled):
            scheduled[event.state_id, event.attempt] = (event.due_ms, log.times[envelope.seq])
        elif isinstance(event, ev.StateEntered):
            due_ms, since = scheduled.get((event.state_id, event.attempt), (0, 0.0))
            if not log.world.reached(due_ms, since, log.times[envelope.seq]):
                yield f"attempt {event.attempt} of {event.state_id} began before it was due"
    entered = Counter((e.event.state_id, e.event.attempt) for e in log.envelopes if isinstance(e.event, ev.StateEntered))
    for (state_id, attempt), count in entered.items():
        if count > 1:
            yield f"attempt {attempt} of {state_id} began {count} times"


def _effects(log: Log) -> Iterator[str]:
    """What the outside did was intended durably before, and what is said to be done was."""
    journal = [done for done in log.world.record.journal if done.key.startswith(log.run_id)]
    intended: dict[str, float] = {}
    keys: dict[str, str] = {}
    done: set[str | None] = {None, *(line.key for line in journal)}
    for envelope in log.envelopes:
        event = envelope.event
        if isinstance(event, ev.EffectIntended):
            intended.setdefault(event.effect_key, log.times[envelope.seq])
            keys[event.key] = event.effect_key
        elif isinstance(event, ev.FactRecorded) and event.outcome == "success" and keys.get(event.key) not in done:
            yield f"event {envelope.seq} says that {keys[event.key]} was done; it was not"
    for line in journal:
        if intended.get(line.key, float("inf")) > line.at:
            yield f"{line.key} was done before its intent was durable"


def _told(log: Log) -> Iterator[str]:
    """Every message that was accepted comes to one event of its kind at most."""
    sent = Counter(kind for to, kind in log.world.record.sent.values() if to == log.run_id)
    taken = Counter(_TOLD[type(e.event)] for e in log.envelopes if type(e.event) in _TOLD and not _of_quarantine(e.event))
    for kind, count in taken.items():
        if count > sent[kind]:
            yield f"{sent[kind]} messages of the kind {kind} came to {count} events"


def _of_quarantine(event: ev.Event) -> bool:
    """Tell whether a pause was asked for by no message: a run whose drivers keep dying is stopped."""
    return isinstance(event, ev.RunPaused) and event.actor == QUARANTINE


def _undo(log: Log) -> Iterator[str]:
    """What undoes the branches begins only when all of them are done; a request that was asked for again may come late."""
    done_at: dict[str, float] = {}
    for done in log.world.record.journal:
        if done.key.startswith(log.run_id):
            done_at.setdefault(done.key, done.at)
    begun = min((at for key, at in done_at.items() if UNDO in key), default=None)
    if begun is not None and any(at > begun for key, at in done_at.items() if UNDO not in key):
        yield "it was undone while a branch was still at work"


def _verified(log: Log) -> Iterator[str]:
    """The shipped verification finds nothing, and replaying every attempt does the same again."""
    store = MemoryStore(log.world.backend)
    reader = ArtifactReader(store)
    try:
        found = at_once(examine(store, reader, log.run_id))
        if found.run is None or found.result.first_bad is not None:
            yield f"it does not verify: {found.result.first_bad}"
        elif (divergence := _replayed(found, reader).divergence) is not None:
            yield f"it does not replay: {divergence.message}"
    except (DurumError, AssertionError, KeyError) as error:
        yield f"it cannot be read back: {type(error).__name__}: {error}"


def _replayed(found: Examined, reader: ArtifactReader) -> ReplayResult:
    loop = SimulatedLoop()
    results: list[ReplayResult] = []

    async def replay() -> None:
        assert found.run is not None
        results.append(await reproduce(found, named(found.run)[1], reader))

    try:
        loop.run(replay())
    finally:
        loop.close()
    return results[0]


_RULES = (_epochs, _facts, _witness, _retries, _effects, _told, _undo, _verified)
