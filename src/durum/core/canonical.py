"""Canonical JSON (RFC 8785): the one byte form of a value, which every digest, event and artifact is made of.

Both paths end in msgspec. The fast one hands over a value as it is, once guards vouch for it: msgspec writes NaN as null and
sorts keys above U+FFFF otherwise. The slow one copies the value into exact types, its keys in RFC order, odd floats as text of
the ``rfc8785`` reference. Tests hold both to that reference.
"""

from __future__ import annotations

import hashlib
import json
import math
import reprlib
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

import msgspec
import rfc8785

from durum.errors import CanonicalJsonError

if TYPE_CHECKING:
    from collections.abc import Iterable

JsonValue: TypeAlias = "dict[str, JsonValue] | list[JsonValue] | str | int | float | bool | None"
JsonObject: TypeAlias = dict[str, JsonValue]

MAX_DEPTH: Final = 128
MAX_INT: Final = 2**53 - 1

_encode_sorted: Final = msgspec.json.Encoder(order="sorted").encode
_encode_as_is: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode

_STR: Final = frozenset({str})
_ATOMS: Final = frozenset({str, bool, type(None)})
_PLAIN: Final = frozenset({str, bool, type(None), int, float, dict, list})
_CONTAINERS: Final = (dict, list, tuple)
_NESTING: Final = frozenset({dict, list})
_LAST_UTF16_UNIT: Final = "\uffff"

# Outside this range ECMAScript and msgspec spell the same shortest digits differently.
_PLAIN_FLOAT_MIN: Final = 1e-4
_PLAIN_FLOAT_END: Final = 9e15

_TOO_DEEP: Final = f"the value nests too deep; {MAX_DEPTH} levels are allowed"
_TOO_OFTEN: Final = "the value holds the same lists or objects so often that it would be too large; keep each of them once"
_TOO_BIG: Final = "an integer is beyond 2**53 - 1, where doubles lose precision; pass it as text"

# A batch that holds so many items is worth a look for shared containers, which could double its size at each level.
_LARGE_BATCH: Final = 1000

# Most items a value may hold over again by way of containers that stand in it more than once.
_MAX_REPEATED: Final = 2_000_000

# Every float that reads back as an integer beyond 2**53 - 1 is written with 16 digits or more.
_DIGITS_TO_ZERO: Final = bytes(ord("0") if code in b"0123456789" else ord("x") for code in range(256))
_LONG_INT: Final = b"0" * 16

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
}

_Unchecked: TypeAlias = Any  # may be of any type until the guards have looked

# Where a walk stands: the container above and the key or index in it; rendered only for an error.
_Where: TypeAlias = "tuple[_Where, str | int] | None"


class _DuplicateKey:
    """Stands in a parsed text for an object that names one key twice."""

    def __init__(self, key: str) -> None:
        self.key = key


# --- values to bytes ----------------------------------------------------------------------------------------------------


def canonical_json(value: object) -> bytes:
    """Return the RFC 8785 bytes of ``value``; ``CanonicalJsonError`` says what has none, and where."""
    data = _fast(value)
    return _slow(value) if data is None else data


def digest_bytes(data: bytes) -> str:
    """Return the SHA-256 of ``data`` as 64 lowercase hex digits."""
    return hashlib.sha256(data).hexdigest()


def digest(value: object) -> str:
    """Return the SHA-256 of the canonical bytes of ``value``."""
    return digest_bytes(canonical_json(value))


def normalized(value: object) -> JsonValue:
    """Return ``value`` as it reads back from its canonical bytes: plain types only, 1.0 as 1, tuples as lists."""
    return decode_json(canonical_json(value))


def json_path(segments: Iterable[str | int]) -> str:
    """Render keys and indexes as ``$.a[3]``."""
    return "$" + "".join(map(_segment_text, segments))


def _segment_text(segment: str | int) -> str:
    if isinstance(segment, int):
        return f"[{segment}]"
    if segment.isascii() and segment.isidentifier():
        return f".{segment}"
    return f"[{segment[:80]!r}]"


def _fast(value: object) -> bytes | None:
    """Return the canonical bytes if msgspec is known to write them for ``value``, else None."""
    try:
        return _encode_sorted(value) if _is_plain(value) else None
    except (RecursionError, UnicodeEncodeError):  # deep in a stack already; a lone surrogate
        return None


def _is_plain(value: _Unchecked) -> bool:
    """Check ``value`` level by level, so that the inner loops over many containers run in C."""
    batch = [value]
    if type(value) not in _NESTING:
        return _atoms_are_plain(batch, {type(value)})
    for _ in range(MAX_DEPTH):
        items = _open(batch)
        if items is None:
            return False
        kinds = set(map(type, items))
        if kinds <= _ATOMS:
            return True
        if not _atoms_are_plain(items, kinds):
            return False
        batch = [item for item in items if type(item) in _NESTING]
        if not batch:
            return True
        if sum(map(len, batch)) > _LARGE_BATCH and len(set(map(id, batch))) < len(batch):
            return False
    return False


def _open(batch: list[_Unchecked]) -> _Unchecked:
    """Return what the dicts and lists of a batch hold, None if a key is not plain."""
    if len(batch) == 1:
        only = batch[0]
        if type(only) is list:
            return only
        return only.values() if _keys_are_plain(only) else None
    dicts = [item for item in batch if type(item) is dict]
    if not _keys_are_plain([*chain.from_iterable(dicts)]):
        return None
    lists = [item for item in batch if type(item) is list]
    return [*chain.from_iterable(map(dict.values, dicts)), *chain.from_iterable(lists)]


def _keys_are_plain(keys: _Unchecked) -> bool:
    if set(map(type, keys)) == _STR:
        text = "".join(keys)
        return text.isascii() or max(text) <= _LAST_UTF16_UNIT
    return not keys


def _atoms_are_plain(items: _Unchecked, kinds: set[type]) -> bool:
    if not kinds <= _PLAIN:
        return False
    if int in kinds and not _ints_are_safe(items, kinds):
        return False
    return float not in kinds or all(_float_is_plain(item) for item in items if type(item) is float)


def _ints_are_safe(items: _Unchecked, kinds: set[type]) -> bool:
    if len(kinds) == 1:
        return bool(min(items) >= -MAX_INT and max(items) <= MAX_INT)
    return not [item for item in items if type(item) is int and not -MAX_INT <= item <= MAX_INT]


def _float_is_plain(number: float) -> bool:
    return _PLAIN_FLOAT_MIN <= abs(number) < _PLAIN_FLOAT_END and not number.is_integer()


# --- the slow path: anything odd, and every refusal ----------------------------------------------------------------------


def _slow(value: object) -> bytes:
    try:
        return _encode_as_is(_Copier().copy(value, None, ()))
    except RecursionError:
        pass
    raise CanonicalJsonError(_TOO_DEEP)


class _Copier:
    """Copies a value into what msgspec writes canonically as it is, or says what has no place in JSON.

    It goes by what a value is, not by what its class says: a subclass may lie about its items, its length or its class.
    """

    def __init__(self) -> None:
        self._met: set[int] = set()
        self._repeated = 0

    def copy(self, value: object, where: _Where, above: tuple[int, ...]) -> object:
        """Copy any value."""
        kind = type(value)
        if value is None or kind is bool:
            return value
        if issubclass(kind, str):
            return _copy_str(value, where)  # type: ignore[arg-type]
        if issubclass(kind, float):
            return _copy_float(value, where)  # type: ignore[arg-type]
        if issubclass(kind, int):
            return _copy_int(value, where)  # type: ignore[arg-type]
        if not issubclass(kind, _CONTAINERS):
            return _refuse_type(value, where)
        copied = self._container(value, where, above)  # type: ignore[arg-type]
        if id(value) in self._met:
            self._repeated += 1 + len(copied)
            if self._repeated > _MAX_REPEATED:
                _refuse(_TOO_OFTEN, where)
        self._met.add(id(value))
        return copied

    def _container(
        self, value: dict[Any, Any] | list[Any] | tuple[Any, ...], where: _Where, above: tuple[int, ...]
    ) -> dict[str, object] | list[object]:
        if id(value) in above:
            _refuse("the value refers to itself", where)
        if len(above) >= MAX_DEPTH:
            _refuse(_TOO_DEEP, where)
        above = (*above, id(value))
        if issubclass(type(value), dict):
            return {key: self.copy(item, (where, key), above) for key, item in _sorted_members(value, where)}  # type: ignore[arg-type]
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
        _refuse(_TOO_BIG, where)
    return number


def _copy_float(value: float, where: _Where) -> float | msgspec.Raw:
    number = float.__float__(value)
    if _float_is_plain(number):
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
    if type(value) is _DuplicateKey:
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


# --- bytes and text to values --------------------------------------------------------------------------------------------


def decode_json(data: bytes) -> JsonValue:
    """Read canonical bytes that Durum wrote; use ``parse_json`` for text from anyone else."""
    try:
        value: JsonValue = _decode(data)
        if _LONG_INT not in data.translate(_DIGITS_TO_ZERO):
            return value
        root = [value]
        _restore_floats(root)
        return root[0]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        reason = str(error)
    except RecursionError:
        reason = _TOO_DEEP
    raise CanonicalJsonError(reason)


def _restore_floats(container: _Unchecked) -> None:
    """Turn integers beyond 2**53 - 1, in place, back into the floats they were written from."""
    for place, item in container.items() if type(container) is dict else enumerate(container):
        kind = type(item)
        if kind is int:
            if not -MAX_INT <= item <= MAX_INT:
                container[place] = float(item)
        elif kind in _NESTING:
            _restore_floats(item)


def parse_json(text: str | bytes) -> JsonValue:
    """Read JSON that a person or a peer sent, strictly; the result is what its canonical form reads back as.

    Raises:
        CanonicalJsonError: a syntax error (``path`` is then ``line L column C``), a key given twice, NaN or Infinity, an
            integer beyond 2**53 - 1, a lone surrogate, more than 128 levels, or bytes that are not UTF-8.

    """
    return normalized(_parse(text))


def _parse(text: str | bytes) -> object:
    try:
        value: object = _strict_loads(text if isinstance(text, str) else text.decode())
    except UnicodeDecodeError as error:
        raise CanonicalJsonError("the bytes are not UTF-8", f"byte {error.start}") from None
    except json.JSONDecodeError as error:
        reason = error.msg[:1].lower() + error.msg[1:]
        raise CanonicalJsonError(reason, f"line {error.lineno} column {error.colno}") from None
    except ValueError:  # int() refuses thousands of digits
        raise CanonicalJsonError(_TOO_BIG) from None
    except RecursionError:
        raise CanonicalJsonError(_TOO_DEEP) from None
    return value


def _object(pairs: list[tuple[str, object]]) -> object:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    for key, _ in pairs:
        if key not in members:
            return _DuplicateKey(key)
        del members[key]
    return members


_strict_loads: Final = json.JSONDecoder(object_pairs_hook=_object).decode
