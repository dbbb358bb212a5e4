"""A store whose calls fail as a test plans it, to see that what runs on it loses nothing and does nothing twice."""

from __future__ import annotations

from collections import Counter
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

from durum.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Sequence

    from durum.engine.engine import Store
    from durum.ports import Artifact, Head, Message, StoredEvent, StoredFile

    Plan = Callable[[str, int], "Fault | None"]

T = TypeVar("T")


class Fault(Enum):
    """How a call fails. Either way its caller gets ``StoreUnavailableError`` and cannot tell which it was."""

    NOT_DONE = "nothing was stored"
    NOT_ACKNOWLEDGED = "it was stored, the answer was lost"


def failing(method: str, fault: Fault, first: int = 1, last: int | None = None) -> Plan:
    """Plan that calls ``first`` to ``last`` of a method fail (1-based, both included; None: from then on)."""

    def plan(called: str, number: int) -> Fault | None:
        return fault if called == method and first <= number and (last is None or number <= last) else None

    return plan


class FaultyStore:
    """Implements ``EventStore`` and ``ArtifactStore`` by another store; ``plan`` is asked before every call.

    ``calls`` counts them by method. ``plan`` may be replaced at any time, by None for a store that works again.
    """

    def __init__(self, store: Store, plan: Plan | None = None) -> None:
        self._store = store
        self.plan = plan
        self.calls: Counter[str] = Counter()

    async def _call(self, method: str, perform: Callable[[], Awaitable[T]]) -> T:
        self.calls[method] += 1
        fault = None if self.plan is None else self.plan(method, self.calls[method])
        if fault is None:
            return await perform()
        if fault is Fault.NOT_ACKNOWLEDGED:
            await perform()
        raise StoreUnavailableError("of this test", f"{method} number {self.calls[method]} was planned to fail")

    @property
    def worker(self) -> str:
        """The id this handle claims runs under."""
        return self._store.worker

    async def claim(self, run_id: str, *, create: bool = False, now_ms: int = 0) -> Head:
        """See ``EventStore.claim``."""
        return await self._call("claim", lambda: self._store.claim(run_id, create=create, now_ms=now_ms))

    async def release(self, run_id: str, epoch: int) -> None:
        """See ``EventStore.release``."""
        await self._call("release", lambda: self._store.release(run_id, epoch))

    async def append(
        self,
        run_id: str,
        expected_seq: int,
        epoch: int,
        events: Sequence[StoredEvent],
        artifacts: Sequence[Artifact] = (),
        consumed: Sequence[str] = (),
    ) -> int:
        """See ``EventStore.append``."""
        return await self._call("append", lambda: self._store.append(run_id, expected_seq, epoch, events, artifacts, consumed))

    async def head(self, run_id: str) -> Head | None:
        """See ``EventStore.head``."""
        return await self._call("head", lambda: self._store.head(run_id))

    async def heads(self) -> list[Head]:
        """See ``EventStore.heads``."""
        return await self._call("heads", self._store.heads)

    async def read_range(self, run_id: str, from_seq: int = 1, to_seq: int | None = None) -> list[StoredEvent]:
        """See ``EventStore.read_range``."""
        return await self._call("read_range", lambda: self._store.read_range(run_id, from_seq, to_seq))

    async def is_alive(self, worker: str) -> bool:
        """See ``EventStore.is_alive``."""
        return await self._call("is_alive", lambda: self._store.is_alive(worker))

    async def send(self, message: Message) -> bool:
        """See ``EventStore.send``."""
        return await self._call("send", lambda: self._store.send(message))

    async def inbox(self, run_id: str) -> list[Message]:
        """See ``EventStore.inbox``."""
        return await self._call("inbox", lambda: self._store.inbox(run_id))

    async def addressed(self) -> list[str]:
        """See ``EventStore.addressed``."""
        return await self._call("addressed", self._store.addressed)

    async def put(self, artifact: Artifact) -> str:
        """See ``ArtifactStore.put``."""
        return await self._call("put", lambda: self._store.put(artifact))

    async def get(self, artifact_id: str) -> bytes:
        """See ``ArtifactStore.get``."""
        return await self._call("get", lambda: self._store.get(artifact_id))

    async def put_stream(self, kind: str, chunks: AsyncIterable[bytes]) -> StoredFile:
        """See ``ArtifactStore.put_stream``."""
        return await self._call("put_stream", lambda: self._store.put_stream(kind, chunks))

    async def chunks(self, artifact_id: str) -> AsyncGenerator[bytes, None]:
        """See ``ArtifactStore.chunks``; a call that fails hands nothing out."""

        async def begin() -> AsyncGenerator[bytes, None]:
            return self._store.chunks(artifact_id)

        async for chunk in await self._call("chunks", begin):
            yield chunk

    async def exists(self, artifact_id: str) -> bool:
        """See ``ArtifactStore.exists``."""
        return await self._call("exists", lambda: self._store.exists(artifact_id))

    async def close(self) -> None:
        """Close the store behind."""
        await self._store.close()
