"""Evidence that a run's record is whole: the chain, the attempt rule, every artifact, and every snapshot computed again."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import msgspec

from durum.codec import chain_hash, decode, genesis_hash
from durum.core import events as ev
from durum.core.facts import index_facts
from durum.core.fold import Attached, fold
from durum.core.joins import Change
from durum.core.manifest import decode_manifest
from durum.core.merges import Merges
from durum.core.plan import decode_shape
from durum.core.replay import Divergence, disallowed
from durum.core.run_state import RunState, begin
from durum.core.tree import entry_id, is_node, parse_node
from durum.engine.boundaries import Boundaries
from durum.engine.merging import changed, edit_tree
from durum.engine.recovery import LoadedRun, load_attached
from durum.engine.snapshots import Snapshots
from durum.errors import CorruptionError, DurumError, NotFoundError, StoreUnavailableError
from durum.history.walk import naming, walk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durum.core.canonical import JsonObject
    from durum.core.tree import Tree
    from durum.engine.artifacts import ArtifactReader
    from durum.ports import EventStore, Head, StoredEvent


class FirstBad(msgspec.Struct, frozen=True):
    """The first thing found wrong."""

    run_id: str
    seq: int | None
    what: str
    reason: str


class VerifyResult(msgspec.Struct, frozen=True):
    """What a verification found."""

    run_id: str
    events: int
    artifacts: int
    head_hash: str
    first_bad: FirstBad | None

    def to_json(self) -> JsonObject:
        """Return the result as JSON."""
        data: JsonObject = msgspec.to_builtins(self)
        return {"result": "intact" if self.first_bad is None else "broken", **data}


class Examined(msgspec.Struct, frozen=True):
    """What a verification found; of a whole record the run it tells of, and the first event decide would not lead to."""

    result: VerifyResult
    run: LoadedRun | None
    stray: Divergence | None


async def verify(store: EventStore, reader: ArtifactReader, run_id: str, head: str | None = None) -> VerifyResult:
    """Check everything a run's log says and names. ``head`` is the hash of an event someone kept: it must still be there.

    Raises:
        NotFoundError: the store holds no such run.
        StoreUnavailableError: the store cannot be read now.
    """
    return (await examine(store, reader, run_id, head, decisions=False)).result


async def examine(
    store: EventStore, reader: ArtifactReader, run_id: str, head: str | None = None, *, decisions: bool = True
) -> Examined:
    """Verify a run, and on the same walk fold it and hold its events against what decide leads to."""
    known = await store.head(run_id)
    stored = [] if known is None else await store.read_range(run_id)
    if known is None or not (known.seq or stored or head):
        raise NotFoundError("run", run_id, "list the runs of this store with: durum ls")
    check = _Check(reader, run_id)
    run: LoadedRun | None = None
    try:
        check.chain(stored)
        check.heads(known, head)
        run = await check.contents(decisions=decisions)
    except StoreUnavailableError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a forged record leads to, it is the record that is broken
        check.bad = check.bad or FirstBad(run_id, check.seq, *_told(error))
    return Examined(VerifyResult(run_id, len(stored), len(check.seen), known.hash.hex(), check.bad), run, check.stray)


def _told(error: Exception) -> tuple[str, str]:
    """Return what is broken, and how."""
    match error:
        case CorruptionError():
            return error.what, error.reason
        case NotFoundError():
            return f"{error.kind} {error.name}", "it is gone"
        case DurumError():
            return "the record", str(error)
    return "the record", f"it makes no sense: {type(error).__name__} {error}"


class _Check:
    """One walk over a log; ``seq`` is where it stands."""

    def __init__(self, reader: ArtifactReader, run_id: str) -> None:
        self._reader = reader
        self._run_id = run_id
        self._envelopes: list[ev.Envelope] = []
        self.seq: int | None = None
        self.bad: FirstBad | None = None
        self.stray: Divergence | None = None
        self.attached = Attached()
        self.seen: set[str] = set()

    def chain(self, stored: Sequence[StoredEvent]) -> None:
        """Check every hash and that no event is missing."""
        previous, epoch = genesis_hash(self._run_id), 0
        for place, item in enumerate(stored, start=1):
            self.seq = place
            if item.seq != place:
                self._fail(f"event {place}", "it is missing", place)
            if chain_hash(previous, item.body) != item.hash:
                self._fail(
                    f"event {place}", "it was changed: its hash does not follow from its bytes and the event before", place
                )
            envelope = decode(self._run_id, item, previous)
            if envelope.seq != place:
                self._fail(f"event {place}", f"it says it is event {envelope.seq}", place)
            if envelope.epoch < epoch:
                self._fail(f"event {place}", f"it is of epoch {envelope.epoch}, after one of epoch {epoch}", place)
            self._envelopes.append(envelope)
            previous, epoch = item.hash, envelope.epoch

    def heads(self, known: Head, kept: str | None) -> None:
        """Check that the log ends where its head says, and holds the head someone kept."""
        end = len(self._envelopes)
        last = self._envelopes[-1] if self._envelopes else None
        if known.seq != end:
            place = min(max(int(known.seq), 0), end) + 1
            self._fail("head", f"the log ends at event {end}, its head says {known.seq}", place)
        if last is not None and last.hash != known.hash.hex():
            self._fail("head", f"the log ends with the hash {last.hash}, its head says {known.hash.hex()}", end)
        if last is not None and last.epoch > known.epoch:
            self._fail("head", f"the log ends in epoch {last.epoch}, its head says {known.epoch}", end)
        if kept is not None and all(envelope.hash != kept.lower() for envelope in self._envelopes):
            reason = f"none of its {end} events has the hash {kept}: the log was cut or written anew after that head was kept"
            self._fail("head", reason, max(end, 1))

    async def contents(self, *, decisions: bool) -> LoadedRun:
        """Fold the log, read every artifact it names and compute every snapshot again."""
        started = self._envelopes[0].event
        self.seq = 1
        if not isinstance(started, ev.RunStarted):
            self._fail("event 1", "it does not say that the run started", 1)
        manifest = decode_manifest(await self._artifact(started.manifest_id))
        plan = decode_shape(await self._artifact(started.plan_id))
        state = begin(self._run_id, plan, manifest.run_config)
        snapshots = Snapshots(self._reader)
        boundaries = Boundaries(snapshots, state, started.initial_snapshot_id)
        async for envelope in walk(self._envelopes, self._reader):
            self.seq = envelope.seq
            await self._named(envelope.event)
            await self._before(state, boundaries, envelope)
            if decisions and self.stray is None:
                self.stray = disallowed(state, envelope)
            await self._attach(envelope)
            fold(state, (envelope,), self.attached)
            if isinstance(envelope.event, ev.StateCompleted):
                await self._after(state, snapshots, envelope.event)
        return LoadedRun(self._envelopes, manifest, plan, state, index_facts(self._envelopes), self.attached)

    async def _attach(self, envelope: ev.Envelope) -> None:
        """Read what fold needs besides the event."""
        event = envelope.event
        if isinstance(event, ev.CodeChanged) or (isinstance(event, ev.StateCompleted) and event.writes_id is not None):
            more = await load_attached(self._reader, (envelope,))
            self.attached = Attached({**self.attached.plans, **more.plans}, {**self.attached.writes, **more.writes})

    async def _before(self, state: RunState, boundaries: Boundaries, envelope: ev.Envelope) -> None:
        """Check that an attempt began, or the run ended, with the context its predecessors left."""
        event = envelope.event
        artifacts: dict[str, bytes] = {}
        if isinstance(event, ev.StateEntered) and event.state_id in state.plan.index:
            tree, _ = await boundaries.base(state.plan.index[event.state_id], artifacts, event.base_snapshot_id)
            self._same(tree, event.base_snapshot_id, f"base snapshot of {event.state_id}")
        elif isinstance(event, ev.RunCompleted) and event.final_snapshot_id is not None:
            tree, _ = await boundaries.final(artifacts, event.final_snapshot_id)
            self._same(tree, event.final_snapshot_id, "final snapshot")

    async def _after(self, state: RunState, snapshots: Snapshots, event: ev.StateCompleted) -> None:
        """Check that a completed state's snapshot is its base with its writes."""
        progress = state.progress(event.state_id)
        assert progress.base_snapshot_id is not None
        base = await snapshots.tree(progress.base_snapshot_id)
        edits: dict[str, bytes | None] = {}
        artifacts: dict[str, bytes] = {}
        merges = Merges(state.plan.merges)
        for write in progress.writes:
            change = Change(write.key, write.op, (bytes(write.entry),))
            edits[write.key] = await changed(snapshots, base, change, merges, artifacts, event.context_snapshot_id)
        after = edit_tree(base, edits, artifacts)
        self._same(after, event.context_snapshot_id, f"snapshot after {event.state_id}")
        snapshots.remember(after)  # what follows most likely begins with it

    def _same(self, tree: Tree, recorded: str, what: str) -> None:
        if tree.id != recorded:
            self._fail(what, f"it is {recorded} in the log but the writes give {tree.id}", self.seq)

    async def _named(self, event: ev.Event) -> None:
        """Read every artifact an event names; snapshots with all that is below them."""
        for field in naming(type(event)):
            named = getattr(event, field)
            if field == "artifact_ids":
                for each in named:
                    await self._streamed(each)
            elif named is not None and named not in self.seen:
                await (self._tree(named) if field.endswith("snapshot_id") else self._artifact(named))

    async def _artifact(self, identity: str) -> bytes:
        data = await self._reader.get(identity)
        self.seen.add(identity)
        return data

    async def _streamed(self, identity: str) -> None:
        """Read an artifact of any size, unless it was read before."""
        if identity not in self.seen:
            async for _ in self._reader.chunks(identity):
                pass
            self.seen.add(identity)

    async def _tree(self, identity: str) -> None:
        """Read a value or node and everything below it that was not read before."""
        waiting = [identity]
        while waiting:
            identity = waiting.pop()
            if identity in self.seen:
                continue
            data = await self._artifact(identity)
            if not is_node(data):
                continue
            body = parse_node(data)
            entries = [row[1] for row in body.m or ()] + list(body.l or ())
            waiting += body.children or ()
            waiting += [found for entry in entries if (found := entry_id(bytes(entry))) is not None]

    def _fail(self, what: str, reason: str, seq: int | None) -> NoReturn:
        self.bad = FirstBad(self._run_id, seq, what, reason)
        raise CorruptionError(what, reason)
