"""Stores with one fault each, for the conformance suite to find."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from durum.errors import ConcurrencyError
from durum.ports import Artifact, Head, StoredEvent
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
        *,
        sync: bool = True,
    ) -> int:
        """Append what is meant."""
        meant = await self.meant(Append(run_id, expected_seq, epoch, events, artifacts, consumed))
        await super().append(*meant, sync=sync)
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
        *,
        sync: bool = True,
    ) -> int:
        """Say what was asked for."""
        try:
            return await super().append(run_id, expected_seq, epoch, events, artifacts, consumed, sync=sync)
        except ConcurrencyError:
            raise ConcurrencyError(run_id, expected_seq, expected_seq, epoch, epoch) from None


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
