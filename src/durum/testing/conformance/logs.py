"""What a log is: gapless, in order, byte for byte what was appended, all of an append or nothing of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from durum.errors import ConcurrencyError, CorruptionError, NotFoundError
from durum.ports import Artifact, Message, StoredEvent
from durum.testing.conformance.contract import (
    OTHER_RUN,
    RUN,
    Contract,
    begun,
    chained,
    check,
    named,
    opening,
    outcome,
    present,
    refused,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durum.engine.engine import Store
    from durum.ports import Head

FAR = 2**40
MANY = 1_000
LARGE = bytes(200_000)
BODIES = (
    b"{}",
    b"",
    b"\x00",
    b"a\x00b",
    b"\xff\xfe\x80",
    "ü\u2028\U0001f600".encode(),
    b"'; DROP TABLE runs; --",
    bytes(40_000),
)


async def untouched(store: Store, head: Head, artifact: Artifact) -> None:
    """Check that a refused append left the log, its head, the artifact it brought and the message it took as they were."""
    assert await store.head(head.run_id) == head
    assert len(await store.read_range(head.run_id)) == head.seq
    assert not await store.exists(artifact.id)
    assert [message.message_id for message in await store.inbox(head.run_id)] == ["kept"]


class LogContract(Contract):
    """Appending and reading back."""

    @check
    async def test_what_was_appended_reads_back(self, store: Store, other: Store) -> None:
        """Several appends read as one log, for every handle, and the head stands at its last event."""
        head = await begun(store)
        events = opening(b"1", b"2", b"3")
        assert await store.append(RUN, 0, head.epoch, events[:2]) == events[1].seq
        assert await store.append(RUN, 2, head.epoch, events[2:]) == events[2].seq
        assert await store.read_range(RUN) == events
        assert await other.read_range(RUN) == events
        seen = await present(other)
        assert (seen.seq, seen.hash) == (events[-1].seq, events[-1].hash)

    @check
    async def test_bodies_and_hashes_are_opaque(self, store: Store, other: Store) -> None:
        """NUL bytes, bytes that are no UTF-8, empty and long bodies come back byte for byte; a hash may hold any bytes."""
        head = await begun(store)
        events = [StoredEvent(seq, bytes([seq, 0]) * 16, body) for seq, body in enumerate(BODIES, 1)]
        await store.append(RUN, 0, head.epoch, events)
        read = await other.read_range(RUN)
        assert read == events
        assert {(type(event.hash), type(event.body)) for event in read} == {(bytes, bytes)}
        assert (await present(other)).hash == events[-1].hash

    @check
    async def test_a_long_append_is_gapless(self, store: Store) -> None:
        """A thousand events in one append are a thousand events in order."""
        head = await begun(store)
        await store.append(RUN, 0, head.epoch, opening(*(b"%d" % number for number in range(MANY))))
        assert [event.seq for event in await store.read_range(RUN)] == list(range(1, MANY + 1))

    @check
    async def test_an_append_of_nothing_changes_nothing(self, store: Store) -> None:
        """No events: the head that was expected comes back."""
        head = await begun(store, b"1")
        assert await store.append(RUN, head.seq, head.epoch, []) == head.seq
        assert await store.head(RUN) == head

    @check
    async def test_an_append_to_an_unknown_run_is_refused(self, store: Store) -> None:
        """Only a claim makes a run."""
        await refused(NotFoundError, store.append(RUN, 0, 1, opening(b"1")))
        assert await store.head(RUN) is None

    @check
    async def test_an_append_behind_another_head_is_refused_whole(self, store: Store) -> None:
        """Too low or too high: the error tells where the log stands, and nothing of the append is there."""
        head = await begun(store, b"1", b"2")
        await store.send(Message(RUN, "kept", "note", b"{}"))
        artifact = named(b"of a refused append")
        for expected in (0, 1, 3):
            events = chained(head.hash, expected + 1, b"x", b"y")
            error = await refused(ConcurrencyError, store.append(RUN, expected, head.epoch, events, [artifact], ["kept"]))
            assert (error.run_id, error.expected_seq, error.actual_seq) == (RUN, expected, head.seq)
            assert (error.epoch, error.actual_epoch) == (head.epoch, head.epoch)
            await untouched(store, head, artifact)

    @check
    async def test_an_append_in_another_epoch_is_refused_whole(self, store: Store) -> None:
        """Older or newer: the error tells the epoch that counts, and nothing of the append is there."""
        head = await begun(store, b"1")
        await store.send(Message(RUN, "kept", "note", b"{}"))
        artifact, large = named(b"of a refused append"), named(LARGE)
        for epoch in (head.epoch - 1, head.epoch + 1, 0, -1):
            events = chained(head.hash, 2, b"x")
            error = await refused(ConcurrencyError, store.append(RUN, 1, epoch, events, [artifact, large], ["kept"]))
            assert (error.actual_seq, error.epoch, error.actual_epoch) == (head.seq, epoch, head.epoch)
            await untouched(store, head, artifact)

    @check
    async def test_a_gap_inside_an_append_is_refused_whole(self, store: Store) -> None:
        """Every event must follow the one before: not only the first and the last are looked at."""
        head = await begun(store, b"1")
        await store.send(Message(RUN, "kept", "note", b"{}"))
        artifact = named(b"of a refused append")
        for seqs in ([3], [1], [2, 4], [2, 2], [3, 2], [2, 9, 4], [2, 3, 3], [0], [2, 3, 5]):
            events = [StoredEvent(seq, bytes(32), b"x") for seq in seqs]
            await refused(ConcurrencyError, store.append(RUN, 1, head.epoch, events, [artifact], ["kept"]))
            await untouched(store, head, artifact)

    @check
    async def test_of_two_appends_at_once_one_is_stored(self, store: Store, other: Store) -> None:
        """Two writers behind the same head: one is acknowledged, and its events are the log."""
        head = await begun(store)
        for _ in range(10):
            head = await present(store)
            mine, theirs = (chained(head.hash, head.seq + 1, body, body) for body in (b"mine", b"theirs"))
            done = await asyncio.gather(
                outcome(store.append(RUN, head.seq, head.epoch, mine)),
                outcome(other.append(RUN, head.seq, head.epoch, theirs)),
            )
            assert sorted(type(result).__name__ for result in done) == ["ConcurrencyError", "int"], done
            winner = mine if isinstance(done[0], int) else theirs
            assert await store.read_range(RUN, head.seq + 1) == winner

    @check
    async def test_artifacts_of_an_append_come_with_it(self, store: Store, other: Store) -> None:
        """Once the append is acknowledged its artifacts are there, small ones and large ones, also those stored before."""
        head = await begun(store)
        artifacts = [named(b""), named(b"small"), named(LARGE)]
        await store.put(artifacts[1])
        await store.append(RUN, 0, head.epoch, opening(b"1"), artifacts)
        await store.append(RUN, 1, head.epoch, chained(opening(b"1")[0].hash, 2, b"2"), artifacts)
        for artifact in artifacts:
            assert await other.get(artifact.id) == artifact.data

    @check
    async def test_an_append_with_a_false_artifact_is_refused_whole(self, store: Store) -> None:
        """Bytes under an id that is not theirs are never stored, nor is anything that came with them."""
        head = await begun(store)
        true, false = named(b"true"), Artifact("0" * 64, "other", b"false")
        for artifacts in ([true, false], [false, true]):
            await refused(CorruptionError, store.append(RUN, 0, head.epoch, opening(b"1"), artifacts))
            assert await store.head(RUN) == head
            assert await store.read_range(RUN) == []
            assert not await store.exists(true.id)
            assert not await store.exists(false.id)

    @check
    async def test_ranges_hold_both_bounds(self, store: Store) -> None:
        """Any bounds, far outside too, give the events between them and no other run's."""
        events = opening(b"1", b"2", b"3", b"4")
        await begun(store, b"before", run_id=OTHER_RUN)
        await begun(store, *(event.body for event in events))
        await begun(store, b"after", run_id=OTHER_RUN[:-1] + "9")

        async def seqs(*bounds: int | None) -> Sequence[int]:
            return [event.seq for event in await store.read_range(RUN, *bounds)]  # type: ignore[arg-type]

        assert await store.read_range(RUN, 2, 3) == events[1:3]
        assert await seqs(2, None) == [2, 3, 4]
        assert await seqs(4, 4) == [4]
        assert await seqs(3, 2) == await seqs(5, None) == await seqs(1, 0) == await seqs(1, -1) == []
        assert await seqs(0, FAR) == await seqs(-FAR, FAR) == await seqs(1, 2**32) == [1, 2, 3, 4]

    @check
    async def test_logs_of_several_runs_do_not_mix(self, store: Store, other: Store) -> None:
        """Two runs appended to in turn by two workers keep their own events, and heads."""
        first, second = await begun(store), await begun(other, run_id=OTHER_RUN)
        logs = [opening(b"1", b"2"), opening(b"one", b"two", run_id=OTHER_RUN)]
        for seq in range(2):
            await store.append(RUN, seq, first.epoch, logs[0][seq : seq + 1])
            await other.append(OTHER_RUN, seq, second.epoch, logs[1][seq : seq + 1])
        assert [await store.read_range(run_id) for run_id in (RUN, OTHER_RUN)] == logs

    @check
    async def test_heads_lists_runs_newest_first(self, store: Store, other: Store) -> None:
        """By the moment of creation, of two in one moment the later first; a run without events is not listed."""
        made = [(RUN[:-1] + digit, now_ms) for digit, now_ms in (("0", 20), ("1", 10), ("2", 20), ("3", 30))]
        for run_id, now_ms in made:
            await begun(store, b"1", run_id=run_id, now_ms=now_ms)
        await store.claim(OTHER_RUN, create=True, now_ms=40)
        heads = await other.heads()
        assert [head.run_id[-1] for head in heads] == ["3", "2", "0", "1"]
        assert heads == [await store.head(head.run_id) for head in heads]
