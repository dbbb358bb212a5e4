"""The contract an executable state implements, and what it is handed (seed 002: state, context, io, recorder)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from durum.core.canonical import JsonObject, JsonValue

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from durum.core.meta import StateMeta


class SnapshotPolicy(StrEnum):
    """A state's wish for a further snapshot; the one after every success is taken whatever it says."""

    NEVER = "never"
    ON_SUCCESS = "on_success"
    ALWAYS = "always"


class StateOutcome(msgspec.Struct, frozen=True):
    """What a successful handler returns."""

    snapshot: SnapshotPolicy = SnapshotPolicy.ON_SUCCESS


class DynContext(Protocol):
    """The run's key-value data as one attempt sees it: reads fall through to the base snapshot, writes are staged."""

    def read(self, key: str) -> JsonValue:
        """Return a fresh copy of the value, None if the key is absent; ``has`` tells an absent key from a null."""

    def has(self, key: str) -> bool:
        """Tell whether the key is there."""

    def write(self, key: str, value: object) -> None:
        """Stage a value; it is fixed as canonical JSON now, later changes to the object count for nothing."""

    def append(self, key: str, items: Sequence[object]) -> None:
        """Stage items to add to a key that merges by appending."""

    def delete(self, key: str) -> None:
        """Stage the removal of a key."""

    def dump(self) -> JsonObject:
        """Return the full context with the staged changes."""


class IoCall(msgspec.Struct, frozen=True):
    """One call to the outside: ``request`` is JSON and is kept beside the outcome.

    ``fact_key`` None derives the key from state, namespace, request and occurrence. ``keep`` "attempt" makes a success
    bind within its attempt only, so that a retry asks again. ``read`` False makes the call an effect.
    """

    namespace: str
    request: JsonObject
    fact_key: str | None = None
    keep: str = "run"
    read: bool = True
    judge: Callable[[JsonValue], None] | None = None  # raises TransportError for a response that counts as a failure
    body: Callable[[], Awaitable[JsonValue]] | None = None  # performs the call in place of a transport


class IoResult(msgspec.Struct, frozen=True):
    """The outcome of a call, and the artifact that records it."""

    response: JsonValue
    recorded_payload_id: str | None


class IoProvider(Protocol):
    """Performs calls, live or from the record. Nothing in it parks a run."""

    async def call(self, call: IoCall) -> IoResult:
        """Return the outcome of a call, from the record if its key is bound; raise the recorded error otherwise."""

    async def record_value(self, key: str, value: object) -> str:
        """Bind a value to an explicit key and return its artifact id; the first binding wins."""

    async def get_recorded_fact(self, key: str) -> str | None:
        """Return the artifact id bound to a key in this attempt's sight, None if unbound."""

    async def now_millis(self) -> int:
        """Return the recorded time in ms since the Unix epoch."""

    async def random_bytes(self, n: int) -> bytes:
        """Return ``n`` recorded random bytes, the same in every attempt."""


class Done:
    """What a call returns that is done at once: it may be awaited, as the seed's recorder is, or not.

    Signatures say ``Any`` for it, so that no type checker asks for an await that nobody needs.
    """

    def __await__(self) -> Iterator[None]:
        """Suspend nobody."""
        return iter(())


DONE = Done()


class EventRecorder(Protocol):
    """Records what a state reports, inside its attempt."""

    def emit(self, name: str, payload: object = None, *, verbose: bool = False) -> Any:  # noqa: ANN401 - see ``Done``
        """Add one domain event to the next append; reserved names are refused."""

    def emit_many(self, events: Iterable[tuple[str, object]]) -> Any:  # noqa: ANN401 - see ``Done``
        """Add several domain events, given as (name, payload), in order."""


class State(Protocol):
    """The behaviour of a state. It does not own its id; the plan assigns that.

    Two attributes are optional, looked up once an attempt: ``inline`` (True: the handler never suspends and needs no task of
    its own) and ``retryable(error) -> bool | None`` (whether an exception is worth another attempt; None goes by its own word).
    """

    def meta(self) -> StateMeta:
        """Return what planning, replay and policies go by."""

    async def handle(self, ctx: DynContext, io: IoProvider, rec: EventRecorder) -> StateOutcome:
        """Execute once; raising fails the attempt."""
