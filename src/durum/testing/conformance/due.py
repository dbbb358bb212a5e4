"""What workers find to drive, and whether they may still act for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durum.errors import ConcurrencyError
from durum.ports import DueRun, Message
from durum.testing.conformance.contract import OTHER_RUN, RUN, Contract, begun, check, present

if TYPE_CHECKING:
    from durum.engine.engine import Store

NOW_MS = 1_700_000_000_000
THIRD_RUN = "01890a5d-ac96-774b-bcce-b302099a8059"


class DueContract(Contract):
    """Runs nobody drives, and what a worker knows of its own."""

    @check
    async def test_an_owned_run_is_nobodys_to_find(self, store: Store, other: Store) -> None:
        """While its owner lives it is not due, whoever asks and whoever writes to it."""
        await begun(store, b"1")
        await store.send(Message(RUN, "m1", "note", b"{}"))
        assert await store.due(NOW_MS) == await other.due(NOW_MS) == []

    @check
    async def test_the_run_of_an_owner_that_is_gone_is_an_orphan(self, store: Store, other: Store) -> None:
        """It is due at once though nobody said so, and tells its epoch; one without events is not, for nothing can drive it."""
        epoch = (await begun(store, b"1")).epoch
        await store.claim(OTHER_RUN, create=True)
        await store.close()
        assert await other.due(NOW_MS) == [DueRun(RUN, orphaned=True, wake_ms=0, strikes=0, epoch=epoch)]

    @check
    async def test_a_released_run_is_due_when_it_said(self, store: Store) -> None:
        """Not before its moment, and never if it named none."""
        epoch = (await begun(store, b"1")).epoch
        await store.release(RUN, epoch, wake_ms=NOW_MS)
        await store.release(OTHER_RUN, (await begun(store, b"1", run_id=OTHER_RUN)).epoch)
        assert await store.due(NOW_MS - 1) == []
        assert await store.due(NOW_MS) == [DueRun(RUN, orphaned=False, wake_ms=NOW_MS, strikes=0, epoch=epoch)]

    @check
    async def test_a_message_makes_a_run_due(self, store: Store, other: Store) -> None:
        """One that waits for a word is due once there is one, and no more once that was taken."""
        epoch = (await begun(store, b"1")).epoch
        await store.release(RUN, epoch)
        await other.send(Message(RUN, "m1", "note", b"{}"))
        assert await other.due(NOW_MS) == [DueRun(RUN, orphaned=False, wake_ms=None, strikes=0, epoch=epoch)]
        await store.claim(RUN)
        assert await other.due(NOW_MS) == []

    @check
    async def test_orphans_come_first_then_what_is_due_the_longest(self, store: Store, other: Store) -> None:
        """Whatever order they were made in."""
        await other.release(RUN, (await begun(other, b"1")).epoch, wake_ms=NOW_MS)
        await other.release(OTHER_RUN, (await begun(other, b"1", run_id=OTHER_RUN)).epoch, wake_ms=NOW_MS - 1)
        await begun(store, b"1", run_id=THIRD_RUN)
        await store.close()
        assert [run.run_id for run in await other.due(NOW_MS)] == [THIRD_RUN, OTHER_RUN, RUN]

    @check
    async def test_claims_from_the_dead_are_counted_until_a_release(self, store: Store, other: Store) -> None:
        """An adoption is a strike, which the head tells; to let go of a run in peace takes them back, and is none itself."""
        assert (await begun(store, b"1")).strikes == 0
        await store.close()
        head = await other.claim(RUN)
        assert (head.strikes, (await present(other)).strikes) == (1, 1)
        await other.release(RUN, head.epoch, wake_ms=0)
        assert [run.strikes for run in await other.due(NOW_MS)] == [0]
        assert (await other.claim(RUN)).strikes == 0

    @check
    async def test_only_the_owner_of_this_epoch_may_act(self, store: Store, other: Store) -> None:
        """Whoever lost a run is told before it acts, by the epoch that counts; so is who never had it."""
        before = await begun(store, b"1")
        store.check_lease(RUN, before.epoch)
        assert _refused(other, before.epoch)
        await store.release(RUN, before.epoch)
        assert _refused(store, before.epoch)
        head = await other.claim(RUN)
        other.check_lease(RUN, head.epoch)
        assert _refused(store, before.epoch) == (before.epoch, head.epoch)


def _refused(store: Store, epoch: int) -> tuple[int, int] | None:
    """Return the epoch that was refused and the one that counts; None if nothing was refused."""
    try:
        store.check_lease(RUN, epoch)
    except ConcurrencyError as error:
        return error.epoch, error.actual_epoch
    return None
