"""The ports that fail by plan fail just so, in every method their Protocols have."""

from __future__ import annotations

import asyncio
import inspect
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from durum import TransportError
from durum.errors import StoreUnavailableError
from durum.ports import ArtifactStore, EventStore, Message, Transport
from durum.stores.memory import MemoryStore
from durum.testing.conformance.contract import RUN, named, opening
from durum.testing.conformance.streams import pieces
from durum.testing.faulty import Fault, FaultyStore, FaultyTransport, Nth, failing, methods_of
from durum.testing.transports import ScriptedTransport

if TYPE_CHECKING:
    from collections.abc import Callable

STREAM = bytes(100_000)


def calls_of(store: FaultyStore) -> dict[str, Callable[[], Any]]:
    """Return one call of every method of a store; a run is there and its own."""
    artifact = named(b"x")
    return {
        "claim": lambda: store.claim("01890a5d-ac96-774b-bcce-b302099a8059", create=True),
        "append": lambda: store.append(RUN, 0, 1, opening(b"1")),
        "put": lambda: store.put(artifact),
        "put_stream": lambda: store.put_stream("other", pieces(STREAM)),
        "get": lambda: store.get(artifact.id),
        "get_many": lambda: store.get_many([artifact.id]),
        "exists": lambda: store.exists(artifact.id),
        "chunks": lambda: drained(store.chunks(artifact.id)),
        "send": lambda: store.send(Message(RUN, "m1", "note", b"{}")),
        "inbox": lambda: store.inbox(RUN),
        "addressed": store.addressed,
        "head": lambda: store.head(RUN),
        "heads": store.heads,
        "due": lambda: store.due(0),
        "read_range": lambda: store.read_range(RUN),
        "is_alive": lambda: store.is_alive(store.worker),
        "check_lease": lambda: store.check_lease(RUN, 1),
        "sync": store.sync,
        "release": lambda: store.release(RUN, 1),
    }


async def drained(chunks: Any) -> list[bytes]:
    """Return all pieces of a stream."""
    return [chunk async for chunk in chunks]


async def done(call: Callable[[], Any]) -> Any:
    """Return what a call gives, awaited if it is to be awaited."""
    given = call()
    return await given if inspect.isawaitable(given) else given


def test_no_method_of_a_port_is_left_out() -> None:
    """What the Protocols have is what can fail: a method that comes to them fails too, and is called here."""
    store = FaultyStore(MemoryStore())
    assert set(calls_of(store)) == set(methods_of(EventStore, ArtifactStore))
    assert set(methods_of(Transport)) == {"call"}
    for name in methods_of(EventStore, ArtifactStore):
        assert getattr(store, name) != getattr(store._inner, name)  # a bound method equals itself


@pytest.mark.parametrize("fault", Fault)
def test_every_method_can_fail_before_or_after_it_is_done(fault: Fault) -> None:
    """The caller sees the same error; what is stored differs."""

    async def scenario() -> list[object]:
        inner = MemoryStore()
        store = FaultyStore(inner)
        await store.claim(RUN, create=True)
        store.plan = lambda *_: fault
        calls = calls_of(store)
        if fault is Fault.NOT_DONE:  # there is nothing to be got after that
            await inner.put(named(b"x"))
        for name, call in calls.items():
            with pytest.raises(StoreUnavailableError, match=f"{name} number . was planned to fail"):
                await done(call)
        assert store.calls.keys() == calls.keys()
        head = await inner.head(RUN)
        assert head is not None
        return [head.seq, head.owner is None, await inner.exists(named(STREAM).id), len(await inner.inbox(RUN))]

    expected = [0, False, False, 0] if fault is Fault.NOT_DONE else [1, True, True, 1]
    assert asyncio.run(scenario()) == expected


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


def test_the_nth_call_of_all_fails_whichever_port_it_is_of() -> None:
    """Counted over everything that shares the plan; the error is the port's own, or the one that was asked for."""

    async def scenario() -> None:
        plan = Nth(2, Fault.NOT_DONE, 3)
        store = FaultyStore(MemoryStore(), plan, lambda reason: OSError(5, reason))
        transport = FaultyTransport(ScriptedTransport([1, 2]), plan)
        call: Any = SimpleNamespace(effect_key=None)
        assert await store.heads() == []
        with pytest.raises(TransportError, match="call number 1"):
            await transport.call({}, call)
        with pytest.raises(OSError, match="heads number 2"):
            await store.heads()
        assert await transport.call({}, call) == 1
        assert (plan.calls, plan.failed) == (["heads", "call", "heads", "call"], ["call", "heads"])

    asyncio.run(scenario())


def test_a_stream_that_is_not_acknowledged_is_whole_but_for_the_word_that_it_is() -> None:
    """Its pieces come, and the error in place of the end."""

    async def scenario() -> None:
        store = FaultyStore(MemoryStore(), failing("chunks", Fault.NOT_ACKNOWLEDGED))
        chunks = store.chunks(await store.put(named(b"x")))
        assert await anext(chunks) == b"x"
        with pytest.raises(StoreUnavailableError):
            await anext(chunks)

    asyncio.run(scenario())
