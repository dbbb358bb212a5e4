"""Canonical JSON (RFC 8785): the one byte form of a value, which every digest, event and artifact is made of.

Both paths end in msgspec. The fast one hands over a value as it is, once guards vouch for it: msgspec writes NaN as null and
sorts keys above U+FFFF otherwise. The slow one copies the value into exact types, its keys in RFC order, odd floats as text of
the ``rfc8785`` reference. Tests hold both to that reference.
"""

from __future__ import annotations

import hashlib
import json
from itertools import chain
from typing import Any, Final, TypeAlias

import msgspec

from durum.core.exact_copy import MAX_DEPTH, MAX_INT, TOO_BIG, TOO_DEEP, Copier, DuplicateKey, float_is_plain
from durum.errors import CanonicalJsonError

JsonValue: TypeAlias = "dict[str, JsonValue] | list[JsonValue] | str | int | float | bool | None"
JsonObject: TypeAlias = dict[str, JsonValue]

_encode_sorted: Final = msgspec.json.Encoder(order="sorted").encode
_encode_as_is: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode

_STR: Final = frozenset({str})
_INT: Final = frozenset({int})
_ATOMS: Final = frozenset({str, bool, type(None)})
_PLAIN: Final = frozenset({str, bool, type(None), int, float, dict, list})
_NESTING: Final = frozenset({dict, list})
_LAST_UTF16_UNIT: Final = "\uffff"

# A batch that holds so many items is worth a look for shared containers, which could double its size at each level.
_LARGE_BATCH: Final = 1000

# Every float that reads back as an integer beyond 2**53 - 1 is written with 16 digits or more.
_DIGITS_TO_ZERO: Final = bytes(ord("0") if code in b"0123456789" else ord("x") for code in range(256))
_LONG_INT: Final = b"0" * 16

_MARK: Final = "\ufeff"

_Unchecked: TypeAlias = Any  # may be of any type until the guards have looked


# --- values to bytes ----------------------------------------------------------------------------------------------------


def canonical_json(value: object) -> bytes:
    """Return the RFC 8785 bytes of ``value``; ``CanonicalJsonError`` says what has none, and where."""
    try:
        if _is_plain(value):
            return _encode_sorted(value)
    except (RecursionError, UnicodeEncodeError):  # deep in a stack already; a lone surrogate
        pass
    return _slow(value)


def canonical_parts(value: object) -> bytes:
    """Return the RFC 8785 bytes of a value the engine made: texts, small integers, None, ``msgspec.Raw`` of canonical bytes.

    Nothing is checked; keys of maps must be ASCII.
    """
    return _encode_sorted(value)


def digest_bytes(data: bytes) -> str:
    """Return the SHA-256 of ``data`` as 64 lowercase hex digits."""
    return hashlib.sha256(data).hexdigest()


def digest(value: object) -> str:
    """Return the SHA-256 of the canonical bytes of ``value``."""
    return digest_bytes(canonical_json(value))


def normalized(value: object) -> JsonValue:
    """Return ``value`` as it reads back from its canonical bytes: plain types only, 1.0 as 1, tuples as lists."""
    return decode_json(canonical_json(value))


def _is_plain(value: _Unchecked) -> bool:
    """Tell whether msgspec writes canonical bytes for ``value``; level by level, so that the inner loops run in C."""
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
        if kinds.isdisjoint(_NESTING):
            return True
        batch = [item for item in items if type(item) in _NESTING]
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
    if kinds == _INT:
        return bool(min(items) >= -MAX_INT and max(items) <= MAX_INT)
    if int in kinds:
        for item in items:
            if type(item) is int and not -MAX_INT <= item <= MAX_INT:
                return False
    return float not in kinds or all(float_is_plain(item) for item in items if type(item) is float)


# --- the slow path: anything odd, and every refusal ----------------------------------------------------------------------


def _slow(value: object) -> bytes:
    try:
        return _encode_as_is(Copier().copy(value, None, ()))
    except RecursionError:
        pass
    raise CanonicalJsonError(TOO_DEEP)


# --- bytes and text to values --------------------------------------------------------------------------------------------


def decode_json(data: bytes) -> JsonValue:
    """Read canonical bytes that Durum wrote; use ``parse_json`` for text from anyone else."""
    try:
        value: JsonValue = _decode(data)
        if data.translate(_DIGITS_TO_ZERO).find(_LONG_INT) < 0:
            return value
        root = [value]
        _restore_floats(root)
        return root[0]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        reason = str(error)
    except RecursionError:
        reason = TOO_DEEP
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
        text = text if isinstance(text, str) else text.decode()
        if text.startswith(_MARK):
            raise CanonicalJsonError("the text begins with a byte order mark; save it as UTF-8 without one", "line 1 column 1")
        value: object = _strict_loads(text)
    except UnicodeDecodeError as error:
        raise CanonicalJsonError("the bytes are not UTF-8", f"byte {error.start}") from None
    except json.JSONDecodeError as error:
        reason = error.msg[:1].lower() + error.msg[1:]
        raise CanonicalJsonError(reason, f"line {error.lineno} column {error.colno}") from None
    except ValueError:  # int() refuses thousands of digits
        raise CanonicalJsonError(TOO_BIG) from None
    except RecursionError:
        raise CanonicalJsonError(TOO_DEEP) from None
    return value


def _object(pairs: list[tuple[str, object]]) -> object:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    for key, _ in pairs:
        if key not in members:
            return DuplicateKey(key)
        del members[key]
    return members


_strict_loads: Final = json.JSONDecoder(object_pairs_hook=_object).decode
