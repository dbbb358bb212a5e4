"""The store that fails by plan fails just so."""

from __future__ import annotations

import asyncio

import pytest

from durum.errors import StoreUnavailableError
from durum.ports import Message
from durum.stores.memory import MemoryStore
from durum.testing.conformance.contract import RUN, named, opening
from durum.testing.conformance.streams import pieces
from durum.testing.faulty import Fault, FaultyStore, failing


def test_every_method_can_fail_before_or_after_it_is_done() -> None:
    """The caller sees the same error; what is stored differs."""

    async def scenario(fault: Fault) -> list[object]:
        inner = MemoryStore()
        store = FaultyStore(inner, lambda method, _: fault if method != "claim" or fault is Fault.NOT_ACKNOWLEDGED else None)
        artifact, message = named(b"x"), Message(RUN, "m1", "note", b"{}")
        if fault is Fault.NOT_ACKNOWLEDGED:
            with pytest.raises(StoreUnavailableError, match="claim number 1"):
                await store.claim(RUN, create=True)
        else:
            await store.claim(RUN, create=True)
        for call in (
            store.append(RUN, 0, 1, opening(b"1")),
            store.put(artifact),
            store.put_stream("other", pieces(b"streamed")),
            store.send(message),
            store.release(RUN, 1),
            store.head(RUN),
            store.heads(),
            store.read_range(RUN),
            store.inbox(RUN),
            store.is_alive(store.worker),
            store.exists(artifact.id),
            anext(store.chunks(artifact.id)),
        ):
            with pytest.raises(StoreUnavailableError, match="planned to fail"):
                await call
        assert sum(store.calls.values()) == 13
        head = await inner.head(RUN)
        assert head is not None
        stored = [await inner.exists(each.id) for each in (artifact, named(b"streamed"))]
        return [head.seq, head.owner is None, stored, len(await inner.inbox(RUN))]

    assert asyncio.run(scenario(Fault.NOT_DONE)) == [0, False, [False, False], 0]
    assert asyncio.run(scenario(Fault.NOT_ACKNOWLEDGED)) == [1, True, [True, True], 1]


def test_a_plan_names_the_calls_that_fail() -> None:
    """From the first to the last, of one method only, and a plan can be taken away."""
    plan = failing("append", Fault.NOT_DONE, 2, 3)
    assert [plan("append", number) for number in range(1, 5)] == [None, Fault.NOT_DONE, Fault.NOT_DONE, None]
    assert plan("head", 2) is None
    assert failing("append", Fault.NOT_DONE, 2)("append", 999) is Fault.NOT_DONE

    async def scenario() -> None:
        store = FaultyStore(MemoryStore(), failing("heads", Fault.NOT_DONE))
        with pytest.raises(StoreUnavailableError):
            await store.heads()
        store.plan = None
        assert await store.heads() == []
        await store.close()

    asyncio.run(scenario())
