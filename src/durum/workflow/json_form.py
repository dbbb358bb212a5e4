"""The JSON form of values JSON itself has no word for: paths, models inside other types, and sets in one order everywhere."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import inspect as types

from durum.core.canonical import canonical_json, normalized
from durum.core.exact_copy import MAX_DEPTH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from durum.core.canonical import JsonValue

_SEVERAL = (list, tuple, set, frozenset)
_CONTAINERS = (dict, *_SEVERAL)
_LEAVES = frozenset({str, int, float, bool, type(None)})
_MOST_LEVELS = 2 * MAX_DEPTH  # a wrapper such as a root model is a level here and none in JSON
_MOST_REPEATED = 2_000_000


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


def is_loose(annotation: object) -> bool:
    """Tell whether values of an annotated type are to be held against their JSON form: sets, anything, odd keys, recursion.

    Raises:
        TypeError: a type in it has no JSON form.
        NameError: a name in it does not resolve.
    """
    loose = False
    seen: set[int] = set()
    stack: list[tuple[types.Type | types.Field, frozenset[int]]] = [(types.type_info(annotation), frozenset())]
    while stack:
        info, above = stack.pop()
        loose = loose or id(info) in above or _is_loose(info)
        if id(info) in seen:
            continue
        seen.add(id(info))
        if isinstance(info, types.CustomType) and not _is_known(info.cls):
            instead = next((f"; use {kind.__name__}" for kind in (dict, list, set) if issubclass(info.cls, kind)), "")
            raise TypeError(f"{info.cls.__name__} has no JSON form{instead}")
        for field in info.__struct_fields__:
            part = getattr(info, field)
            parts = part if isinstance(part, tuple) else (part,)
            stack += [(item, above | {id(info)}) for item in parts if isinstance(item, types.Type | types.Field)]
    return loose


def _is_loose(info: types.Type | types.Field) -> bool:
    if isinstance(info, types.DictType):
        return not isinstance(info.key_type, types.StrType)
    return isinstance(info, types.SetType | types.FrozenSetType | types.AnyType | types.CustomType)


def refuse_endless(value: object) -> None:
    """Refuse what converting would never come to an end of; it takes a time that grows with the memory the value takes.

    Raises:
        ValueError: it refers to itself, can be read only once, or holds the same parts too often.
    """
    met: set[int] = set()
    repeated = 0
    level: dict[int, tuple[object, int]] = {id(value): (value, 1)}
    for _ in range(_MOST_LEVELS):
        below: dict[int, tuple[object, int]] = {}
        for holder, times in level.values():
            parts = _parts(holder)
            repeated += (times - (id(holder) not in met)) * (1 + len(parts))
            met.add(id(holder))
            for part in parts:
                if type(part) not in _LEAVES:
                    below[id(part)] = (part, times + below.get(id(part), (part, 0))[1])
        if repeated > _MOST_REPEATED:
            raise ValueError("it holds the same parts so often that it would be too large; keep each of them once")
        if not below:
            return
        level = below
    raise ValueError("it refers to itself or nests too deep")


def _parts(holder: Any) -> list[Any]:  # noqa: ANN401 - whatever a value holds
    """Return what a container or object holds, by what it is and not by what it says."""
    kind = type(holder)
    if issubclass(kind, _CONTAINERS):
        return items_of(holder)
    if hasattr(kind, "__next__"):
        raise ValueError(f"{kind.__name__} can be read only once; use a list")
    if hasattr(kind, "__pydantic_validator__") and hasattr(kind, "__pydantic_extra__"):
        return [*vars(holder).values(), *(holder.__pydantic_extra__ or {}).values()]
    names = getattr(kind, "__struct_fields__", None) or getattr(kind, "__dataclass_fields__", None)
    return [getattr(holder, name, None) for name in names or (field.name for field in getattr(kind, "__attrs_attrs__", ()))]


def items_of(holder: Any) -> list[Any]:  # noqa: ANN401 - whatever a value holds
    """Return the items of a list, tuple or set and the values of a dict, whatever their classes make of them; else nothing."""
    kind = type(holder)
    if issubclass(kind, dict):
        return [*dict.values(holder)]
    several: Any = next((several for several in _SEVERAL if issubclass(kind, several)), None)
    return [] if several is None else [*several.__iter__(holder)]


def settled(value: object, form: Any) -> Any:  # noqa: ANN401 - JSON in the making
    """Return the JSON ``form`` of a value with the sets in it sorted; each process iterates over one in an order of its own.

    Raises:
        ValueError: something was lost on the way to JSON, a number that is none or a key.
    """
    kind = type(value)
    if form is None and issubclass(kind, float):
        raise ValueError(f"{float.__float__(value)} is not a JSON number; use None or text")  # type: ignore[arg-type]
    if getattr(kind, "__pydantic_root_model__", False):
        value = value.root  # type: ignore[attr-defined]
        kind = type(value)
    if isinstance(form, dict):
        return {name: settled(item, part) for name, item, part in _members(value, form)}
    if not isinstance(form, list | tuple) or not issubclass(kind, _SEVERAL):
        return form
    given = items_of(value)
    if len(form) != len(given):
        return form
    items = [settled(item, part) for item, part in zip(given, form, strict=True)]
    if not issubclass(kind, set | frozenset):
        return items
    return sorted(items, key=None if {*map(type, items)} in ({str}, {int}) else canonical_json)


def _members(value: object, form: dict[str, Any]) -> Iterator[tuple[str, object, Any]]:
    """Return name, value and form of each member of a mapping or object."""
    if issubclass(type(value), dict):
        yield from _members_of_dict([*dict.items(value)], form)  # type: ignore[arg-type]
        return
    renamed = {}
    if isinstance(value, msgspec.Struct):
        renamed = {field.encode_name: field.name for field in msgspec.structs.fields(value)}
    for name, part in form.items():
        yield name, getattr(value, renamed.get(name, name), None), part


def _members_of_dict(given: list[tuple[Any, Any]], form: dict[str, Any]) -> Iterator[tuple[str, object, Any]]:
    texts = all(type(key) is str for key, _ in given)
    if len(form) < len(given) and not texts:
        raise ValueError("two keys of an object become one text; make them differ as text")
    if len(form) != len(given):  # a serialiser of the author's
        yield from zip(form, form.values(), form.values(), strict=True)
    elif texts:
        values = dict(given)
        yield from ((name, values.get(name, part), part) for name, part in form.items())
    else:
        yield from ((name, value, part) for (_, value), (name, part) in zip(given, form.items(), strict=True))


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
    return cls.model_validate_json(msgspec.json.encode(normalized(value)), by_alias=True, by_name=True)  # 1e20 stays a float
