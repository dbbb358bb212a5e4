"""Context JSON to the types a step's annotations name, and back."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from typing import Any, cast

import msgspec

from durum.core.canonical import JsonValue
from durum.errors import SerializationError

_SCALARS = frozenset({str, int, bool, type(None)})
_CONTAINERS = frozenset({list, dict})


class Converter(msgspec.Struct, frozen=True):
    """Both directions for one annotation. Plain JSON types are checked on the way in and pass as they are on the way out."""

    load: Callable[[str, JsonValue], object]
    dump: Callable[[str, object], object]


def converter(annotation: object) -> Converter:
    """Return the converter of an annotation; ``Any`` and no annotation pass everything through."""
    if annotation is Any or annotation is object:
        return Converter(_as_is, _as_is)
    if _mentions_pydantic(annotation):
        return _pydantic_converter(annotation)
    return Converter(_msgspec_loader(annotation), _as_is if is_plain(annotation) else _msgspec_dumper())


def is_plain(annotation: object) -> bool:
    """Tell whether an annotation names only what JSON itself has, so that a value needs no conversion."""
    if annotation in _SCALARS or annotation in _CONTAINERS or annotation is Any or annotation is object:
        return True
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in {typing.Union, types.UnionType} or origin is list:
        return all(map(is_plain, arguments))
    if origin is dict:
        return arguments[0] is str and is_plain(arguments[1])
    return origin is typing.Literal


def _as_is(key: str, value: Any) -> Any:  # noqa: ANN401 - whatever it is, it stays
    del key
    return value


def _msgspec_loader(annotation: object) -> Callable[[str, JsonValue], object]:
    def load(key: str, value: JsonValue) -> object:
        try:
            return msgspec.convert(value, annotation, strict=True, str_keys=True)
        except msgspec.ValidationError as error:
            raise SerializationError(key, f"{error} (the step asks for {_name(annotation)})") from error
        except (TypeError, NotImplementedError) as error:
            raise SerializationError(key, f"annotation {_name(annotation)} cannot be converted: {error}") from error

    return load


def _msgspec_dumper() -> Callable[[str, object], object]:
    def dump(key: str, value: object) -> object:
        try:
            return msgspec.to_builtins(value, str_keys=True, order="deterministic")
        except (TypeError, NotImplementedError, ValueError) as error:
            raise SerializationError(key, f"the step's result does not convert to JSON: {error}") from error

    return dump


def _mentions_pydantic(annotation: object) -> bool:
    if hasattr(annotation, "__pydantic_core_schema__") or hasattr(annotation, "__pydantic_generic_metadata__"):
        return True
    return any(map(_mentions_pydantic, typing.get_args(annotation)))


def _pydantic_converter(annotation: object) -> Converter:
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415 - loaded only where a model is used
    from pydantic_core import PydanticSerializationError  # noqa: PLC0415

    adapter: TypeAdapter[Any] = TypeAdapter(cast("Any", annotation))

    def load(key: str, value: JsonValue) -> object:
        try:
            return adapter.validate_python(value)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise SerializationError(key, f"{first['msg']}" + (f" at {where}" if where else "")) from error

    def dump(key: str, value: object) -> object:
        try:
            return adapter.dump_python(value, mode="json", warnings="error")
        except PydanticSerializationError as error:
            raise SerializationError(key, f"the step's result is no {_name(annotation)}") from error

    return Converter(load, dump)


def _name(annotation: object) -> str:
    return annotation.__name__ if isinstance(annotation, type) and not typing.get_args(annotation) else str(annotation)
