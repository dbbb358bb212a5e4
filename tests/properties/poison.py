"""The poison corpus: values that have broken stores and codecs before, and what each of them must read back as."""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections import OrderedDict, deque
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

from durum.core.exact_copy import MAX_DEPTH, MAX_INT
from durum.core.ids import OpId
from tests.properties.liars import (
    Colour,
    EndlessList,
    LyingDict,
    LyingFloat,
    LyingInt,
    LyingText,
    LyingTuple,
    Plain,
    Pretender,
    Scalar,
    Unfriendly,
    Word,
)

if TYPE_CHECKING:
    from collections.abc import Callable

REFUSED: Any = object()


class Case(NamedTuple):
    """One value, made afresh for each use; ``reads_back`` is what comes back, or REFUSED."""

    name: str
    make: Callable[[], object]
    reads_back: Any


# --- things with a shape ------------------------------------------------------------------------------------------------


def nested(levels: int) -> object:
    """Return lists in lists, ``levels`` of them."""
    value: object = []
    for _ in range(levels - 1):
        value = [value]
    return value


def nested_objects(levels: int) -> object:
    """Return objects in objects, ``levels`` of them."""
    value: object = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


def ring() -> object:
    """Return a dict that holds itself."""
    value: dict[str, object] = {"a": []}
    value["a"] = [{"b": (value,)}]
    return value


def ring_of_lists() -> object:
    """Return a list that holds itself twice."""
    value: list[object] = []
    value += [value, value]
    return value


def doubling() -> object:
    """Return lists that would fill the universe if each were written where it stands."""
    value: object = [0]
    for _ in range(100):
        value = [value, value]
    return value


def clashing() -> object:
    """Return a dict with two keys that are one text."""

    class Loner(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            return self is other

        __hash__ = str.__hash__

    return {"a": 1, Loner("a"): 2}


def _same(name: str, value: Any) -> Case:
    return Case(name, lambda: value, value)


def _no(name: str, make: Callable[[], object]) -> Case:
    return Case(name, make, REFUSED)


TEXTS = [
    _same("empty text", ""),
    _same("nul", "a\x00b"),
    _same("controls", "".join(map(chr, [*range(0x20), 0x7F, 0x85, 0x9F]))),
    _same("separators", "\u2028\u2029\ufeff\u202e\ufffe\uffff"),
    _same("a pair that is one sign", "\U0001f600\U0010ffff"),
    _same("node prefix", "durum-node/1\n"),
    _same("long node", 'durum-node/1\n{"l":[]}' + "x" * 2000),
    _same("template", "{{ 7*7 }} ${HOME} %s {0.__class__}"),
    _same("terminal", "\x1b[31mred\x07\r"),
    _same("100,000 signs", "ü" * 100_000),
    _no("high surrogate", lambda: "a\ud83d"),
    _no("low surrogate", lambda: "\ude00a"),
    _no("swapped surrogates", lambda: "\ude00\ud83d"),
    _no("two halves that are no pair in Python", lambda: "\ud83d\ude00"),
    Case("text that lies", lambda: LyingText("honest"), "honest"),
    Case("named text", lambda: Word.A, "a"),
    Case("id", lambda: OpId("b"), "b"),
]
NUMBERS = [
    _same("zero", 0),
    Case("negative zero", lambda: -0.0, 0),
    Case("whole float", lambda: 1.0, 1),
    _same("0.1 + 0.2", 0.1 + 0.2),
    _same("small", 1e-7),
    _same("smallest", 5e-324),
    _same("largest", 1.7976931348623157e308),
    _same("large", 1e21),
    _same("largest safe int", MAX_INT),
    _same("least safe int", -MAX_INT),
    _same("float beyond safe ints", 2.0**53),
    _same("float far beyond safe ints", -1e20),
    _no("2**53", lambda: 2**53),
    _no("2**53 + 1", lambda: 2**53 + 1),
    _no("-2**53 - 1", lambda: -(2**53) - 1),
    _no("2**64", lambda: 2**64),
    _no("huge", lambda: 10**5000),
    _no("nan", lambda: math.nan),
    _no("infinity", lambda: math.inf),
    _no("negative infinity", lambda: -math.inf),
    _no("1e400", lambda: float("1e400")),
    Case("named number", lambda: Colour.RED, 3),
    Case("int that lies", lambda: LyingInt(5), 5),
    Case("float that lies", lambda: LyingFloat(2.5), 2.5),
    Case("true", lambda: True, reads_back=True),
    _same("null", None),
]
SHAPES = [
    _same("as deep as may be", nested(MAX_DEPTH - 8)),
    _no("one too deep", lambda: nested(MAX_DEPTH + 1)),
    _no("10,000 deep", lambda: nested(10_000)),
    _no("10,000 deep objects", lambda: nested_objects(10_000)),
    _no("ring", ring),
    _no("ring of lists", ring_of_lists),
    _no("doubling", doubling),
    _same("shared", [[{"a": 1}] * 3] * 3),
    _same("wide object", {f"k{number}": number for number in range(1_500)}),
    _same("wide list", [*range(2_000)]),
    _same("wide list of texts", ["x" * 40] * 1_500),
    _same("many empties", [[], {}] * 1000),
    Case("tuples", lambda: (1, (2, [3]), {"a": (4,)}), [1, [2, [3]], {"a": [4]}]),
    Case("ordered", lambda: OrderedDict(b=1, a=2), {"a": 2, "b": 1}),
    Case("dict that lies", lambda: LyingDict(a=1), {"a": 1}),
    Case("large dict that lies", lambda: LyingDict(a=["x" * 40] * 50, b=2), {"a": ["x" * 40] * 50, "b": 2}),
    Case("list without end", lambda: EndlessList([1, 2]), [1, 2]),
    Case("large list without end", lambda: EndlessList(["x" * 40] * 50), ["x" * 40] * 50),
    Case("tuple that lies", lambda: LyingTuple(("x" * 40,) * 50), ["x" * 40] * 50),
    Case("keys that lie", lambda: {Word.A: [LyingText("b")]}, {"a": ["b"]}),
]
KEYS = [
    _same("empty key", {"": {"": [""]}}),
    _same("key of 100,000 signs", {"k" * 100_000: 1}),
    _same("nul key", {"a\x00": 1, "a": 2}),
    _same("astral keys", {"\uffff": 1, "\U00010000": 2, "a": 3}),
    _same("large astral object", {"\uffff": ["x" * 40] * 40, "\U00010000": ["y" * 40] * 40, "é": 3}),
    _same(
        "prototype", {"__proto__": {"polluted": True}, "constructor": {"prototype": {}}, "toString": 1, "hasOwnProperty": None}
    ),
    _same("dunder", {"__class__": "object", "__reduce__": ["os.system", ["true"]], "__builtins__": {}}),
    _no("surrogate key", lambda: {"a": [{"\udc00": 1}]}),
    _no("int key", lambda: {1: 2}),
    _no("int and text key", lambda: {1: 2, "1": 3}),
    _no("null key", lambda: {None: 1}),
    _no("huge int key", lambda: {10**5000: 1}),
    _no("tuple key", lambda: {("a",): 1}),
    _no("bytes key", lambda: {b"a": 1}),
    _no("unfriendly key", lambda: {Unfriendly(): 1}),
    _no("keys that are one", clashing),
]
ENVELOPES = [
    _same("secret reference", {"$secret": "HOME"}),
    _same("secret reference with a prefix", {"headers": {"a": {"$secret": "HOME", "prefix": "Bearer "}}}),
    _same("bytes envelope", {"$bytes": "AAAA"}),
    _same("text payload", {"text": "hi"}),
    _same("base64 payload", {"base64": "aGk="}),
    _same("base64 payload of bytes", {"data": [{"base64": "/wD/"}]}),
    _same("base64 that is none", {"base64": "a"}),
    _same("success", {"ok": 1}),
    _same("success of a failure", {"ok": {"error": {"code": "x"}}}),
    _same("failure", {"error": {"code": "x", "message": "y", "retryable": True, "details": None}}),
    _same("failure of another shape", {"error": 1}),
    _same("cancelled", {"cancelled": True}),
    _same("json payload", {"json": {"a": 1}}),
    _same("node rows", {"m": [["a", [1]]], "M": [], "l": [], "L": ["0" * 64]}),
    _same("reference", "0" * 64),
    _same("entries", [[1], "0" * 64, ["0" * 64], ['"' + "0" * 64 + '"']]),
    _same("write row", ["key", [1], "set"]),
    _same("event", {"kind": "run.completed", "v": 99, "seq": -1, "body": {}}),
    _same("redacted", "[secret]"),
    _same("tagged", {"kind": "fixed", "type": "x", "__type__": "y", "py/object": "os.system", "lc": 1, "id": ["a"]}),
]
OBJECTS = [
    _no("decimal", lambda: Decimal("1.5")),
    _no("fraction", lambda: Fraction(1, 2)),
    _no("complex", lambda: 1j),
    _no("datetime", lambda: dt.datetime(2026, 1, 1, tzinfo=dt.UTC)),
    _no("timedelta", lambda: dt.timedelta(1)),
    _no("bytes", lambda: b"ab"),
    _no("bytearray", lambda: bytearray(b"ab")),
    _no("memoryview", lambda: memoryview(b"ab")),
    _no("set", lambda: {"a"}),
    _no("frozenset", lambda: frozenset("a")),
    _no("generator", lambda: (number for number in range(3))),
    _no("endless iterator", itertools.count),
    _no("range", lambda: range(3)),
    _no("deque", lambda: deque([1])),
    _no("dict view", {"a": 1}.keys),
    _no("enum", lambda: Plain.A),
    _no("object", object),
    _no("class", lambda: dict),
    _no("function", lambda: nested),
    _no("exception", lambda: ValueError("x")),
    _no("ellipsis", lambda: ...),
    _no("scalar of an array", Scalar),
    _no("pretender", Pretender),
    _no("unfriendly", Unfriendly),
    _no("pretender inside", lambda: {"a": [Pretender()]}),
    _no("unfriendly inside", lambda: {"a": [Unfriendly()]}),
]

CORPUS = {case.name: case for case in [*TEXTS, *NUMBERS, *SHAPES, *KEYS, *ENVELOPES, *OBJECTS]}

# JSON text as a person or a peer sends it, and what it reads back as.
JSON_TEXTS: dict[str, tuple[str, Any]] = {
    "nan": ("NaN", REFUSED),
    "infinity": ("-Infinity", REFUSED),
    "1e400": ("1e400", REFUSED),
    "negative zero": ("-0.0", 0),
    "negative zero int": ("-0", 0),
    "2**53": (str(2**53), REFUSED),
    "2**53 + 1": (str(2**53 + 1), REFUSED),
    "thousands of digits": ("1" * 5000, REFUSED),
    "1e20": ("1e20", 1e20),
    "small": ("1e-7", 1e-7),
    "smallest": ("5e-324", 5e-324),
    "too small": ("1e-400", 0),
    "duplicate keys": ('{"a":1,"a":2}', REFUSED),
    "duplicate keys deep": ('[{"b":{"\\u0061":1,"a":2}}]', REFUSED),
    "escaped surrogate": (r'"\ud83d"', REFUSED),
    "escaped swapped surrogates": (r'"\ude00\ud83d"', REFUSED),
    "escaped pair": (r'"\ud83d\ude00"', "\U0001f600"),
    "escaped nul": (r'"a\u0000b"', "a\x00b"),
    "raw control": ('"a\x01b"', REFUSED),
    "10,000 deep": ("[" * 10_000 + "]" * 10_000, REFUSED),
    "100,000 deep, never closed": ("[" * 100_000, REFUSED),
    "prototype": ('{"__proto__":{"constructor":1}}', {"__proto__": {"constructor": 1}}),
    "wide": ("{" + ",".join(f'"k{n}":{n}' for n in range(2_000)) + "}", {f"k{n}": n for n in range(2_000)}),
    "byte order mark": ("\ufeff1", REFUSED),
    "nul": ("\x00", REFUSED),
    "nul after": ("1\x00", REFUSED),
    "unfinished": ('{"a":', REFUSED),
    "two values": ("1 2", REFUSED),
    "secret reference": ('{"$secret":"HOME"}', {"$secret": "HOME"}),
    "failure": ('{"error":{"code":"x"}}', {"error": {"code": "x"}}),
}
