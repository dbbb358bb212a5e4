"""Stores with one fault each, for the conformance suite to find."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from durum.codec import genesis_hash
from durum.errors import ConcurrencyError, DurumError, NotFoundError, RunExistsError, RunOwnedError
from durum.ports import Artifact, Head, Message, StoredEvent
from durum.stores.memory import MemoryBackend, MemoryStore, _Run

if TYPE_CHECKING:
    from collections.abc import Sequence

BROKEN: list[type[BrokenStore]] = []


class Append(NamedTuple):
    """The arguments of an append."""

    run_id: str
    expected_seq: int
    epoch: int
    events: Sequence[StoredEvent]
    artifacts: Sequence[Artifact]
    consumed: Sequence[str]


class BrokenStore(MemoryStore):
    """A store that does another append than it was asked to."""

    def __init__(self, backend: MemoryBackend) -> None:
        super().__init__(backend)
        self.runs = backend.runs

    def __init_subclass__(cls) -> None:
        BROKEN.append(cls)

    def head_of(self, run_id: str) -> Head:
        """Return the head of a run."""
        return self._run(run_id).head

    def set_head(self, run_id: str, **changes: object) -> None:
        """Change the head of a run."""
        run = self.runs[run_id]
        run.head = msgspec.structs.replace(run.head, **changes)

    async def meant(self, asked: Append) -> Append:
        """Return what is appended."""
        return asked

    async def append(
        self,
        run_id: str,
        expected_seq: int,
        epoch: int,
        events: Sequence[StoredEvent],
        artifacts: Sequence[Artifact] = (),
        consumed: Sequence[str] = (),
    ) -> int:
        """Append what is meant."""
        meant = await self.meant(Append(run_id, expected_seq, epoch, events, artifacts, consumed))
        await super().append(*meant)
        return expected_seq + len(events)


class AcceptsAnyEpoch(BrokenStore):
    """No fencing."""

    async def meant(self, asked: Append) -> Append:
        """Append under whatever epoch is right."""
        return asked._replace(epoch=self.head_of(asked.run_id).epoch)


class AcceptsAnySeq(BrokenStore):
    """No guard on the head."""

    async def meant(self, asked: Append) -> Append:
        """Append where the log ends."""
        head = self.head_of(asked.run_id)
        events = [msgspec.structs.replace(event, seq=head.seq + place) for place, event in enumerate(asked.events, 1)]
        return asked._replace(expected_seq=head.seq, events=events)


class LooksAtBothEndsOnly(BrokenStore):
    """A gap in the middle of an append passes."""

    async def meant(self, asked: Append) -> Append:
        """Number what lies between anew."""
        events = [msgspec.structs.replace(event, seq=asked.events[0].seq + place) for place, event in enumerate(asked.events)]
        return asked._replace(events=events) if events and events[-1].seq == asked.events[-1].seq else asked


class StoresBeforeItChecks(BrokenStore):
    """Artifacts of a refused append stay."""

    async def meant(self, asked: Append) -> Append:
        """Store them first."""
        for artifact in asked.artifacts:
            await self.put(artifact)
        return asked


class ConsumesBeforeItChecks(BrokenStore):
    """Messages of a refused append are gone."""

    async def meant(self, asked: Append) -> Append:
        """Drop them first."""
        for message_id in asked.consumed:
            self._run(asked.run_id).inbox.pop(message_id, None)
        return asked


class KeepsTheFirstEventOnly(BrokenStore):
    """An append of several events stores one."""

    async def meant(self, asked: Append) -> Append:
        """Cut the rest off."""
        return asked._replace(events=asked.events[:1])


class ForgetsArtifacts(BrokenStore):
    """An append acknowledges artifacts it never stored."""

    async def meant(self, asked: Append) -> Append:
        """Leave them out."""
        return asked._replace(artifacts=())


class NeverConsumes(BrokenStore):
    """A message that was taken into the log waits on."""

    async def meant(self, asked: Append) -> Append:
        """Leave them in."""
        return asked._replace(consumed=())


class ConsumesEverything(BrokenStore):
    """A message that was not taken into the log is gone."""

    async def meant(self, asked: Append) -> Append:
        """Take all that wait."""
        return asked._replace(consumed=tuple(self._run(asked.run_id).inbox))


class StoresText(BrokenStore):
    """Bodies go through a text column."""

    async def meant(self, asked: Append) -> Append:
        """Lose what is no text."""
        events = [
            msgspec.structs.replace(event, body=event.body.decode("utf-8", "replace").encode().partition(b"\0")[0])
            for event in asked.events
        ]
        return asked._replace(events=events)


class MakesRunsByAppending(BrokenStore):
    """An append to an unknown run makes it."""

    async def meant(self, asked: Append) -> Append:
        """Make it."""
        self.runs.setdefault(asked.run_id, _Run(Head(asked.run_id, 0, b"", asked.epoch, None, 0)))
        return asked


class AppendsNothingLoudly(BrokenStore):
    """An append of nothing moves the head."""

    async def meant(self, asked: Append) -> Append:
        """Count it."""
        if not asked.events:
            self.set_head(asked.run_id, seq=asked.expected_seq + 1)
        return asked


class TellsNothing(BrokenStore):
    """A refused append is told without the head that counts."""

    async def append(
        self,
        run_id: str,
        expected_seq: int,
        epoch: int,
        events: Sequence[StoredEvent],
        artifacts: Sequence[Artifact] = (),
        consumed: Sequence[str] = (),
    ) -> int:
        """Say what was asked for."""
        try:
            return await super().append(run_id, expected_seq, epoch, events, artifacts, consumed)
        except ConcurrencyError:
            raise ConcurrencyError(run_id, expected_seq, expected_seq, epoch, epoch) from None


class AdoptsUnderTheSameEpoch(BrokenStore):
    """Who lost a run can still write to it."""

    async def claim(self, run_id: str, *, create: bool = False, now_ms: int = 0) -> Head:
        """Take the number back."""
        head = await super().claim(run_id, create=create, now_ms=now_ms)
        if head.epoch > 1:
            self.set_head(run_id, epoch=head.epoch - 1)
        return self.head_of(run_id)


class RobsTheLiving(BrokenStore):
    """A claim asks nobody."""

    async def claim(self, run_id: str, *, create: bool = False, now_ms: int = 0) -> Head:
        """Free the run first."""
        if run_id in self.runs:
            self.set_head(run_id, owner=None)
        return await super().claim(run_id, create=create, now_ms=now_ms)


class ForgetsTheLogOnAdoption(BrokenStore):
    """Creating a run that is there begins it anew."""

    async def claim(self, run_id: str, *, create: bool = False, now_ms: int = 0) -> Head:
        """Begin anew."""
        if create:
            self.runs.pop(run_id, None)
        return await super().claim(run_id, create=create, now_ms=now_ms)


class NeverCreatesTwice(BrokenStore):
    """A run whose creator died at once blocks its id."""

    async def claim(self, run_id: str, *, create: bool = False, now_ms: int = 0) -> Head:
        """Refuse."""
        if create and run_id in self.runs:
            raise RunExistsError(run_id)
        return await super().claim(run_id, create=create, now_ms=now_ms)


class CreatesWithoutBeingAsked(BrokenStore):
    """A claim makes a run."""

    async def claim(self, run_id: str, *, create: bool = False, now_ms: int = 0) -> Head:
        """Make it."""
        return await super().claim(run_id, create=create or run_id not in self.runs, now_ms=now_ms)


class CreatesWithoutGenesis(BrokenStore):
    """A new run's head has no hash, so that its chain is tied to nothing."""

    async def claim(self, run_id: str, *, create: bool = False, now_ms: int = 0) -> Head:
        """Take the hash away."""
        head = await super().claim(run_id, create=create, now_ms=now_ms)
        if head.hash == genesis_hash(run_id):
            self.set_head(run_id, hash=bytes(32))
        return self.head_of(run_id)


class FollowsItsOwner(BrokenStore):
    """Who adopts a run resets the moment it was created."""

    async def claim(self, run_id: str, *, create: bool = False, now_ms: int = 0) -> Head:
        """Write the moment down again."""
        await super().claim(run_id, create=create, now_ms=now_ms)
        self.set_head(run_id, created_ms=now_ms)
        return self.head_of(run_id)


class LetsAnyoneRelease(BrokenStore):
    """A release asks neither who nor when."""

    async def release(self, run_id: str, epoch: int) -> None:
        """Free it."""
        del epoch
        if run_id in self.runs:
            self.set_head(run_id, owner=None)


class NeverReleases(BrokenStore):
    """A run that was given up stays owned."""

    async def release(self, run_id: str, epoch: int) -> None:
        """Do nothing."""


class NeverDies(BrokenStore):
    """A closed handle counts as alive."""

    async def close(self) -> None:
        """Do nothing."""


class CallsEveryoneAlive(BrokenStore):
    """Whoever is asked for is alive."""

    async def is_alive(self, worker: str) -> bool:
        """Say yes."""
        return bool(worker)


class ClosesOnce(BrokenStore):
    """Closing twice is an error."""

    async def close(self) -> None:
        """Refuse the second time."""
        if self._worker is None:
            raise DurumError
        await super().close()


class LeavesTheEndOut(BrokenStore):
    """The upper bound of a range is not in it."""

    async def read_range(self, run_id: str, from_seq: int = 1, to_seq: int | None = None) -> list[StoredEvent]:
        """Cut it off."""
        return await super().read_range(run_id, from_seq, None if to_seq is None else to_seq - 1)


class MixesLogs(BrokenStore):
    """A range that ends beyond its log goes on in another."""

    async def read_range(self, run_id: str, from_seq: int = 1, to_seq: int | None = None) -> list[StoredEvent]:
        """Add what lies behind."""
        events = await super().read_range(run_id, from_seq, to_seq)
        return events + ([event for run in self.runs.values() for event in run.events] if (to_seq or 0) > len(events) else [])


class KeepsOneLog(BrokenStore):
    """All runs share their events."""

    async def read_range(self, run_id: str, from_seq: int = 1, to_seq: int | None = None) -> list[StoredEvent]:
        """Read the run that was made last."""
        if run_id not in self.runs:
            return []
        return await super().read_range(list(self.runs)[-1], from_seq, to_seq)


class ListsOldestFirst(BrokenStore):
    """Heads stand the other way round."""

    async def heads(self) -> list[Head]:
        """Turn them."""
        return (await super().heads())[::-1]


class ListsEveryClaim(BrokenStore):
    """A run without events is listed."""

    async def heads(self) -> list[Head]:
        """List all."""
        return sorted((run.head for run in reversed(self.runs.values())), key=lambda head: -head.created_ms)


class LosesMessages(BrokenStore):
    """A message is acknowledged but goes with its sender."""

    async def close(self) -> None:
        """Drop all that wait."""
        await super().close()
        for run in self.runs.values():
            run.inbox.clear()


class ReadsNewestFirst(BrokenStore):
    """The inbox stands the other way round."""

    async def inbox(self, run_id: str) -> list[Message]:
        """Turn it."""
        return (await super().inbox(run_id))[::-1]


class TakesMessagesForNobody(BrokenStore):
    """A message to an unknown run is accepted."""

    async def send(self, message: Message) -> bool:
        """Say yes."""
        try:
            return await super().send(message)
        except NotFoundError:
            return True


class ForgetsKeys(BrokenStore):
    """A dedupe key goes with its message."""

    async def send(self, message: Message) -> bool:
        """Look at what waits only."""
        run = self._run(message.run_id)
        if not run.inbox:
            run.dedupe_keys.clear()
        return await super().send(message)


class KnowsNoKeys(BrokenStore):
    """Dedupe keys mean nothing."""

    async def send(self, message: Message) -> bool:
        """Take the key away."""
        return await super().send(msgspec.structs.replace(message, dedupe_key=None))


class LetsTheLastMessageWin(BrokenStore):
    """The same id again overwrites."""

    async def send(self, message: Message) -> bool:
        """Take the old one away."""
        self._run(message.run_id).inbox.pop(message.message_id, None)
        return await super().send(message)


class UsesKeysUp(BrokenStore):
    """A message that was refused for its id binds its key."""

    async def send(self, message: Message) -> bool:
        """Bind it."""
        accepted = await super().send(message)
        if message.dedupe_key:
            self._run(message.run_id).dedupe_keys.add(message.dedupe_key)
        return accepted


class StoresAnything(BrokenStore):
    """The id of an artifact is not checked."""

    async def put(self, artifact: Artifact) -> str:
        """Store it."""
        self._backend.artifacts[artifact.id] = artifact.data
        return artifact.id

    async def meant(self, asked: Append) -> Append:
        """Store them unchecked."""
        for artifact in asked.artifacts:
            await self.put(artifact)
        return asked._replace(artifacts=())


class ReadsUnchecked(BrokenStore):
    """Damaged bytes are handed out."""

    async def get(self, artifact_id: str) -> bytes:
        """Take what is there."""
        if artifact_id not in self._backend.artifacts:
            raise NotFoundError("artifact", artifact_id)
        return self._backend.artifacts[artifact_id]


class CutsAt64Kib(BrokenStore):
    """Large artifacts are acknowledged but not stored."""

    async def put(self, artifact: Artifact) -> str:
        """Leave large ones out."""
        return artifact.id if len(artifact.data) > 64 * 1024 else await super().put(artifact)


class StoresOnce(BrokenStore):
    """Storing the same bytes again is an error."""

    async def put(self, artifact: Artifact) -> str:
        """Refuse the second time."""
        if await self.exists(artifact.id):
            raise DurumError
        return await super().put(artifact)


class FindsAnything(BrokenStore):
    """Ids are looked up loosely."""

    async def exists(self, artifact_id: str) -> bool:
        """Look past case."""
        return await super().exists(artifact_id.lower())


class OwnsArtifacts(BrokenStore):
    """Artifacts go with the handle that stored them."""

    async def close(self) -> None:
        """Take them along."""
        await super().close()
        self._backend.artifacts.clear()


class LetsBothClaim(BrokenStore):
    """The look and the change are two transactions."""

    async def claim(self, run_id: str, *, create: bool = False, now_ms: int = 0) -> Head:
        """Take the run from whoever came in between."""
        try:
            return await super().claim(run_id, create=create, now_ms=now_ms)
        except RunOwnedError:
            if self.head_of(run_id).epoch % 4:
                raise
            self.set_head(run_id, owner=self.worker)
            return self.head_of(run_id)
