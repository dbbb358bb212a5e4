"""A step that starts a run of its own: a state that says with which inputs, and one that takes over what it came to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from durum.core.meta import SideEffectKind, StateMeta
from durum.core.state import Child, DynContext, EventRecorder, IoCall, StateOutcome
from durum.errors import SerializationError
from durum.workflow.step import StepState

if TYPE_CHECKING:
    from durum.core.canonical import JsonObject


class Asks(Protocol):
    """What gives the inputs: a step, for itself or for one item."""

    @property
    def step(self) -> StepState:
        """The step."""

    async def result(self, ctx: DynContext, io: Any) -> object:  # noqa: ANN401 - Io behind its contract
        """Return what the function returns."""


class Alone(msgspec.Struct, frozen=True):
    """The inputs of a step that stands for one child run."""

    step: StepState

    async def result(self, ctx: DynContext, io: Any) -> object:  # noqa: ANN401 - Io behind its contract
        """Return what the function returns."""
        return await self.step.result(ctx, io, {})


class Spawn(msgspec.Struct, frozen=True):
    """Implements ``State``: asks the function for the child's inputs."""

    asks: Asks
    child: Any  # the child's Workflow

    @property
    def inline(self) -> bool:
        """As the step's."""
        return self.asks.step.inline

    def meta(self) -> StateMeta:
        """Return the step's declared meta."""
        return self.asks.step.state_meta

    def retryable(self, error: BaseException) -> bool | None:
        """Return the step's word."""
        return self.asks.step.retryable(error)

    async def handle(self, ctx: DynContext, io: Any, rec: EventRecorder) -> StateOutcome:  # noqa: ANN401 - Io behind its contract
        """Check the inputs as the child's own start would, and have the run started."""
        del rec
        step = self.asks.step
        result = await self.asks.result(ctx, io)
        given = step.signature.result.dump(step.name, result)
        if not isinstance(given, Mapping):
            raise SerializationError(step.name, f"return the child's inputs as an object, not {type(result).__name__}")
        inputs: JsonObject = self.child.parse_inputs(given)
        return StateOutcome(extension=Child(inputs))


class ChildResult(msgspec.Struct, frozen=True):
    """Implements ``State``: takes over what the child run came to, once it is over."""

    step: StepState
    spawn_id: str
    key: str | None  # of the child's context; None: all of it
    one_of_many: bool = False

    def meta(self) -> StateMeta:
        """Return a meta with the step's tags; the child's record is read, so it is a fact."""
        return StateMeta(tags=self.step.state_meta.tags, side_effects=SideEffectKind.READ_ONLY_IO)

    async def handle(self, ctx: DynContext, io: Any, rec: EventRecorder) -> StateOutcome:  # noqa: ANN401 - Io behind its contract
        """Write the child's result under the step's key."""
        del rec
        request: JsonObject = {"key": self.spawn_id} if self.key is None else {"key": self.spawn_id, "result": self.key}
        answer = await io.call(IoCall("child", request))
        if self.step.writes is not None:
            if self.step.appends or (self.one_of_many and not self.step.reduces):
                ctx.append(self.step.writes, [answer.response])
            else:
                ctx.write(self.step.writes, answer.response)
        return StateOutcome()
