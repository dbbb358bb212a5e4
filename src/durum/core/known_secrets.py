"""Blanks out secrets whose values are known, in whatever form they come back: escaped, quoted, in base64 or in hex."""

from __future__ import annotations

import re
import string
from functools import cached_property
from typing import TYPE_CHECKING, Final

from durum.core.exact_copy import json_path
from durum.core.payload import encode_payload, payload_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from durum.core.canonical import JsonValue

SHORTEST_SECRET: Final = 4
"""Characters a secret must have; a shorter one stands in ordinary text by chance and could not be told from it."""

_PLAIN: Final = frozenset(string.ascii_letters + string.digits + "-._")  # no encoder writes these otherwise
_CORE: Final = re.compile("[A-Za-z0-9._-]+")
_LATIN_1: Final = frozenset(map(chr, range(0x80, 0x100)))
_LAST_UTF16_UNIT: Final = "\uffff"
_LETTERS: Final = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"  # of base64
_EITHER: Final = {"+": r"+\-", "/": "/_"}  # the URL-safe alphabet
_SHORT_ESCAPES: Final = {"\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}
_ENTITIES: Final = {'"': "quot", "&": "amp", "'": "apos", "<": "lt", ">": "gt"}
_BACKSLASHES: Final = r"\\{1,7}"  # JSON in JSON in JSON; a bound, for an answer may be nothing but backslashes
_PERCENT: Final = "%(?:25){0,2}"
_GAP: Final = r"(?:[\s:]|\\{1,4}[nr]){0,20}"  # encoders break lines
_EXACT_BYTES: Final = 48  # of a long secret in base64 or hex; what follows them is taken by its length


class KnownSecrets:
    """Values by name; a name that came to mean another value keeps the old one too, for an answer may still repeat it."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], _Forms] = {}

    def add(self, name: str, value: str) -> None:
        """Blank ``value`` out from now on, whether or not its receiver keeps the space around it."""
        value = value.strip()
        if (name, value) not in self._known:
            self._known[name, value] = _Forms(value)

    def values(self) -> list[tuple[str, str]]:
        """Return (name, value) of all that is known."""
        return list(self._known)

    def __bool__(self) -> bool:
        """Whether anything is known."""
        return bool(self._known)

    def find(self, value: JsonValue) -> tuple[str, str] | None:
        """Return where the first known secret of a JSON value is, as ``$.a[0]``, and its name; None if it holds none."""
        where, name = next(self._places(value, ()), (None, ""))
        return None if where is None else (json_path(where), name)

    def _places(self, value: JsonValue, where: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
        if isinstance(value, dict) and payload_text(value) is None:
            for key, item in value.items():
                yield from self._places(key, (*where, key))
                yield from self._places(item, (*where, key))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                yield from self._places(item, (*where, index))
        else:
            yield from ((where, name) for name in self._names(value))

    def _names(self, value: JsonValue) -> list[str]:
        """Return the names of what a text, a number or the bytes of a payload hold."""
        hidden = payload_text(value)
        text = value if hidden is None else _as_text(hidden)
        if isinstance(text, str):
            return [name for _, _, name in self._spans(text)]
        return [name for name, secret in self.values() if secret == str(value) and not isinstance(value, bool)]

    def scrub(self, value: JsonValue) -> JsonValue:
        """Return a JSON value with every known secret replaced by ``[secret NAME]``."""
        if not self._known or value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self.scrub_text(value)
        if isinstance(value, list):
            return [self.scrub(item) for item in value]
        if isinstance(value, dict):
            return self._scrub_object(value)
        return next((_label(name) for name, secret in self.values() if secret == str(value)), value)

    def _scrub_object(self, value: dict[str, JsonValue]) -> JsonValue:
        hidden = payload_text(value)
        if hidden is not None:
            return encode_payload(self.scrub_text(_as_text(hidden)).encode("utf-8", "surrogateescape"))
        members: dict[str, JsonValue] = {}
        for key, item in value.items():
            name = self.scrub_text(key)
            while name in members:
                name += "'"  # two keys stay two keys
            members[name] = self.scrub(item)
        return members

    def scrub_text(self, text: str) -> str:
        """Replace in a text; where secrets overlap all of it goes, under the name of the one that begins first."""
        pieces: list[str] = []
        upto = 0
        for start, end, name in self._spans(text):
            if start >= upto:
                pieces += text[upto:start], _label(name)
            upto = max(upto, end)
        return "".join((*pieces, text[upto:])) if pieces else text

    def _spans(self, text: str) -> Iterable[tuple[int, int, str]]:
        """Return what to replace, longest first where several begin."""
        spans = [
            (match.start(), match.end(), name)
            for (name, _), forms in tuple(self._known.items())  # a call in another thread may add one
            for pattern in forms.patterns(text)
            for match in pattern.finditer(text)
        ]
        return sorted(spans, key=lambda span: (span[0], -span[1]))


def _as_text(latin: str) -> str:
    return latin.encode("latin-1").decode("utf-8", "surrogateescape")


def _label(name: str) -> str:
    return f"[secret {name}]"


class _Forms:
    """A regex for each form of a value; one for all of them could not skip ahead to a first letter."""

    def __init__(self, value: str) -> None:
        self._value = value
        self._core = max(_CORE.findall(value), key=len, default="")  # is in the text if the value is, however it is spelled
        data = value.encode("utf-8", "surrogateescape")
        head, rest = data[:_EXACT_BYTES], len(data[_EXACT_BYTES:])
        encoded = [_run([f"(?i:{byte:02x})" for byte in head], "[0-9A-Fa-f]", rest * 2)]
        encoded += [_run(_base64(head, before), "[A-Za-z0-9+/_-]", rest * 4 // 3 + 1) for before in range(3)]
        self._encoded = [re.compile(form) for form in encoded]

    @cached_property
    def _spelled(self) -> re.Pattern[str]:
        return re.compile("".join(map(_character, self._value)))

    def patterns(self, text: str) -> list[re.Pattern[str]]:
        """Return what to look for in a text; compiling takes long for a long value, so it waits for a reason."""
        return [self._spelled, *self._encoded] if self._core in text else self._encoded


def _run(units: list[str], letter: str, rest: int) -> str:
    """Return a regex for encoded units in a row, over several lines if need be; what follows a long one is only counted."""
    return _GAP.join(units) + (f"(?:{_GAP}{letter}){{0,{rest}}}" if rest > 1 else "")


def _base64(data: bytes, before: int) -> list[str]:
    """Return the letters that stand for ``data`` after ``before`` other bytes; one at an end may be any of several."""
    bits = "?" * 8 * before + "".join(f"{byte:08b}" for byte in data)
    groups = [bits[at : at + 6].ljust(6, "?") for at in range(0, len(bits), 6)]
    return [_letter(group) for group in groups if group != "??????"]


def _letter(bits: str) -> str:
    known = int(re.sub("[01]", "1", bits).replace("?", "0"), 2)
    value = int(bits.replace("?", "0"), 2)
    fitting = [_EITHER.get(letter, letter) for place, letter in enumerate(_LETTERS) if place & known == value]
    return fitting[0] if len(fitting) == 1 and fitting[0].isalnum() else f"[{''.join(fitting)}]"


def _character(character: str) -> str:
    """Return a regex for one character as it is or as JSON, Python, URLs or HTML spell it."""
    if character in _PLAIN:
        return re.escape(character)
    # As it is comes last: % and & also begin what stands for them.
    return f"(?:(?i:{'|'.join(_as_numbers(character))})|{'|'.join((*_as_written(character), re.escape(character)))})"


def _as_numbers(character: str) -> Iterator[str]:
    code, data = ord(character), character.encode("utf-8", "surrogateescape")
    units = character.encode("utf-16-be", "surrogatepass")
    yield "".join(f"(?:{_PERCENT}|{_BACKSLASHES}x){byte:02x}" for byte in data)
    yield "".join(f"{_BACKSLASHES}u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
    yield f"&#(?:0*{code}|x0*{code:x});"
    if character in _LATIN_1:
        yield f"(?:{_PERCENT}|{_BACKSLASHES}x){code:02x}"
    if character > _LAST_UTF16_UNIT:
        yield f"{_BACKSLASHES}U{code:08x}"


def _as_written(character: str) -> Iterator[str]:
    if character.isascii():
        yield f"{_BACKSLASHES}{_SHORT_ESCAPES.get(character, re.escape(character))}"
    if character in _ENTITIES:
        yield f"&{_ENTITIES[character]};"
    if character == " ":
        yield r"\+"
    if character == "\n":
        yield r"\r\n"
    if character in _LATIN_1:  # as one byte, in what is no UTF-8
        yield chr(0xDC00 + ord(character))
