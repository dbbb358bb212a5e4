"""The store of a simulated world: one durable state, a handle for each process, and every call a message there and back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

import msgspec

from durum.errors import StoreUnavailableError
from durum.stores.memory import MemoryStore
from tests.simulation.record import Acknowledged, Claimed, Committed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from durum.ports import Artifact, DueRun, Head, Message, StoredEvent
    from tests.simulation.loop import Process
    from tests.simulation.world import World

T = TypeVar("T")
CRITICAL = ("effect.intended", "gate.answered", "run.paused")
WEIGHT = 8  # how much likelier than elsewhere a process stops right behind what is critical


class _Kind(msgspec.Struct):
    kind: str


_kind = msgspec.json.Decoder(_Kind).decode


def kind_of(event: StoredEvent) -> str:
    """Return the kind of a stored event."""
    return _kind(event.body).kind


class SimulatedStore(MemoryStore):
    """Implements both stores over the world's durable state. A message may be slow, get lost, or be the last of its sender."""

    def __init__(self, world: World, process: Process) -> None:
        super().__init__(world.backend)
        self.world = world
        self._worker = f"{process.name}-{world.number()}"
        self._heart = world.open_handle(self._worker, process)
        self._unheld: dict[str, int] = {}  # run -> epoch of what may be ours without our holding it: no answer came
        self._gaps: dict[str, int] = {}
        self._critical = False

    async def _call(self, what: str, perform: Callable[[], Awaitable[T]]) -> T:
        """Send a call, have it done, and hear of it; any of the three may fail, and the caller cannot tell which."""
        world = self.world
        await world.may_stop()
        await world.hop()
        if world.now < world.away_until or world.chance(world.troubles.away):
            world.tell(f"{what}: not done, the store is away")
            raise StoreUnavailableError("simulated", "it is away")
        try:
            result = await perform()
        except Exception as error:
            world.tell(f"{what}: {type(error).__name__}")
            raise
        weight, self._critical = WEIGHT if self._critical else 1, False
        await world.may_stop(weight)
        if world.chance(world.troubles.lost):
            world.tell(f"{what}: done, the answer is lost")
            raise StoreUnavailableError("simulated", "no answer came")
        await world.hop()
        return result

    # --- ownership ----------------------------------------------------------------------------------------------------

    async def claim(self, run_id: str, *, create: bool = False, now_ms: int = 0) -> Head:
        """See ``EventStore.claim``."""
        claimed: list[Head] = []

        async def perform() -> Head:
            claimed.append(await self._claimed(run_id, now_ms, create=create))
            return claimed[0]

        try:
            head = await self._call(f"claim {run_id[-4:]}", perform)
        except (StoreUnavailableError, asyncio.CancelledError):
            if claimed:
                self._unheld[run_id] = claimed[0].epoch
            raise
        self._unheld.pop(run_id, None)
        self._gaps[run_id] = self._heart.gaps
        return head

    async def _claimed(self, run_id: str, now_ms: int, *, create: bool) -> Head:
        world, known = self.world, self._backend.runs.get(run_id)
        owner = None if known is None else known.head.owner
        living = owner is not None and world.well(owner)
        if self.owns_unheld(run_id):
            living = False
            await self.give_up(run_id, self._unheld[run_id], None)
        head = await self.take(run_id, now_ms, create=create)
        world.record.claims.append(Claimed(world.number(), run_id, head.epoch, self.worker, owner, living))
        world.tell(f"claims {run_id[-4:]} in epoch {head.epoch} from {owner}")
        return head

    async def take(self, run_id: str, now_ms: int, *, create: bool) -> Head:
        """Become the owner, durably."""
        return await super().claim(run_id, create=create, now_ms=now_ms)

    def owns_unheld(self, run_id: str) -> bool:
        """Tell whether a run is this handle's although nobody here holds it: the answer to a claim or release did not come."""
        run = self._backend.runs.get(run_id)
        return run is not None and run.head.owner == self._worker and self._unheld.get(run_id) == run.head.epoch

    async def release(self, run_id: str, epoch: int, *, wake_ms: int | None = None) -> None:
        """See ``EventStore.release``."""
        self._unheld[run_id] = epoch
        await self._call(f"release {run_id[-4:]} of epoch {epoch}", lambda: self.give_up(run_id, epoch, wake_ms))
        if self._unheld.get(run_id) == epoch:  # it may have been claimed again since
            del self._unheld[run_id]

    async def give_up(self, run_id: str, epoch: int, wake_ms: int | None) -> None:
        """Give a run up, durably."""
        await super().release(run_id, epoch, wake_ms=wake_ms)

    def check_lease(self, run_id: str, epoch: int) -> None:
        """See ``EventStore.check_lease``: a look at the own heart while it beats in time, at the run itself after a gap."""
        if self._gaps.get(run_id) == self._heart.gaps and self._heart.held:
            return
        self._heart.beat()
        super().check_lease(run_id, epoch)
        self._gaps[run_id] = self._heart.gaps

    async def due(self, now_ms: int) -> list[DueRun]:
        """See ``EventStore.due``; what is this handle's although nobody here holds it is given up first."""

        async def perform() -> list[DueRun]:
            for run_id in [run_id for run_id in self._unheld if self.owns_unheld(run_id)]:
                await self.give_up(run_id, self._unheld[run_id], now_ms)
            return await super(SimulatedStore, self).due(now_ms)

        return await self._call("due", perform)

    # --- the log ------------------------------------------------------------------------------------------------------

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
        """See ``EventStore.append``; no power is cut here."""
        del sync

        async def perform() -> int:
            await self.keep(run_id, expected_seq, epoch, events, artifacts, consumed)
            self.note(run_id, epoch, events, consumed)
            return events[-1].seq

        seq = await self._call(f"append {run_id[-4:]} {expected_seq}+{len(events)} of epoch {epoch}", perform)
        self.world.record.acknowledged.append(Acknowledged(run_id, seq, events[-1].hash))
        return seq

    async def keep(
        self,
        run_id: str,
        expected_seq: int,
        epoch: int,
        events: Sequence[StoredEvent],
        artifacts: Sequence[Artifact],
        consumed: Sequence[str],
    ) -> None:
        """Make an append durable."""
        await super().append(run_id, expected_seq, epoch, events, artifacts, consumed)

    def note(self, run_id: str, epoch: int, events: Sequence[StoredEvent], consumed: Sequence[str]) -> None:
        """Record what became durable."""
        world, first, last = self.world, events[0].seq, events[-1].seq
        commit = Committed(world.number(), world.now, run_id, epoch, self.worker, first, last, tuple(consumed))
        world.record.commits.append(commit)
        kinds = [kind_of(event) for event in events]
        world.tell(f"commits {run_id[-4:]} {first}-{last} in epoch {epoch}: {' '.join(kinds)}")
        self._critical = any(kind in CRITICAL for kind in kinds)

    async def head(self, run_id: str) -> Head | None:
        """See ``EventStore.head``."""
        return await self._call(f"head {run_id[-4:]}", lambda: super(SimulatedStore, self).head(run_id))

    async def heads(self) -> list[Head]:
        """See ``EventStore.heads``."""
        return await self._call("heads", super().heads)

    async def read_range(self, run_id: str, from_seq: int = 1, to_seq: int | None = None) -> list[StoredEvent]:
        """See ``EventStore.read_range``."""
        read = super().read_range
        return await self._call(f"read {run_id[-4:]}", lambda: read(run_id, from_seq, to_seq))

    # --- the inbox ----------------------------------------------------------------------------------------------------

    async def send(self, message: Message) -> bool:
        """See ``EventStore.send``. Ids are drawn anew here, for they come from no port; the same message keeps its own."""
        send = super().send
        message = msgspec.structs.replace(message, message_id=self.world.name_of(message.message_id))

        async def perform() -> bool:
            taken = await send(message)
            if taken:
                self.world.record.sent[message.message_id] = (message.run_id, message.kind)
            self.world.tell(f"sends {message.kind} to {message.run_id[-4:]}: {'taken' if taken else 'known'}")
            return taken

        return await self._call(f"send {message.kind}", perform)

    async def inbox(self, run_id: str) -> list[Message]:
        """See ``EventStore.inbox``."""
        inbox = super().inbox
        return await self._call(f"inbox {run_id[-4:]}", lambda: inbox(run_id))
