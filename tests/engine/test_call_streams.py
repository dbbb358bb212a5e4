"""What calls stream: never a secret this process resolved, whole or not there, and named by the call's fact."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from durum.core.known_secrets import KnownSecrets
from durum.engine.artifacts import ArtifactReader
from durum.engine.call_streams import MOST_ARTIFACTS, SHORTEST_SOUGHT, CallStreams, without_secrets
from durum.errors import TransportError
from durum.stores.memory import MemoryBackend, MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

CANARY = "canary-ä-4711"


async def given(chunks: Sequence[bytes]) -> AsyncIterator[bytes]:
    """Hand pieces out."""
    for chunk in chunks:
        yield chunk


def passed(chunks: Sequence[bytes], *secrets: tuple[str, str]) -> list[bytes]:
    """Return what comes through."""

    async def scenario() -> list[bytes]:
        return [chunk async for chunk in without_secrets(given(chunks), secrets)]

    return asyncio.run(scenario())


def cut(data: bytes, chance: random.Random) -> list[bytes]:
    """Return bytes in pieces of chance lengths, some of them empty."""
    pieces = []
    while data:
        length = chance.choice([0, 1, 1, 2, 3, 7, 40])
        pieces.append(data[:length])
        data = data[length:]
    return pieces


def test_a_secret_is_found_however_the_stream_is_cut() -> None:
    """At any place and over any number of pieces, one byte each too; the piece that completes it does not come through."""
    value = CANARY.encode()
    for seed in range(300):
        chance = random.Random(seed)
        before, after = chance.randbytes(chance.randrange(60)), chance.randbytes(chance.randrange(60))
        came: list[bytes] = []

        async def scenario(data: bytes, chance: random.Random, came: list[bytes]) -> None:
            others = [("OTHER", "x" * 30)] if chance.random() < 0.5 else []
            async for chunk in without_secrets(given(cut(data, chance)), [*others, ("TOKEN", CANARY)]):
                came.append(chunk)  # noqa: PERF401 - what came before the error counts

        with pytest.raises(TransportError, match="secret TOKEN") as caught:
            asyncio.run(scenario(before + value + after, chance, came))
        assert caught.value.transport_code == "secret_in_stream"
        assert value not in b"".join(came)
        assert CANARY not in str(caught.value)


def test_what_holds_no_secret_comes_through_as_it_is() -> None:
    """Not a byte is changed: neither a near miss nor a value that is too short to look for."""
    near = CANARY.encode()[:-1]
    for seed in range(50):
        chance = random.Random(seed)
        data = b"".join(chance.choice([near, b"\x00", b"secret", chance.randbytes(9)]) for _ in range(30))
        chunks = cut(data, chance)
        assert passed(chunks, ("TOKEN", CANARY), ("SHORT", "s" * 5 + "x")) == chunks
    assert passed([b"password", b""], ("SHORT", "password"[: SHORTEST_SOUGHT - 1])) == [b"password", b""]
    assert passed([b"anything"]) == [b"anything"]


def streams(store: MemoryStore, **secrets: str) -> CallStreams:
    """Return the streams of a call that knows secrets."""
    known = KnownSecrets()
    for name, value in secrets.items():
        known.add(name, value)
    return CallStreams(ArtifactReader(store), known)


def test_a_refused_stream_is_not_stored() -> None:
    """Neither whole nor the part before the secret; what the call names is what was stored, each once."""
    backend = MemoryBackend()

    async def scenario() -> None:
        call = streams(MemoryStore(backend), TOKEN=CANARY)
        with pytest.raises(TransportError, match="TOKEN"):
            await call.put(given([b"before ", CANARY.encode()[:5], CANARY.encode()[5:], b"after"]))
        assert (backend.artifacts, call.ids) == ({}, ())
        first = await call.put(given([b"a", b"b"]))
        again = await call.put(given([b"ab"]))
        second = await call.put(given([]))
        assert (first, again, second.size) == (first, first, 0)
        assert call.ids == (first.id, second.id)
        assert set(backend.artifacts) == set(call.ids)
        assert [chunk async for chunk in call.get(first.id)] == [b"ab"]

    asyncio.run(scenario())


def test_a_call_cannot_stream_more_than_its_fact_can_name() -> None:
    """The fact is an event, and a call that went beyond it could not be recorded any more."""

    async def scenario() -> None:
        call = streams(MemoryStore())
        for number in range(MOST_ARTIFACTS):
            await call.put(given([bytes([number])]))
        with pytest.raises(TransportError, match="several calls") as caught:
            await call.put(given([b"one more"]))
        assert caught.value.transport_code == "too_many_artifacts"
        assert len(call.ids) == MOST_ARTIFACTS

    asyncio.run(scenario())
