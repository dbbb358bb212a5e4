"""What streaming an artifact is: the same bytes under the same id, in bounded pieces, whole or not there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from durum.errors import CorruptionError, NotFoundError
from durum.ports import MAX_CHUNK_BYTES, StoredFile
from durum.testing.conformance.artifacts import KIB, sized
from durum.testing.conformance.contract import Contract, check, named, refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from durum.engine.engine import Store

LONG = MAX_CHUNK_BYTES + 300_000
STREAMED = (0, 1, 64 * KIB, 64 * KIB + 1, LONG)


async def pieces(data: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    """Hand bytes out in pieces, an empty one before each."""
    for start in range(0, len(data), size):
        yield b""
        await asyncio.sleep(0)
        yield data[start : start + size]


async def breaking_off(data: bytes, error: Exception) -> AsyncIterator[bytes]:
    """Hand bytes out in pieces and fail in place of the end."""
    async for piece in pieces(data):
        yield piece
    raise error


async def received(store: Store, artifact_id: str) -> list[bytes]:
    """Return the pieces a store hands out."""
    return [chunk async for chunk in store.chunks(artifact_id)]


class StreamContract(Contract):
    """Storing and getting artifacts as streams."""

    @check
    async def test_a_stream_of_any_size_comes_back(self, store: Store, other: Store) -> None:
        """Whatever pieces it came in: id and size are those of the bytes, and every handle gets them, whole and in pieces."""
        for artifact in map(sized, STREAMED):
            for size in (len(artifact.data) // 3 + 1, 2 * MAX_CHUNK_BYTES):
                stored = await store.put_stream("other", pieces(artifact.data, size))
                assert stored == StoredFile(artifact.id, len(artifact.data))
                assert await other.exists(artifact.id)
                assert b"".join(await received(other, artifact.id)) == artifact.data
                assert await other.get(artifact.id) == artifact.data

    @check
    async def test_what_was_put_whole_is_handed_out_in_pieces(self, store: Store) -> None:
        """However large an artifact is, and however it came, no piece is: that is what bounds the reader's memory."""
        for artifact in map(sized, STREAMED):
            await store.put(artifact)
            chunks = await received(store, artifact.id)
            assert b"".join(chunks) == artifact.data
            assert all(0 < len(chunk) <= MAX_CHUNK_BYTES for chunk in chunks)

    @check
    async def test_a_stream_outlives_its_handle(self, store: Store, other: Store) -> None:
        """What was streamed is durable once the call returns."""
        for artifact in map(sized, STREAMED):
            await store.put_stream("other", pieces(artifact.data))
        await store.close()
        for artifact in map(sized, STREAMED):
            assert b"".join(await received(other, artifact.id)) == artifact.data

    @check
    async def test_streaming_again_is_no_harm(self, store: Store, other: Store) -> None:
        """The same bytes may come any number of times, at once too, streamed or whole."""
        for artifact in map(sized, STREAMED):
            await store.put(artifact)
            streams = [handle.put_stream("manifest", pieces(artifact.data)) for handle in (store, other, store)]
            assert await asyncio.gather(*streams) == [StoredFile(artifact.id, len(artifact.data))] * 3
            assert await store.put(artifact) == artifact.id
            assert await store.get(artifact.id) == artifact.data

    @check
    async def test_streams_side_by_side_do_not_mix(self, store: Store, other: Store) -> None:
        """Each keeps its own bytes."""
        data = [bytes([number]) * LONG for number in range(4)]
        handles = (store, store, other, other)
        streams = [handle.put_stream("other", pieces(each)) for handle, each in zip(handles, data, strict=True)]
        stored = await asyncio.gather(*streams)
        assert [each.id for each in stored] == [named(each).id for each in data]
        for each, content in zip(stored, data, strict=True):
            assert b"".join(await received(store, each.id)) == content

    @check
    async def test_a_stream_that_breaks_off_is_not_stored(self, store: Store, other: Store) -> None:
        """What its source raises comes through as it is, an error of the system included, and no part of it is there."""
        for size in (1, 64 * KIB + 1, LONG):
            for error in (OSError(5, "the source"), ValueError("the source")):
                data = sized(size).data
                raised = await refused(type(error), store.put_stream("other", breaking_off(data, error)))
                assert raised is error
                assert not await other.exists(named(data).id)
        assert await store.put_stream("other", pieces(b"x")) == StoredFile(named(b"x").id, 1)

    @check
    async def test_a_stream_that_is_cancelled_is_not_stored(self, store: Store, other: Store) -> None:
        """Whoever stops waiting leaves nothing behind that has a name."""
        for size in (1, 64 * KIB + 1, LONG):
            data = sized(size).data
            waits = asyncio.Event()

            async def endless(data: bytes = data, waits: asyncio.Event = waits) -> AsyncIterator[bytes]:
                async for piece in pieces(data):
                    yield piece
                waits.set()
                await asyncio.get_running_loop().create_future()

            stream = asyncio.create_task(store.put_stream("other", endless()))
            reached = asyncio.create_task(waits.wait())
            await asyncio.wait({stream, reached}, return_when=asyncio.FIRST_COMPLETED)
            reached.cancel()
            stream.cancel()
            await asyncio.wait({stream})
            assert stream.cancelled()
            assert not await other.exists(named(data).id)

    @check
    async def test_an_unknown_artifact_has_no_pieces(self, store: Store) -> None:
        """An id nobody stored, and a spelling that is no id, are just not there."""
        known = await store.put(named(b"known"))
        for unknown in ("0" * 64, "", "../" + known, known.upper(), known[:-1]):
            await refused(NotFoundError, received(store, unknown))

    @check
    async def test_damage_is_told_before_the_last_piece(self, store: Store, other: Store) -> None:
        """Nobody can take damaged bytes for whole: the error comes in place of the end."""
        for artifact in map(sized, (1, LONG)):
            await store.put_stream("other", pieces(artifact.data))
            if not await self.damage(artifact.id):
                continue
            for handle in (store, other):
                seen: list[bytes] = []
                await refused(CorruptionError, _into(seen, handle, artifact.id))
                assert sum(map(len, seen)) < len(artifact.data)

    @check
    async def test_a_reader_may_stop_early(self, store: Store) -> None:
        """Who has seen enough leaves; the next reader begins anew."""
        artifact = sized(LONG)
        await store.put(artifact)
        chunks = store.chunks(artifact.id)
        first = await anext(chunks)
        await chunks.aclose()
        assert artifact.data.startswith(first)
        assert b"".join(await received(store, artifact.id)) == artifact.data


async def _into(seen: list[bytes], store: Store, artifact_id: str) -> None:
    async for chunk in store.chunks(artifact_id):
        seen.append(chunk)  # noqa: PERF401 - what came before an error counts
