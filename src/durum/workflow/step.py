"""A step function as an executable state."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import threading
from collections.abc import Callable
from types import CoroutineType
from typing import TYPE_CHECKING, Any

import msgspec

from durum.core.meta import SideEffectKind, StateMeta
from durum.core.state import DynContext, EventRecorder, IoCall, SnapshotPolicy, StateOutcome
from durum.errors import (
    CallerError,
    CanonicalJsonError,
    ContextError,
    DurumError,
    MissingKeyError,
    SerializationError,
    StepError,
)
from durum.workflow.retry import Retry
from durum.workflow.signature import Signature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from durum.core.canonical import JsonValue
    from durum.engine.io import Io


class StepState(msgspec.Struct, frozen=True):
    """Implements ``State`` for one authored function."""

    name: str
    function: Callable[..., Any]
    signature: Signature
    state_meta: StateMeta
    writes: str | None
    appends: bool
    blocking: bool
    retry: Retry | None
    reconcile: Callable[..., Any] | None = None
    snapshot: SnapshotPolicy = SnapshotPolicy.ON_SUCCESS
    reduces: bool = False  # its key has a reducer: what it returns is its contribution, of each item too

    def meta(self) -> StateMeta:
        """Return the step's declared meta."""
        return self.state_meta

    @property
    def inline(self) -> bool:
        """Whether the function is a plain one that is called where it stands."""
        effect = self.state_meta.side_effects is SideEffectKind.APPLY_SIDE_EFFECT
        return not (self.signature.is_async or self.blocking or effect)

    def retryable(self, error: BaseException) -> bool | None:
        """Return whether the step's ``Retry`` names this exception; what the caller must fix is never tried again."""
        if isinstance(error, CallerError | ContextError) or self.retry is None:
            return None
        if isinstance(error, StepError | DurumError) and error.retryable:
            return True
        return isinstance(error, self.retry.on)

    async def handle(self, ctx: DynContext, io: Any, rec: EventRecorder) -> StateOutcome:  # noqa: ANN401 - Io behind its contract
        """Read what the function asks for, call it, and stage its result."""
        del rec
        self.stage(ctx, await self.result(ctx, io, {}))
        return StateOutcome()

    async def result(self, ctx: DynContext, io: Any, given: Mapping[str, JsonValue]) -> object:  # noqa: ANN401 - as ``handle``
        """Return what the function returns; ``given`` are values that do not come from the context."""
        arguments = self._arguments(ctx, given)
        if self.signature.io_parameter is not None:
            arguments[self.signature.io_parameter] = io
            return await self._call(arguments)
        if self.state_meta.side_effects is SideEffectKind.APPLY_SIDE_EFFECT:
            return await self._body_as_effect(arguments, io)
        return await self._call(arguments)

    def _arguments(self, ctx: DynContext, given: Mapping[str, JsonValue]) -> dict[str, object]:
        arguments: dict[str, object] = {}
        for parameter in self.signature.parameters:
            if parameter.name in given:
                arguments[parameter.name] = parameter.converter.load(parameter.name, given[parameter.name])
            elif ctx.has(parameter.name):
                arguments[parameter.name] = parameter.converter.load(parameter.name, ctx.read(parameter.name))
            elif parameter.required:
                hint = f"step {self.name} needs it; its step was skipped or the input left out: give the parameter a default"
                raise MissingKeyError(parameter.name, hint)
        return arguments

    async def _call(self, arguments: dict[str, object]) -> object:
        result = await in_thread(self.function, arguments) if self.blocking else self.function(**arguments)
        if self.signature.is_async and inspect.isawaitable(result):
            return await result
        if type(result) is CoroutineType:  # a result may lie about its class
            result.close()
            reason = "the step returned a coroutine; make it async def, so that it is awaited"
            raise SerializationError(self.writes or self.name, reason)
        return result

    async def _body_as_effect(self, arguments: dict[str, object], io: Io) -> object:
        """A step that applies an effect without Io is itself the effect: its outcome is the recorded fact."""

        async def body() -> JsonValue:
            result = await self._call(arguments)
            if self.writes is None:
                return None
            return self.signature.result.dump(self.writes, result, check=False)  # type: ignore[return-value]

        needs = "" if self.writes is None else self._needed(self.writes)
        call = IoCall("step", {"step": self.name}, read=False, body=body, needs=needs)
        result = await io.call(call)  # refused only once it is recorded
        return None if self.writes is None else self.signature.result.load(self.writes, result.response)

    def _needed(self, key: str) -> str:
        """Return what the step gives back if null will not do."""
        try:
            self.signature.result.load(key, None)
        except SerializationError:
            return f"the result of step {self.name}"
        return ""

    def stage(self, ctx: DynContext, result: object, *, one_of_many: bool = False) -> None:
        """Stage a result under the step's key; ``one_of_many``: it is one item of the list there."""
        if self.writes is None:
            return
        try:
            value = self.signature.result.dump(self.writes, result)
            if one_of_many and not self.reduces:
                ctx.append(self.writes, [value])
            else:
                self._write(ctx, self.writes, value)
        except CanonicalJsonError as error:
            hint = "" if ";" in error.reason else "; annotate what the step returns, or return JSON types"
            reason = f"the step's result is not JSON at {error.path}: {error.reason}{hint}"
            raise SerializationError(self.writes, reason) from error

    def _write(self, ctx: DynContext, key: str, value: object) -> None:
        if not self.appends:
            ctx.write(key, value)
        elif isinstance(value, list | tuple):
            ctx.append(key, value)
        else:
            reason = f"step {self.name} appends and must return a list of the new items, not {type(value).__name__}"
            raise SerializationError(key, reason)


async def in_thread(function: Callable[..., Any], arguments: dict[str, object]) -> object:
    """Call a blocking function in a daemon thread, context variables kept; one that hangs cannot hold the process."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[object] = loop.create_future()
    context = contextvars.copy_context()

    def finish(result: object, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def run() -> None:
        result: object = None
        raised: BaseException | None = None
        try:
            result = context.run(function, **arguments)
        except BaseException as error:  # noqa: BLE001 - carried over to the loop's thread
            raised = RuntimeError("StopIteration raised") if isinstance(error, StopIteration) else error
        with contextlib.suppress(RuntimeError):  # the loop may be gone by then
            loop.call_soon_threadsafe(finish, result, raised)

    threading.Thread(target=run, daemon=True, name="durum-step").start()
    return await future
