"""Who may append to a run: one worker at a time, each under an epoch of its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from durum.codec import genesis_hash
from durum.errors import ConcurrencyError, NotFoundError, RunExistsError, RunOwnedError, StoreUnavailableError
from durum.ports import Head
from durum.testing.conformance.contract import OTHER_RUN, RUN, Contract, begun, chained, check, named, outcome, present, refused

if TYPE_CHECKING:
    from durum.engine.engine import Store

NOW_MS = 1_700_000_000_000
RACES = 20


class OwnershipContract(Contract):
    """Claiming, adopting and giving up."""

    @check
    async def test_an_unknown_run_has_nothing(self, store: Store) -> None:
        """A run nobody created has no head and no events, cannot be claimed, and asking leaves nothing behind."""
        await refused(NotFoundError, store.claim(RUN))
        await store.release(RUN, 1)
        assert await store.head(RUN) is None
        assert await store.read_range(RUN) == []
        assert await store.heads() == []

    @check
    async def test_a_created_run_is_empty_and_owned(self, store: Store, other: Store) -> None:
        """The first claim gives head 0, the run's genesis hash and its creator as owner; other handles see the same."""
        head = await store.claim(RUN, create=True, now_ms=NOW_MS)
        assert head == Head(RUN, 0, genesis_hash(RUN), head.epoch, store.worker, NOW_MS)
        assert await other.head(RUN) == head

    @check
    async def test_a_run_with_events_cannot_be_created_again(self, store: Store, other: Store) -> None:
        """A run id is used once, whether or not its owner still lives."""
        await begun(store, b"1")
        await refused(RunExistsError, other.claim(RUN, create=True))
        await store.close()
        await refused(RunExistsError, other.claim(RUN, create=True))

    @check
    async def test_a_run_without_events_is_created_again_once_its_creator_is_gone(self, store: Store, other: Store) -> None:
        """Whoever died between claim and first append does not block the id, but is fenced."""
        dead = await store.claim(RUN, create=True)
        await refused(RunOwnedError, other.claim(RUN, create=True))
        await store.close()
        head = await other.claim(RUN, create=True)
        assert (head.seq, head.owner) == (0, other.worker)
        assert head.epoch > dead.epoch

    @check
    async def test_a_living_owner_is_not_robbed(self, store: Store, other: Store) -> None:
        """While the owner's handle is open nobody can claim, not even the owner a second time; nothing changes."""
        await begun(store, b"1")
        before = await store.head(RUN)
        await refused(RunOwnedError, other.claim(RUN))
        await refused(RunOwnedError, store.claim(RUN))
        assert await other.head(RUN) == before

    @check
    async def test_a_run_is_adopted_once_its_owner_is_gone(self, store: Store, other: Store) -> None:
        """Adoption takes the log as it is, under a higher epoch, and the log goes on."""
        before = await begun(store, b"1", now_ms=NOW_MS)
        await store.close()
        head = await other.claim(RUN, now_ms=NOW_MS + 1)
        assert head == Head(RUN, 1, before.hash, head.epoch, other.worker, NOW_MS, strikes=1)
        assert head.epoch > before.epoch
        assert await other.head(RUN) == head
        assert await other.append(RUN, 1, head.epoch, chained(head.hash, 2, b"2")) == head.seq + 1

    @check
    async def test_an_owner_that_lost_its_run_is_fenced(self, store: Store, other: Store) -> None:
        """An append in the old epoch is refused although its seq fits, and tells the epoch that counts."""
        before = await begun(store, b"1")
        await store.release(RUN, before.epoch)
        head = await other.claim(RUN)
        error = await refused(ConcurrencyError, store.append(RUN, 1, before.epoch, chained(before.hash, 2, b"late")))
        assert (error.epoch, error.actual_epoch) == (before.epoch, head.epoch)
        assert len(await other.read_range(RUN)) == 1

    @check
    async def test_every_claim_has_an_epoch_of_its_own(self, store: Store, other: Store) -> None:
        """Given up and taken up again by either worker, the epoch only rises."""
        epochs = [(await begun(store, b"1")).epoch]
        for worker, last in ((other, store), (store, other), (store, store)):
            await last.release(RUN, epochs[-1])
            assert (await present(store)).owner is None
            epochs.append((await worker.claim(RUN)).epoch)
        assert epochs == sorted(set(epochs))

    @check
    async def test_only_the_owner_of_this_epoch_can_release(self, store: Store, other: Store) -> None:
        """A release by another worker, or in an epoch that is over, changes nothing."""
        head = await begun(store, b"1")
        await other.release(RUN, head.epoch)
        await store.release(RUN, head.epoch - 1)
        await store.release(RUN, head.epoch + 1)
        assert await store.head(RUN) == head

    @check
    async def test_each_handle_is_one_worker_that_lives_until_it_is_closed(self, store: Store, other: Store) -> None:
        """Workers have ids of their own that stay the same, are alive while open, and nobody else is."""
        worker = store.worker
        assert worker == store.worker != other.worker
        assert await other.is_alive(worker)
        assert await store.is_alive(worker)
        await store.close()
        assert not await other.is_alive(worker)
        assert not await other.is_alive("0" * 12)
        assert await other.is_alive(other.worker)

    @check
    async def test_closing_gives_up_what_this_handle_owned_only(self, store: Store, other: Store) -> None:
        """After a close its runs can be adopted, those of others still not; closing twice is no error."""
        await begun(store, b"1")
        await begun(other, b"1", run_id=OTHER_RUN)
        await store.close()
        await store.close()
        await refused(RunOwnedError, other.claim(OTHER_RUN))
        assert (await other.claim(RUN)).owner == other.worker

    @check
    async def test_a_closed_handle_does_nothing_more(self, store: Store, other: Store) -> None:
        """A task that outlived its run may still call: it is refused, and nothing is opened again for it."""
        head = await begun(store, b"1")
        await store.close()
        await refused(StoreUnavailableError, store.append(RUN, head.seq, head.epoch, chained(head.hash, head.seq + 1, b"2")))
        await refused(StoreUnavailableError, store.claim(RUN))
        await refused(StoreUnavailableError, store.head(RUN))
        await refused(StoreUnavailableError, store.put(named(b"x")))
        assert await other.head(RUN) == head

    @check
    async def test_of_two_who_claim_at_once_one_wins(self, store: Store, other: Store) -> None:
        """The loser is told that the run is owned, and the head names the winner."""
        epoch = (await begun(store, b"1")).epoch
        for _ in range(RACES):
            await store.release(RUN, epoch)
            await other.release(RUN, epoch)
            claims = await asyncio.gather(outcome(store.claim(RUN)), outcome(other.claim(RUN)))
            heads = [claim for claim in claims if isinstance(claim, Head)]
            assert len(heads) == 1, claims
            assert [type(claim) for claim in claims if not isinstance(claim, Head)] == [RunOwnedError]
            assert await store.head(RUN) == heads[0]
            epoch = heads[0].epoch
