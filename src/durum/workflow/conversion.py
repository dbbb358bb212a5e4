"""Context JSON to the types a step's annotations name, and back."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Protocol

import msgspec

from durum.core.canonical import JsonValue, normalized
from durum.core.failure import text_of
from durum.errors import SerializationError
from durum.workflow.json_form import from_json, is_loose, refuse_endless, settled, to_json

_SCALARS = (str, int, float, bool, type(None))
_CONTAINERS = (list, dict)


class Converter(Protocol):
    """Both directions for one annotation."""

    def load(self, key: str, value: JsonValue) -> Any:  # noqa: ANN401 - of the annotated type
        """Return context JSON as the declared type; ``SerializationError`` if it does not fit."""

    def dump(self, key: str, value: object, *, check: bool = True) -> object:
        """Return a result as JSON; ``check`` refuses with a ``SerializationError`` what is not of the declared type."""


def converter(annotation: object) -> Converter:
    """Return the converter of an annotation; ``Any`` and no annotation pass everything through.

    Raises:
        TypeError: the type has no JSON form.
        NameError: a name in it does not resolve.
    """
    try:
        hash(annotation)
    except TypeError:  # a note in ``Annotated`` may be anything
        return _made(annotation)
    return _shared(annotation, str(annotation))


@lru_cache(maxsize=512)
def _shared(annotation: object, spelling: str) -> Converter:
    """Return one converter for all who write the same; ``int | str`` equals ``str | int``, and yet their order may count."""
    del spelling
    return _made(annotation)


def _made(annotation: object) -> Converter:
    if annotation is Any or annotation is object:
        return _AsIs()
    if _mentions_pydantic(annotation):
        from durum.workflow.models import ModelConverter  # noqa: PLC0415 - pydantic is loaded only where it is used

        return ModelConverter(annotation)
    if annotation is Iterable or typing.get_origin(annotation) is Iterable:  # JSON holds it as a list
        annotation = list[typing.get_args(annotation) or Any]  # type: ignore[misc]  # the type is known at run time only
    return _Typed(annotation)


def is_plain(annotation: object) -> bool:
    """Tell whether an annotation names only what JSON itself has, so that a value needs no conversion."""
    if annotation is None or any(annotation is kind for kind in (*_SCALARS, *_CONTAINERS, Any, object)):
        return True
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in {typing.Union, types.UnionType} or origin is list:
        return all(map(is_plain, arguments))
    if origin is dict:
        return not arguments or (arguments[0] is str and is_plain(arguments[1]))
    return origin is typing.Literal and all(type(value) in _SCALARS for value in arguments)


def name_of(annotation: object) -> str:
    """Return an annotation as people write it."""
    return annotation.__name__ if isinstance(annotation, type) and not typing.get_args(annotation) else str(annotation)


class Unconvertible:
    """Stands in where a parameter with a default has a type without a JSON form: refused only if the context has a value."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def load(self, key: str, value: JsonValue) -> Any:  # noqa: ANN401 - see ``Converter``
        """Refuse."""
        del value
        raise SerializationError(key, self._reason)

    def dump(self, key: str, value: object, *, check: bool = True) -> object:
        """Refuse."""
        del value, check
        raise SerializationError(key, self._reason)


class _AsIs:
    def load(self, key: str, value: JsonValue) -> Any:  # noqa: ANN401 - see ``Converter``
        del key
        return value

    def dump(self, key: str, value: object, *, check: bool = True) -> object:
        del key, check
        return value


class _Typed:
    """Converts by msgspec; plain JSON types are only checked."""

    def __init__(self, annotation: object) -> None:
        self._annotation = annotation
        self._plain = is_plain(annotation)
        self._loose = is_loose(annotation) and not self._plain
        self._type = _without_object(annotation) if self._plain else annotation

    def load(self, key: str, value: JsonValue) -> Any:  # noqa: ANN401 - see ``Converter``
        try:
            return from_json(self._type, value)
        except msgspec.ValidationError as error:
            raise SerializationError(key, f"{error} (the step asks for {name_of(self._annotation)})") from error

    def dump(self, key: str, value: object, *, check: bool = True) -> object:
        form = value if self._plain else self._form(key, value)
        if check:
            self._check(key, form)
        return form

    def _form(self, key: str, value: object) -> object:
        try:
            if not self._loose:
                return to_json(value)
            refuse_endless(value)
            return settled(value, to_json(value))
        except Exception as error:  # a value's own code may raise anything
            raise SerializationError(key, f"the step's result does not convert to JSON: {text_of(error)}") from error

    def _check(self, key: str, form: Any) -> None:  # noqa: ANN401 - JSON, or nearly so
        try:
            try:
                from_json(self._type, form)
            except msgspec.ValidationError:
                from_json(self._type, normalized(form))  # as it reads back: 3.0 is the integer 3
        except msgspec.ValidationError as error:
            raise SerializationError(key, f"{error} (the step is to return {name_of(self._annotation)})") from error


def _without_object(annotation: Any) -> Any:  # noqa: ANN401 - a type of any form
    """Return a plain annotation with ``Any`` for ``object``, which msgspec takes for a class to ask us about each time."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in {list, dict} and arguments:
        return origin[tuple(map(_without_object, arguments))]
    return Any if annotation is object else annotation


def _mentions_pydantic(annotation: object) -> bool:
    marks = ("__get_pydantic_core_schema__", "__pydantic_core_schema__", "__pydantic_generic_metadata__")
    if any(hasattr(annotation, mark) for mark in marks):
        return True
    if type(annotation).__module__.partition(".")[0] in {"pydantic", "annotated_types"}:  # a constraint
        return True
    inner = [getattr(annotation, name) for name in ("__supertype__", "__value__") if hasattr(annotation, name)]
    return any(map(_mentions_pydantic, (*typing.get_args(annotation), *inner)))
