"""The JSON form of values JSON itself has no word for: paths, models inside other types, and sets in one order everywhere."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import inspect as types

from durum.core.canonical import canonical_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from durum.core.canonical import JsonValue

_SEVERAL = (list, tuple, set, frozenset)


def from_json(annotation: object, value: JsonValue) -> object:
    """Return JSON as the type an annotation names; strict, so that text is no number.

    Raises:
        msgspec.ValidationError: it does not fit.
    """
    return msgspec.convert(value, annotation, strict=True, str_keys=True, dec_hook=_decoded)


def to_json(value: object) -> object:
    """Return a value as JSON types; sets come in the order they iterate in.

    Raises:
        TypeError, ValueError: it has no JSON form.
    """
    return msgspec.to_builtins(value, str_keys=True, enc_hook=_encoded)


def may_hold_sets(annotation: object) -> bool:
    """Tell whether values of an annotated type can hold sets.

    Raises:
        TypeError: a type in it has no JSON form.
        NameError: a name in it does not resolve.
    """
    sets = False
    seen: set[int] = set()
    stack: list[types.Type | types.Field] = [types.type_info(annotation)]
    while stack:
        info = stack.pop()
        if id(info) in seen:
            continue
        seen.add(id(info))
        if isinstance(info, types.CustomType) and not _is_known(info.cls):
            instead = next((f"; use {kind.__name__}" for kind in (dict, list, set) if issubclass(info.cls, kind)), "")
            raise TypeError(f"{info.cls.__name__} has no JSON form{instead}")
        sets = sets or isinstance(info, types.SetType | types.FrozenSetType | types.AnyType | types.CustomType)
        for field in info.__struct_fields__:
            part = getattr(info, field)
            parts = part if isinstance(part, tuple) else (part,)
            stack += [item for item in parts if isinstance(item, types.Type | types.Field)]
    return sets


def sets_sorted(value: object, form: Any) -> Any:  # noqa: ANN401 - JSON in the making
    """Return the JSON ``form`` of a value with the sets in it sorted; each process iterates over one in an order of its own."""
    if getattr(type(value), "__pydantic_root_model__", False):
        value = value.root  # type: ignore[attr-defined]
    if isinstance(form, dict):
        return {name: sets_sorted(item, part) for name, item, part in _members(value, form)}
    if not isinstance(form, list | tuple) or not isinstance(value, _SEVERAL) or len(form) != len(value):
        return form
    items = [sets_sorted(item, part) for item, part in zip(value, form, strict=True)]
    if not isinstance(value, set | frozenset):
        return items
    return sorted(items, key=None if {*map(type, items)} in ({str}, {int}) else canonical_json)


def _members(value: object, form: dict[str, Any]) -> Iterator[tuple[str, object, Any]]:
    """Return name, value and form of each member of a mapping or object."""
    if isinstance(value, dict):
        same = len(value) == len(form)
        yield from zip(form, value.values() if same else form.values(), form.values(), strict=True)
        return
    renamed = {}
    if isinstance(value, msgspec.Struct):
        renamed = {field.encode_name: field.name for field in msgspec.structs.fields(value)}
    for name, part in form.items():
        yield name, getattr(value, renamed.get(name, name), None), part


def _is_known(cls: type) -> bool:
    return cls is object or issubclass(cls, PurePath) or hasattr(cls, "__pydantic_validator__")


def _encoded(value: Any) -> object:  # noqa: ANN401 - whatever a value holds
    if isinstance(value, PurePath):
        return str(value)
    if hasattr(type(value), "__pydantic_validator__"):
        return value.model_dump(mode="json", round_trip=True, by_alias=False)
    raise NotImplementedError(f"{type(value).__name__} has no JSON form")


def _decoded(cls: Any, value: object) -> object:  # noqa: ANN401 - a class with a JSON form of its own
    if cls is object:  # as people write it for Any
        return value
    if issubclass(cls, PurePath):
        if not isinstance(value, str):
            raise TypeError(f"Expected `str`, got `{type(value).__name__}`")
        return cls(value)
    return cls.model_validate_json(canonical_json(value), by_alias=True, by_name=True)
