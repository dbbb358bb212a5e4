"""Twelve bugs, planted as faulty doubles of parts of a world or of the shipped engine, to see that the checker finds them.

None of them is a switch in shipped code: each replaces a class or function by one that is wrong in just one way.
"""

from __future__ import annotations

import asyncio
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec

from durum.core import decide as healthy_decide
from durum.core import events as ev
from durum.core.facts import FactIndex
from durum.core.joins import Join, plan_join
from durum.core.run_state import begin
from durum.engine import boundaries
from durum.engine.attempts import Attempts
from durum.engine.boundaries import Boundaries
from durum.engine.effects import Effects
from durum.engine.recorder import Recorder
from tests.simulation.record import Acknowledged
from tests.simulation.shared_store import SimulatedStore
from tests.simulation.simulation import Doubles
from tests.simulation.world import World

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from durum.core.events import FactRecorded
    from durum.core.run_plan import RunPlan
    from durum.core.run_state import RunState
    from durum.core.tree import Tree
    from durum.engine.attempts import Begun
    from durum.engine.effects import Wanted
    from durum.errors import ContextError
    from durum.ports import Artifact, Head, StoredEvent

EARLY_MS = 200


# --- 1 to 4: the store and the acknowledgement ----------------------------------------------------------------------------


class NoEpochCheck(SimulatedStore):
    """Bug 1: an append is checked against the head, not against the epoch: whoever lost the run may still write."""

    async def keep(
        self,
        run_id: str,
        expected_seq: int,
        epoch: int,
        events: Sequence[StoredEvent],
        artifacts: Sequence[Artifact],
        consumed: Sequence[str],
    ) -> None:
        """Take whatever epoch comes."""
        epoch = self._backend.runs[run_id].head.epoch
        await super().keep(run_id, expected_seq, epoch, events, artifacts, consumed)


class WallClockWorld(World):
    """Bug 2: beats are dated, and leases judged, by the wall clock, which may be set."""

    def lease_ns(self) -> int:
        """Return what the wall clock shows."""
        return self.wall_ms() * 1_000_000


class AcknowledgesFirst(SimulatedStore):
    """Bug 3: an append is acknowledged as soon as it arrives, and becomes durable a moment later if its process lives."""

    async def append(
        self,
        run_id: str,
        expected_seq: int,
        epoch: int,
        events: Sequence[StoredEvent],
        artifacts: Sequence[Artifact] = (),
        consumed: Sequence[str] = (),
        *,
        sync: bool = True,
    ) -> int:
        """Say yes, then store."""
        later = partial(super().append, run_id, expected_seq, epoch, events, artifacts, consumed, sync=sync)
        task = asyncio.create_task(later())
        task.add_done_callback(lambda done: None if done.cancelled() else done.exception())
        await self.world.hop()
        self.world.record.acknowledged.append(Acknowledged(run_id, events[-1].seq, events[-1].hash))
        return events[-1].seq


class TakesAgain(SimulatedStore):
    """Bug 4, the store's half: what arrives is put behind what is there."""

    async def keep(
        self,
        run_id: str,
        expected_seq: int,
        epoch: int,
        events: Sequence[StoredEvent],
        artifacts: Sequence[Artifact],
        consumed: Sequence[str],
    ) -> None:
        """Append wherever the log ends, as long as the epoch is right."""
        run = self._backend.runs[run_id]
        if run.head.epoch != epoch:
            await super().keep(run_id, expected_seq, epoch, events, artifacts, consumed)
        run.events.extend(events)
        run.head = msgspec.structs.replace(run.head, seq=events[-1].seq, hash=events[-1].hash)
        self._backend.artifacts.update((artifact.id, artifact.data) for artifact in artifacts)
        for message_id in consumed:
            run.inbox.pop(message_id, None)


class RepeatingRecorder(Recorder):
    """Bug 4, the recorder's half: an append whose acknowledgement was lost is repeated without a look at what landed."""

    async def _landed(self, last: StoredEvent) -> bool:
        del last
        return False


# --- 5 to 8: effects, facts, orphans, messages ----------------------------------------------------------------------------


class EffectFirst(Effects):
    """Bug 5: an effect is performed before its intent is durable."""

    async def _finish(self, wanted: Wanted) -> None:
        payload, result, artifact_ids = await self._io.outcome_of(wanted.call, wanted.effect_key)
        await self._recorder.commit()
        if not self._given_up:
            scope: Any = "run" if result == "success" else "attempt"
            names = (wanted.key, wanted.call.namespace, payload, wanted.request_id)
            await self._io.record(*names, result, scope, artifact_ids)


class ForgetfulFacts(FactIndex):
    """Bug 6: a fact binds within the attempt that recorded it and no further, whatever its scope."""

    def add(self, fact: FactRecorded, state_id: str | None, attempt: int | None) -> None:
        """Bind it for one attempt."""
        self._attempt.setdefault((fact.key, state_id, attempt), fact)


def orphans_done(recorder: Recorder) -> int:
    """Bug 7: an attempt whose owner died is counted as done."""
    state = recorder.state
    orphans = sorted(state.open.items())
    for position, attempt in orphans:
        state_id, base = state.plan.nodes[position].id, state.states[position].base_snapshot_id
        assert base is not None
        done = ev.StateCompleted(context_snapshot_id=base, input_digest="0" * 64, state_id=state_id)
        recorder.stage(done, state_id, attempt)
    return len(orphans)


class ReadsAgain(SimulatedStore):
    """Bug 8: a message stays in the inbox although its event is in the log, so the next owner takes it once more."""

    async def keep(
        self,
        run_id: str,
        expected_seq: int,
        epoch: int,
        events: Sequence[StoredEvent],
        artifacts: Sequence[Artifact],
        consumed: Sequence[str],
    ) -> None:
        """Drop no message."""
        del consumed
        await super().keep(run_id, expected_seq, epoch, events, artifacts, ())


# --- 9 to 12: snapshots, timers, epochs, the undo -------------------------------------------------------------------------


class FinishOrder(Boundaries):
    """Bug 9: what meets in a join comes together in the order it finished in."""

    async def _joined(
        self, positions: Sequence[int], state_id: str | None, artifacts: dict[str, bytes], recorded: str | None
    ) -> tuple[Tree, ContextError | None]:
        finished = {position: place for positions in self._state.writers.values() for place, position in enumerate(positions)}

        def by_finish(plan: RunPlan, positions: Iterable[int]) -> Join:
            join = plan_join(plan, positions)
            return Join(join.start, sorted(join.missing, key=lambda position: finished.get(position, -1)))

        boundaries.plan_join = by_finish  # type: ignore[attr-defined]  # nothing else runs until this join is made
        try:
            return await super()._joined(positions, state_id, artifacts, recorded)
        finally:
            boundaries.plan_join = plan_join  # type: ignore[attr-defined]


def early(state: RunState, now_ms: int) -> list[healthy_decide.Command]:
    """Bug 10, early: decide takes a retry for due a little before it is."""
    return healthy_decide.decide(state, now_ms + EARLY_MS)


class TwiceFired(Attempts):
    """Bug 10, twice: the moment of a retry is acted upon twice, so its attempt begins in two tasks."""

    async def run(self, begun: Begun) -> None:
        """Execute an attempt; a retry twice."""
        healthy = super().run
        await asyncio.gather(*(healthy(begun) for _ in range(1 if begun.number == 0 else 2)))


class KeepsEpoch(SimulatedStore):
    """Bug 11: who adopts a run goes on in the epoch of the owner before."""

    async def take(self, run_id: str, now_ms: int, *, create: bool) -> Head:
        """Become the owner, and put the epoch back."""
        known = self._backend.runs.get(run_id)
        head = await super().take(run_id, now_ms, create=create)
        if known is not None:
            head = known.head = msgspec.structs.replace(head, epoch=head.epoch - 1)
        return head


def begins_early(run_id: str, plan: Any, config: Any) -> RunState:
    """Bug 12: the state that undoes the branches is entered as soon as one of them has ended.

    The undo is an authored state that depends on every branch; the double lets the first of them satisfy it.
    """
    state = begin(run_id, plan, config)
    for node, progress in zip(state.plan.nodes, state.states, strict=True):
        if ".undone." in node.id:
            progress.blockers = 1
    return state


class Planted(msgspec.Struct, frozen=True):
    """A planted bug: its doubles, and words of a finding that names it."""

    doubles: Doubles
    finding: str


PLANTED: dict[str, Planted] = {
    "1 no epoch check": Planted(Doubles(store=NoEpochCheck), "while its owner was"),
    "2 lease judged on the wall clock": Planted(Doubles(world=WallClockWorld), "which was well"),
    "3 acknowledged before the commit": Planted(Doubles(store=AcknowledgesFirst), "was acknowledged and is not there"),
    "4 acknowledgement lost and the append repeated": Planted(
        Doubles(store=TakesAgain, engine={"durum.engine.engine:Recorder": RepeatingRecorder}), "has a gap or a break"
    ),
    "5 effect before its intent": Planted(
        Doubles(engine={"durum.engine.live_io:Effects": EffectFirst}), "before its intent was durable"
    ),
    "6 fact not bound across attempts": Planted(
        Doubles(engine={"durum.engine.engine:FactIndex": ForgetfulFacts, "durum.core.facts:FactIndex": ForgetfulFacts}),
        "is bound again",
    ),
    "7 orphan attempt counted as done": Planted(
        Doubles(engine={"durum.engine.engine:close_orphans": orphans_done}), "undisturbed to"
    ),
    "8 inbox message consumed twice": Planted(Doubles(store=ReadsAgain), "was consumed"),
    "9 snapshot taken from finish order": Planted(
        Doubles(engine={"durum.engine.driver:Boundaries": FinishOrder}), "undisturbed to"
    ),
    "10 timer fired early": Planted(
        Doubles(engine={"durum.engine.driver:d": SimpleNamespace(**vars(healthy_decide) | {"decide": early})}),
        "began before it was due",
    ),
    "10 timer fired twice": Planted(Doubles(engine={"durum.engine.engine:Attempts": TwiceFired}), "no open attempt"),
    "11 adoption without bumping the epoch": Planted(Doubles(store=KeepsEpoch), "became its owner in epoch"),
    "12 undo started while a branch still runs": Planted(
        Doubles(engine={"durum.engine.engine:begin": begins_early, "durum.engine.recovery:begin": begins_early}),
        "while a branch was still at work",
    ),
}
