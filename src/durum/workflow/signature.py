"""What a step function asks for and gives, read from its signature."""

from __future__ import annotations

import inspect
import typing
from typing import TYPE_CHECKING, Any

import msgspec

from durum.core.ids import segment_is_valid
from durum.engine.io import Io
from durum.errors import WorkflowDefinitionError
from durum.workflow.conversion import Converter, converter

if TYPE_CHECKING:
    from collections.abc import Callable

_NAMED_KINDS = frozenset({inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY})


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


def read_signature(workflow: str, step: str, function: Callable[..., object]) -> Signature:
    """Read a function's signature.

    Raises:
        WorkflowDefinitionError: it cannot be called by name, or an annotation does not resolve.
    """

    def refuse(reason: str) -> WorkflowDefinitionError:
        return WorkflowDefinitionError(workflow, f"step {step} {reason}")

    if not segment_is_valid(step) or "__" in step:
        raise refuse("needs a name of 1 to 63 of a-z, 0-9 and single _, starting with a letter; pass name=")
    try:
        hints = typing.get_type_hints(function)
    except (NameError, AttributeError, TypeError) as error:
        raise refuse(f"has an annotation that does not resolve: {error}") from error
    parameters: list[Parameter] = []
    io_parameter = None
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind not in _NAMED_KINDS:
            raise refuse(f"takes {parameter}; every parameter must have a name of its own")
        if hints.get(name) is Io:
            io_parameter = name
            continue
        required = parameter.default is inspect.Parameter.empty
        parameters.append(Parameter(name, converter(hints.get(name, Any)), required))
    is_async = inspect.iscoroutinefunction(function)
    if io_parameter is not None and not is_async:
        raise refuse("takes Io but is a plain def; make it async def, for every Io call is awaited")
    returned = hints.get("return", Any)
    return Signature(tuple(parameters), io_parameter, converter(returned), returned is not type(None), is_async)
