"""How one test of a store is run: over fresh handles, in its own event loop, with nothing but asserts."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeVar

from durum.codec import chain_hash, genesis_hash
from durum.ports import Artifact, Head, StoredEvent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence
    from contextlib import AbstractAsyncContextManager

    from durum.engine.engine import Store

    Check = Callable[..., Coroutine[Any, Any, None]]

E = TypeVar("E", bound=BaseException)

RUN = "01890a5d-ac96-774b-bcce-b302099a8057"
OTHER_RUN = "01890a5d-ac96-774b-bcce-b302099a8058"


class Contract:
    """What a subclass gives: handles on a store of its own."""

    def handles(self) -> AbstractAsyncContextManager[Sequence[Store]]:
        """Make a fresh, empty store and yield two handles on it, each a worker; a test may have closed them when it ends."""
        raise NotImplementedError

    async def damage(self, artifact_id: str) -> bool:
        """Change the stored bytes of an artifact behind the store's back; False: that cannot be done to this store."""
        del artifact_id
        return False


def check(function: Check) -> Callable[[Any], None]:
    """Make a test of an async method that takes one handle or two."""
    wanted = function.__code__.co_argcount - 1

    def test(self: Contract) -> None:
        async def run() -> None:
            async with self.handles() as opened:
                await function(self, *opened[:wanted])

        asyncio.run(run())

    for name in (
        "__module__",
        "__name__",
        "__qualname__",
        "__doc__",
    ):  # not __wrapped__: pytest would take handles for fixtures
        setattr(test, name, getattr(function, name))
    return test


async def refused(kind: type[E], work: Awaitable[object]) -> E:
    """Return the error that ``work`` must raise."""
    try:
        await work
    except kind as error:
        return error
    message = f"it was accepted, but {kind.__name__} was due"
    raise AssertionError(message)


async def outcome(work: Awaitable[object]) -> object:
    """Return what ``work`` gives or raises; for several at once."""
    try:
        return await work
    except Exception as error:  # noqa: BLE001 - it is what the caller asks for
        return error


def chained(prev_hash: bytes, first: int, *bodies: bytes) -> list[StoredEvent]:
    """Return events with these bodies from ``first`` on, chained behind ``prev_hash``."""
    events = []
    for seq, body in enumerate(bodies, first):
        prev_hash = chain_hash(prev_hash, body)
        events.append(StoredEvent(seq, prev_hash, body))
    return events


def opening(*bodies: bytes, run_id: str = RUN) -> list[StoredEvent]:
    """Return the first events of a run."""
    return chained(genesis_hash(run_id), 1, *bodies)


def named(data: bytes, kind: str = "other") -> Artifact:
    """Return bytes as an artifact under their own id."""
    return Artifact(sha256(data).hexdigest(), kind, data)


async def begun(store: Store, *bodies: bytes, run_id: str = RUN, now_ms: int = 0) -> Head:
    """Create a run with these events and return its head."""
    head = await store.claim(run_id, create=True, now_ms=now_ms)
    if bodies:
        await store.append(run_id, 0, head.epoch, opening(*bodies, run_id=run_id))
    return await present(store, run_id)


async def present(store: Store, run_id: str = RUN) -> Head:
    """Return the head of a run that must be there."""
    head = await store.head(run_id)
    assert head is not None, f"run {run_id} is gone"
    return head
