"""What anyone may tell a run: messages that are durable at once, in order, and taken into the log by its owner once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durum.errors import ConcurrencyError, NotFoundError
from durum.ports import Message
from durum.testing.conformance.contract import OTHER_RUN, RUN, Contract, begun, chained, check, named, present, refused

if TYPE_CHECKING:
    from durum.engine.engine import Store

PAYLOADS = (b"{}", b"", b"\x00\xff", bytes(100_000))


def note(message_id: str, key: str | None = None, *, run_id: str = RUN, payload: bytes = b"{}") -> Message:
    """Return a message."""
    return Message(run_id, message_id, "note", payload, key)


async def ids(store: Store, run_id: str = RUN) -> list[str]:
    """Return the ids of the messages that wait."""
    return [message.message_id for message in await store.inbox(run_id)]


async def consume(store: Store, *message_ids: str) -> None:
    """Take messages over in an append."""
    head = await present(store)
    await store.append(RUN, head.seq, head.epoch, chained(head.hash, head.seq + 1, b"took"), (), message_ids)


class InboxContract(Contract):
    """Sending, reading and consuming messages."""

    @check
    async def test_messages_wait_in_order(self, store: Store, other: Store) -> None:
        """Whoever sends, and whoever owns the run: all handles see every message, oldest first, byte for byte."""
        await begun(store)
        for place, payload in enumerate(PAYLOADS):
            sender = other if place else store
            assert await sender.send(note(f"m{9 - place}", payload=payload))
        for reader in (store, other):
            waiting = await reader.inbox(RUN)
            assert [(message.message_id, message.payload) for message in waiting] == [
                (f"m{9 - place}", payload) for place, payload in enumerate(PAYLOADS)
            ]
            assert {(message.run_id, message.kind) for message in waiting} == {(RUN, "note")}

    @check
    async def test_a_run_without_an_owner_takes_messages(self, store: Store, other: Store) -> None:
        """No process needs to be alive for a message to be accepted, and it outlives its sender."""
        head = await begun(store, b"1")
        await store.release(RUN, head.epoch)
        await other.send(note("m1"))
        await other.close()
        assert await ids(store) == ["m1"]

    @check
    async def test_an_unknown_run_takes_no_message(self, store: Store) -> None:
        """Sending to and reading from a run that is not there is refused."""
        await refused(NotFoundError, store.send(note("m1")))
        await refused(NotFoundError, store.inbox(RUN))

    @check
    async def test_the_first_message_with_a_dedupe_key_wins(self, store: Store, other: Store) -> None:
        """A later one is not accepted, whoever sends it; without a key, and in another run, nothing is in the way."""
        await begun(store)
        await begun(store, run_id=OTHER_RUN)
        assert await store.send(note("m1", "gate"))
        assert not await other.send(note("m2", "gate"))
        assert not await store.send(note("m3", "gate"))
        assert await store.send(note("m4"))
        assert await store.send(note("m5"))
        assert await store.send(note("m6", "gate2"))
        assert await other.send(note("m1", "gate", run_id=OTHER_RUN))
        assert await ids(store) == ["m1", "m4", "m5", "m6"]
        assert await ids(store, OTHER_RUN) == ["m1"]

    @check
    async def test_a_dedupe_key_outlives_its_message(self, store: Store, other: Store) -> None:
        """The first answer wins for good: also after it was taken into the log."""
        await begun(store)
        await store.send(note("m1", "gate"))
        await consume(store, "m1")
        assert not await other.send(note("m2", "gate"))
        assert await ids(store) == []

    @check
    async def test_a_message_that_waits_is_not_accepted_twice(self, store: Store) -> None:
        """The same id again is refused and changes nothing, and does not use up the key it came with."""
        await begun(store)
        assert await store.send(note("m1", payload=b"first"))
        assert not await store.send(note("m1", payload=b"second"))
        assert not await store.send(note("m1", "gate"))
        assert [message.payload for message in await store.inbox(RUN)] == [b"first"]
        assert await store.send(note("m2", "gate"))

    @check
    async def test_an_append_takes_over_the_messages_it_names(self, store: Store, other: Store) -> None:
        """Those and no others are gone, for every handle; a name that does not wait is no matter; other runs keep theirs."""
        await begun(store, run_id=OTHER_RUN)
        await begun(store)
        for message_id in ("m1", "m2", "m3"):
            await store.send(note(message_id))
            await store.send(note(message_id, run_id=OTHER_RUN))
        await consume(store, "m1", "m3", "never sent")
        assert await ids(other) == ["m2"]
        assert await ids(other, OTHER_RUN) == ["m1", "m2", "m3"]

    @check
    async def test_a_refused_append_takes_no_message(self, store: Store) -> None:
        """What a fenced owner wanted to take over still waits for the next one."""
        head = await begun(store, b"1")
        await store.send(note("m1"))
        late = store.append(RUN, 1, head.epoch - 1, chained(head.hash, 2, b"late"), [named(b"x")], ["m1"])
        await refused(ConcurrencyError, late)
        assert await ids(store) == ["m1"]
