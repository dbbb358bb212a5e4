"""A value's copy in exact types, its members in RFC order: the canonical form of anything odd, or what has no place in JSON."""

from __future__ import annotations

import math
import reprlib
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, TypeAlias

import msgspec
import rfc8785

from durum.errors import CanonicalJsonError

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_DEPTH: Final = 128
MAX_INT: Final = 2**53 - 1

_STR: Final = frozenset({str})
_CONTAINERS: Final = (dict, list, tuple)

# Outside this range ECMAScript and msgspec spell the same shortest digits differently.
_PLAIN_FLOAT_MIN: Final = 1e-4
_PLAIN_FLOAT_END: Final = 9e15

TOO_DEEP: Final = f"the value nests too deep; {MAX_DEPTH} levels are allowed"
_TOO_OFTEN: Final = "the value holds the same lists or objects so often that it would be too large; keep each of them once"
TOO_BIG: Final = "an integer is beyond 2**53 - 1, where doubles lose precision; pass it as text"

# Most items and characters a value may hold over again by way of containers that stand in it more than once.
_MAX_REPEATED: Final = 2**28

_HINTS: Final = {
    "bytes": "decode it, encode it as base64 text or keep it as an artifact",
    "bytearray": "decode it, encode it as base64 text or keep it as an artifact",
    "datetime": "use its isoformat() text",
    "date": "use its isoformat() text",
    "time": "use its isoformat() text",
    "timedelta": "use its total_seconds()",
    "set": "use a sorted list",
    "frozenset": "use a sorted list",
    "Decimal": "use str() or float()",
    "Fraction": "use str() or float()",
    "complex": "use a list of two numbers",
    "memoryview": "decode it, encode it as base64 text or keep it as an artifact",
    "generator": "use a list",
    "range": "use a list",
    "deque": "use a list",
    "ndarray": "use its tolist()",
    "UUID": "use str()",
    "PosixPath": "use str()",
    "Secret": "it may stand in env=, in headers= and in the request of io.call only",
}


# Where a walk stands: the container above and the key or index in it; rendered only for an error.
_Where: TypeAlias = "tuple[_Where, str | int] | None"


class DuplicateKey:
    """Stands in a parsed text for an object that names one key twice."""

    def __init__(self, key: str) -> None:
        self.key = key


def json_path(segments: Iterable[str | int]) -> str:
    """Render keys and indexes as ``$.a[3]``."""
    return "$" + "".join(map(_segment_text, segments))


def _segment_text(segment: str | int) -> str:
    if isinstance(segment, int):
        return f"[{segment}]"
    if segment.isascii() and segment.isidentifier():
        return f".{segment}"
    return f"[{segment[:80]!r}]"


class _Met(NamedTuple):
    """A container that was copied; it is held, so that its id stays its own."""

    value: object
    copied: object
    size: int
    levels: int


class Copier:
    """Copies a value into what msgspec writes canonically as it is, or says what has no place in JSON.

    It goes by what a value is, not by what its class says: a subclass may lie about its items, its length or its class.
    A container met again is not walked again, so what doubles at each level is refused at once.
    """

    def __init__(self) -> None:
        self._met: dict[int, _Met] = {}
        self._size = 0  # items and characters so far
        self._repeated = 0  # of these, the ones in containers met again
        self._deepest = 0  # level reached in the container at hand

    def copy(self, value: object, where: _Where, above: tuple[int, ...]) -> object:
        """Copy any value."""
        kind = type(value)
        if value is None or kind is bool:
            return value
        if issubclass(kind, str):
            text = _copy_str(value, where)  # type: ignore[arg-type]
            self._size += len(text)
            return text
        if issubclass(kind, float):
            return _copy_float(value, where)  # type: ignore[arg-type]
        if issubclass(kind, int):
            return _copy_int(value, where)  # type: ignore[arg-type]
        if not issubclass(kind, _CONTAINERS):
            return _refuse_type(value, where)
        met = self._met.get(id(value))
        return self._first(value, where, above) if met is None else self._again(met, where, above)

    def _first(self, value: object, where: _Where, above: tuple[int, ...]) -> object:
        if id(value) in above:
            _refuse("the value refers to itself", where)
        if len(above) >= MAX_DEPTH:
            _refuse(TOO_DEEP, where)
        size, deepest, self._deepest = self._size, self._deepest, len(above) + 1
        copied = self._container(value, where, (*above, id(value)))
        self._size += 1 + len(copied)
        self._met[id(value)] = _Met(value, copied, self._size - size, self._deepest - len(above))
        self._deepest = max(deepest, self._deepest)
        return copied

    def _again(self, met: _Met, where: _Where, above: tuple[int, ...]) -> object:
        self._size += met.size
        self._repeated += met.size
        if self._repeated > _MAX_REPEATED:
            _refuse(_TOO_OFTEN, where)
        self._deepest = max(self._deepest, len(above) + met.levels)
        if self._deepest > MAX_DEPTH:
            _refuse(TOO_DEEP, where)
        return met.copied

    def _container(self, value: Any, where: _Where, above: tuple[int, ...]) -> dict[str, object] | list[object]:  # noqa: ANN401 - a dict, list or tuple
        if issubclass(type(value), dict):
            members = _sorted_members(value, where)
            self._size += sum(len(key) for key, _ in members)
            return {key: self.copy(item, (where, key), above) for key, item in members}
        kind: Any = list if issubclass(type(value), list) else tuple
        return [self.copy(item, (where, index), above) for index, item in enumerate([*kind.__iter__(value)])]


def _copy_str(value: str, where: _Where) -> str:
    text = str.__str__(value)  # the exact text of a subclass
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            _refuse(f"the lone surrogate {text[error.start]!r} is not text", where)
    return text


def _copy_int(value: int, where: _Where) -> int:
    number = int.__int__(value)
    if not -MAX_INT <= number <= MAX_INT:
        _refuse(TOO_BIG, where)
    return number


def _copy_float(value: float, where: _Where) -> float | msgspec.Raw:
    number = float.__float__(value)
    if float_is_plain(number):
        return number
    if not math.isfinite(number):
        _refuse(f"{number} is not a JSON number; use null or text", where)
    if number.is_integer() and abs(number) <= MAX_INT:
        return int(number)
    return msgspec.Raw(rfc8785.dumps(number))


def _sorted_members(value: dict[Any, Any], where: _Where) -> list[tuple[str, object]]:
    given = [*dict.items(value)]  # at once: another thread may change it meanwhile
    keys = [key for key, _ in given]
    if set(map(type, keys)) == _STR and "".join(keys).isascii():
        return sorted(given, key=itemgetter(0))
    members: dict[str, object] = {}
    for key, item in given:
        if not issubclass(type(key), str):
            _refuse(f"the key {_shown(key)} is not text", where)
        text = _copy_str(key, (where, str.__str__(key)))
        if text in members:
            _refuse(f"the key {reprlib.repr(text)} appears twice", where)
        members[text] = item
    return sorted(members.items(), key=_utf16_units)


def _utf16_units(member: tuple[str, object]) -> bytes:
    return member[0].encode("utf-16-be")


def _refuse_type(value: object, where: _Where) -> NoReturn:
    if type(value) is DuplicateKey:
        _refuse(f"the key {reprlib.repr(value.key)} appears twice", where)
    name = type(value).__name__
    hint = _HINTS.get(name)
    _refuse(f"{name} is not a JSON type" + (f"; {hint}" if hint else ""), where)


def _shown(key: object) -> str:
    """Return a key that is no text as an error shows it; its class may be anyone's code, or be named like a builtin one."""
    try:
        return reprlib.repr(key)
    except Exception:  # noqa: BLE001 - a key's own code
        return f"of type {type(key).__name__}"


def _refuse(reason: str, where: _Where) -> NoReturn:
    segments: list[str | int] = []
    while where is not None:
        where, segment = where
        segments.append(segment)
    raise CanonicalJsonError(reason, json_path(reversed(segments)))


def float_is_plain(number: float) -> bool:
    """Tell whether msgspec spells a float as ECMAScript does."""
    return _PLAIN_FLOAT_MIN <= abs(number) < _PLAIN_FLOAT_END and not number.is_integer()
