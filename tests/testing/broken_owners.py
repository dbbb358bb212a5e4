"""Stores that let the wrong worker write, for the conformance suite to find."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durum.codec import genesis_hash
from durum.errors import DurumError, RunExistsError, RunOwnedError
from tests.testing.broken_stores import BrokenStore

if TYPE_CHECKING:
    from durum.ports import DueRun, Head


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

    async def release(self, run_id: str, epoch: int, *, wake_ms: int | None = None) -> None:
        """Free it."""
        del epoch, wake_ms
        if run_id in self.runs:
            self.set_head(run_id, owner=None)


class NeverReleases(BrokenStore):
    """A run that was given up stays owned."""

    async def release(self, run_id: str, epoch: int, *, wake_ms: int | None = None) -> None:
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


class ForgetsWhen(BrokenStore):
    """Nobody ever takes up what was let go."""

    async def release(self, run_id: str, epoch: int, *, wake_ms: int | None = None) -> None:
        """Leave the moment out."""
        del wake_ms
        await super().release(run_id, epoch)


class WakesEarly(BrokenStore):
    """What waits for a moment is due before it."""

    async def due(self, now_ms: int) -> list[DueRun]:
        """Look ahead."""
        return await super().due(now_ms + 1)


class HandsOutWhatIsOwned(BrokenStore):
    """A worker finds the runs of the living."""

    async def due(self, now_ms: int) -> list[DueRun]:
        """Take everyone for dead."""
        alive, self._backend.alive = self._backend.alive, set()
        found = await super().due(now_ms)
        self._backend.alive = alive
        return found


class OverlooksOrphans(BrokenStore):
    """Only what was let go is found."""

    async def due(self, now_ms: int) -> list[DueRun]:
        """Leave the others out."""
        return [run for run in await super().due(now_ms) if not run.orphaned]


class OverlooksMessages(BrokenStore):
    """Whoever writes to a run at rest writes to nobody."""

    async def due(self, now_ms: int) -> list[DueRun]:
        """Leave them out."""
        return [run for run in await super().due(now_ms) if run.wake_ms is not None]


class TakesTheNewestFirst(BrokenStore):
    """What waits the longest waits on."""

    async def due(self, now_ms: int) -> list[DueRun]:
        """Turn them round."""
        return (await super().due(now_ms))[::-1]


class CountsNoStrikes(BrokenStore):
    """Whoever kills its owners is never found out."""

    async def claim(self, run_id: str, *, create: bool = False, now_ms: int = 0) -> Head:
        """Take the strike back."""
        await super().claim(run_id, create=create, now_ms=now_ms)
        self.set_head(run_id, strikes=0)
        return self.head_of(run_id)


class ForgivesNothing(BrokenStore):
    """A strike counts for good."""

    async def release(self, run_id: str, epoch: int, *, wake_ms: int | None = None) -> None:
        """Put the strikes back."""
        strikes = self.head_of(run_id).strikes if run_id in self.runs else 0
        await super().release(run_id, epoch, wake_ms=wake_ms)
        if run_id in self.runs:
            self.set_head(run_id, strikes=strikes)


class LetsEveryoneAct(BrokenStore):
    """Whoever lost its run is not told."""

    def check_lease(self, run_id: str, epoch: int) -> None:
        """Say nothing."""


class OpensAgain(BrokenStore):
    """A handle that was closed is as good as a new one."""

    async def close(self) -> None:
        """Let go, and keep what is needed to go on."""
        opened = self._opened
        await super().close()
        self._opened = opened
