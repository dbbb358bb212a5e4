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
    """A state's wish for a further snapshot: ALWAYS keeps what a failed attempt had staged; every success is kept anyway."""

    NEVER = "never"
    ON_SUCCESS = "on_success"
    ALWAYS = "always"


class Items(msgspec.Struct, frozen=True):
    """The plan grows by the states of ``count`` items, under the rule of the state that counted them."""

    count: int


class Child(msgspec.Struct, frozen=True):
    """A run of its own is started with these inputs; the state its node names waits for it."""

    inputs: JsonObject


class StateOutcome(msgspec.Struct, frozen=True):
    """What a successful handler returns: its wish for a snapshot, and what is to run next beyond the plan."""

    snapshot: SnapshotPolicy = SnapshotPolicy.ON_SUCCESS
    extension: Items | Child | None = None


class UnknownEffect(msgspec.Struct, frozen=True):
    """An effect that was begun and whose outcome nobody recorded, as a ``reconcile`` hook is asked about it."""

    key: str  # the idempotency key the receiver was handed
    namespace: str
    request: JsonObject


class Happened(msgspec.Struct, frozen=True):
    """What a ``reconcile`` hook returns of an effect that did happen: what the call gave back."""

    result: JsonValue = None


class DynContext(Protocol):
    """The run's key-value data as one attempt sees it: reads fall through to the base snapshot, writes are staged."""

    def read(self, key: str) -> JsonValue:
        """Return a fresh copy of the value, None if the key is absent; ``has`` tells an absent key from a null."""

    def item(self, key: str, index: int) -> JsonValue:
        """Return a fresh copy of one item of a list, or of one ``[key, value]`` of a map in the order of its keys."""

    def has(self, key: str) -> bool:
        """Tell whether the key is there."""

    def write(self, key: str, value: object) -> None:
        """Stage a value; it is fixed as canonical JSON now, later changes to the object count for nothing.

        Under a key with a reducer it is what this state contributes; writing again replaces it.
        """

    def append(self, key: str, items: Sequence[object]) -> None:
        """Stage items to add to a key that merges by appending."""

    def delete(self, key: str) -> None:
        """Stage the removal of a key."""

    def dump(self) -> JsonObject:
        """Return the full context with the staged changes."""


class IoCall(msgspec.Struct, frozen=True):
    """One call to the outside: ``request`` is JSON and is kept beside the outcome.

    ``fact_key`` None derives the key from state, namespace, request and occurrence. ``keep`` "attempt" makes a success
    bind within its attempt only, so that a retry asks again. ``read`` False makes the call an effect; ``needs`` says what it
    gives back if whoever answers for it cannot leave that out.
    """

    namespace: str
    request: JsonObject
    fact_key: str | None = None
    keep: str = "run"
    read: bool = True
    judge: Callable[[JsonValue], None] | None = None  # raises TransportError for a response that counts as a failure
    body: Callable[[], Awaitable[JsonValue]] | None = None  # performs the call in place of a transport
    needs: str = ""

    def __post_init__(self) -> None:
        """Take the text of a namespace as it is; its class may say another one, or have no hash."""
        if type(self.namespace) is not str and issubclass(type(self.namespace), str):
            msgspec.structs.force_setattr(self, "namespace", str.__str__(self.namespace))


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

    Optional attributes, looked up once an attempt: ``inline`` (True: the handler never suspends and needs no task of its own),
    ``retryable(error) -> bool | None`` (whether an exception is worth another attempt; None goes by its own word),
    ``reconcile(effect, io)`` (asked what became of an effect; returns ``Happened``, True, False or None: cannot tell),
    ``snapshot`` (``SnapshotPolicy.ALWAYS``: what a failed attempt had staged is kept, for people to look at),
    ``item(local)`` (of a state that counts items: the implementation of an item's state) and ``child`` (of a state that starts
    a run: its code).
    """

    def meta(self) -> StateMeta:
        """Return what planning, replay and policies go by."""

    async def handle(self, ctx: DynContext, io: IoProvider, rec: EventRecorder) -> StateOutcome:
        """Execute once; raising fails the attempt."""
