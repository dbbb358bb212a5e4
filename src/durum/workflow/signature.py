"""What a step function asks for and gives, read from its signature."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from typing import TYPE_CHECKING, Any

import msgspec

from durum.core.ids import segment_is_valid
from durum.engine.io import Io
from durum.errors import WorkflowDefinitionError
from durum.workflow.conversion import Converter, Unconvertible, converter, name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_NAMED_KINDS = frozenset({inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY})
_FUNCTIONS = (types.FunctionType, types.MethodType, types.BuiltinFunctionType)
_UNRESOLVED = "import it at run time, not under TYPE_CHECKING, and define classes at the top level of a module"


class Parameter(msgspec.Struct, frozen=True):
    """One value a step asks for: an input or a context key of that name."""

    name: str
    converter: Converter
    required: bool


class Signature(msgspec.Struct, frozen=True):
    """A step function as the engine calls it."""

    parameters: tuple[Parameter, ...]
    io_parameter: str | None
    result: Converter
    gives: bool  # False for a function annotated to return None
    is_async: bool


def read_signature(workflow: str, step: object, function: Callable[..., object]) -> Signature:
    """Read a function's signature.

    Raises:
        WorkflowDefinitionError: it cannot be called by name, or an annotation does not resolve.
    """
    if not isinstance(step, str) or not segment_is_valid(step) or "__" in step:
        rule = "needs a name of 1 to 63 of a-z, 0-9 and single _, starting with a letter; pass name="
        raise WorkflowDefinitionError(workflow, f"step {step} {rule}")
    return _Reader(workflow, step, function).read()


class _Reader:
    """Reads one function."""

    def __init__(self, workflow: str, step: str, function: Callable[..., object]) -> None:
        self._workflow = workflow
        self._step = step
        self._function = function
        self._bound: set[str] = set()  # keywords a partial has filled in
        inner: Any = function
        while isinstance(inner, functools.partial):
            self._bound |= inner.keywords.keys()
            inner = inner.func
        self._inner = inner

    def read(self) -> Signature:
        """Return the signature."""
        self._check_kind()
        hints = self._hints()
        parameters: list[Parameter] = []
        io_parameter: str | None = None
        for name, parameter in self._declared().items():
            if parameter.kind not in _NAMED_KINDS:
                raise self._refused(f"takes {parameter}; every parameter must have a name of its own")
            hint = hints.get(name, Any)
            if not _is_io(hint):
                required = parameter.default is inspect.Parameter.empty
                parameters.append(Parameter(name, self._parameter_converter(name, hint, required=required), required))
            elif io_parameter is None:
                io_parameter = name
            else:
                raise self._refused(f"takes Io twice, as {io_parameter} and as {name}; one is enough")
        is_async = inspect.iscoroutinefunction(self._inner) or inspect.iscoroutinefunction(inspect.unwrap(self._inner))
        if io_parameter is not None and not is_async:
            raise self._refused("takes Io but is a plain def; make it async def, for every Io call is awaited")
        returned = hints.get("return", Any)
        return Signature(
            tuple(parameters), io_parameter, self._result_converter(returned), returned is not type(None), is_async
        )

    def _check_kind(self) -> None:
        inner = self._inner
        kind = type(inner).__name__
        if isinstance(inner, type):
            raise self._refused(f"is the class {inner.__name__}; a step is a function")
        if not callable(inner):
            raise self._refused(f"is a {kind}; a step is a function")
        if not isinstance(inner, _FUNCTIONS) and not hasattr(inner, "__wrapped__"):
            raise self._refused(f"is a {kind} object; wrap its call in a function")
        plain = inspect.unwrap(inner)
        if inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain):
            raise self._refused("is a generator; return a list instead of yielding")

    def _hints(self) -> Mapping[str, Any]:
        try:
            return typing.get_type_hints(self._inner, include_extras=True)
        except NameError as error:
            raise self._refused(f"has an annotation that does not resolve: {error}; {_UNRESOLVED}") from error
        except Exception as error:  # an annotation is an expression; evaluating it can raise anything
            raise self._refused(f"has an annotation that does not resolve: {error}") from error

    def _declared(self) -> Mapping[str, inspect.Parameter]:
        try:
            declared = inspect.signature(self._function).parameters
        except (ValueError, TypeError) as error:
            raise self._refused("has no signature that Python can read; wrap it in a function") from error
        return {name: parameter for name, parameter in declared.items() if name not in self._bound}

    def _parameter_converter(self, name: str, hint: object, *, required: bool) -> Converter:
        try:
            return converter(hint)
        except Exception as error:  # as for an annotation
            reason = f"{name} is annotated {name_of(hint)}, which no context value can become: {error}"
            if not required:  # most likely no business of the context, such as a client handed in by tests
                return Unconvertible(reason)
            raise self._refused(f"cannot be given {reason}") from error

    def _result_converter(self, hint: object) -> Converter:
        try:
            return converter(hint)
        except Exception as error:  # as for an annotation
            raise self._refused(f"returns {name_of(hint)}, which cannot be recorded: {error}") from error

    def _refused(self, reason: str) -> WorkflowDefinitionError:
        return WorkflowDefinitionError(self._workflow, f"step {self._step} {reason}")


def _is_io(hint: object) -> bool:
    """Tell whether an annotation means Io: alone, ``Annotated`` or as ``Io | None``."""
    if hint is Io:
        return True
    if typing.get_origin(hint) is typing.Annotated:
        return _is_io(typing.get_args(hint)[0])
    if typing.get_origin(hint) in {typing.Union, types.UnionType}:
        return any(map(_is_io, typing.get_args(hint)))
    return False
