"""Canonical JSON equals the published vectors and the reference, on both paths, or refuses the value by name."""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import json
import struct
import sys
from collections import OrderedDict, defaultdict, namedtuple
from decimal import Decimal
from enum import Enum, IntEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from durum.core import canonical
from durum.core.canonical import canonical_json, decode_json, digest, digest_bytes, normalized, parse_json
from durum.core.exact_copy import MAX_DEPTH, MAX_INT, json_path
from durum.core.ids import OpId
from durum.errors import CanonicalJsonError

if TYPE_CHECKING:
    from collections.abc import Callable

JCS = Path(__file__).parent.parent / "data" / "jcs"
NUMBERS_SHA256 = "22776e6d4b49fa294a0d0f349268e5c28808fe7e0cb2bcbe28f63894e494d4c7"

KEYS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["", "a", "\x00", "\x7f", "\ud7ff", "\ue000", "\uffff", "\U00010000", "\U0010ffff", "\U0001f600", "é"]),
)
NUMBERS = st.one_of(
    st.integers(-MAX_INT, MAX_INT),
    st.floats(allow_nan=False, allow_infinity=False),
    st.builds(lambda digits, power: float(f"{digits}e{power}"), st.integers(-(10**17), 10**17), st.integers(-330, 290)),
    st.sampled_from(
        [-0.0, 0.0, 1.0, 1e-4, 9.999e-5, 9e15, 2.0**53, -(2.0**53), 1e16, 1e20, 1e21, 1e22, 5e-324, 1.7976931348623157e308]
    ),
)
ATOMS = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(), KEYS)
VALUES = st.recursive(
    ATOMS, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=40
)


def nested(levels: int) -> list[Any]:
    """Lists in lists."""
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


def refusal(call: Callable[[], object]) -> CanonicalJsonError:
    """Return the refusal of a call."""
    with pytest.raises(CanonicalJsonError) as caught:
        call()
    return caught.value


# --- the RFC -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["arrays", "french", "structures", "unicode", "values", "weird"])
def test_the_published_vectors_come_out_byte_for_byte(name: str) -> None:
    """The six documents of RFC 8785's test data."""
    value = parse_json((JCS / "input" / f"{name}.json").read_bytes())
    expected = (JCS / "output" / f"{name}.json").read_bytes()
    assert canonical_json(value) == expected
    assert canonical_json(decode_json(expected)) == expected


def test_the_published_numbers_come_out_byte_for_byte() -> None:
    """100,000 doubles of the RFC's test data, each written as ECMAScript does, and back."""
    raw = gzip.decompress((JCS / "es6-numbers-100k.txt.gz").read_bytes())
    assert hashlib.sha256(raw).hexdigest() == NUMBERS_SHA256
    lines = raw.decode().splitlines()
    assert len(lines) == 100_000
    for line in lines:
        bits, text = line.split(",")
        number = struct.unpack(">d", bytes.fromhex(bits.zfill(16)))[0]
        written = canonical_json(number)
        assert written == text.encode()
        assert canonical_json(decode_json(written)) == written


def reference(value: Any) -> bytes:
    """Return what the rfc8785 package writes."""
    return rfc8785.dumps(value)


@given(VALUES)
@example({"\U00010000": 1, "\uffff": 2})
@example({"a": [1.0, {"\U0001f600": -0.0, "\ue000": [None, True, '\x1f\x7f\u2028\\"/']}]})
def test_the_reference_writes_the_same_bytes(value: object) -> None:
    """Whichever path a value takes, the bytes are those of the rfc8785 package."""
    expected = reference(value)
    assert canonical_json(value) == expected
    assert canonical._slow(value) == expected


@given(VALUES)
def test_reading_back_loses_nothing(value: object) -> None:
    """decode(encode(v)) has v's bytes, and normalising twice is normalising once."""
    data = canonical_json(value)
    plain = decode_json(data)
    assert canonical_json(plain) == data
    assert repr(normalized(plain)) == repr(plain)


@given(VALUES)
def test_stdlib_json_agrees_on_the_value(value: object) -> None:
    """The bytes are ordinary JSON of an equal value: nothing is dropped, renamed or rounded."""
    assert json.loads(canonical_json(value), parse_int=float) == value


def test_floats_beyond_safe_integers_read_back_as_floats() -> None:
    """1e20 is written as digits only; read back it must not become an integer that could not be written again."""
    value = {"a": [1e20, 2.0**53, -9007199254740994.0, 1e15, "1234567890123456789012"], "b": {"c": -1e20}}
    plain = decode_json(canonical_json(value))
    assert repr(plain) == repr(
        {
            "a": [1e20, 9007199254740992.0, -9007199254740994.0, 1000000000000000, "1234567890123456789012"],
            "b": {"c": -1e20},
        },
    )
    assert repr(decode_json(b"100000000000000000000")) == "1e+20"


def test_digests_are_sha256_of_the_bytes() -> None:
    """Equal values have equal digests however they are spelled; the value is pinned because stores depend on it."""
    assert digest_bytes(b"") == hashlib.sha256(b"").hexdigest()
    assert digest({"b": 1.0, "a": ()}) == digest({"a": [], "b": 1})
    assert digest({"b": 1, "a": []}) == hashlib.sha256(b'{"a":[],"b":1}').hexdigest()
    assert digest({"a": None}) != digest({})


# --- which path ----------------------------------------------------------------------------------------------------------

PLAIN: dict[str, object] = {
    "text": "x",
    "none": None,
    "int": -MAX_INT,
    "fraction": 0.5,
    "empty": [{}, []],
    "mixed": [1, True, None, "é", 0.25, {"ключ": ["\uffff"]}, [[1, 2], {"a": {"b": {}}}]],
    "many": {"items": [{"id": n, "tags": ["a"]} for n in range(2000)]},
    "deep": nested(MAX_DEPTH),
}


@pytest.mark.parametrize("name", PLAIN)
def test_plain_data_takes_the_fast_path(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs carry every day is written by msgspec as it is, and is right: no slow path is needed."""
    monkeypatch.delattr(canonical, "_slow")
    assert canonical_json(PLAIN[name]) == reference(PLAIN[name])


Pair = namedtuple("Pair", "a b")  # noqa: PYI024 (an untyped one is what is to be taken)


class Colour(IntEnum):
    """An int by inheritance."""

    RED = 3


class Word(str, Enum):  # noqa: UP042 (unlike StrEnum, its str() is not its value)
    """Text by inheritance."""

    A = "a"


ODD: dict[str, tuple[object, bytes]] = {
    "whole float": ({"a": 1.0}, b'{"a":1}'),
    "negative zero": ([-0.0], b"[0]"),
    "float below 1e-4": ([9.9e-5], b"[0.000099]"),
    "small float": ([1e-5, 1e-7], b"[0.00001,1e-7]"),
    "large float": ([9e15, 1e21], b"[9000000000000000,1e+21]"),
    "astral key": ({"\uffff": 1, "\U00010000": 2}, '{"\U00010000":2,"\uffff":1}'.encode()),
    "astral key, nested twice": ([{"\uffff": 1, "\U00010000": 2}, {}], '[{"\U00010000":2,"\uffff":1},{}]'.encode()),
    "tuple": ((1, (2,)), b"[1,[2]]"),
    "named tuple": (Pair(1, "x"), b'[1,"x"]'),
    "int enum": ([Colour.RED], b"[3]"),
    "text enum": ({Word.A: Word.A}, b'{"a":"a"}'),
    "id": ({OpId("b"): OpId("c")}, b'{"b":"c"}'),
    "ordered dict": (OrderedDict(b=1, a=2), b'{"a":2,"b":1}'),
    "default dict": ([defaultdict(list, b=[1])], b'[{"b":[1]}]'),
    "shared list": ([PLAIN["empty"]] * 2000, b"[" + b",".join([b"[{},[]]"] * 2000) + b"]"),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_odd_data_takes_the_slow_path(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the guards do not vouch for still comes out as the RFC says, by value."""
    value, expected = ODD[name]
    seen: list[object] = []
    slow = canonical._slow

    def noted(value: object) -> bytes:
        seen.append(value)
        return slow(value)

    monkeypatch.setattr(canonical, "_slow", noted)
    assert canonical_json(value) == expected
    assert len(seen) == 1


# --- refusals ------------------------------------------------------------------------------------------------------------


class Unprintable:
    """A key whose repr fails."""

    def __repr__(self) -> str:
        raise RuntimeError


POISON: dict[str, tuple[object, str, str]] = {
    "nan": ({"a": [1, float("nan")]}, "$.a[1]", "nan is not a JSON number"),
    "infinity": ([float("-inf")], "$[0]", "-inf is not a JSON number"),
    "surrogate": ({"a": "x\ud800"}, "$.a", "lone surrogate '\\ud800'"),
    "surrogate at the top": ("\udfff", "$", "lone surrogate"),
    "surrogate key": ({"a": {"\udc00": 1}}, "$.a['\\udc00']", "lone surrogate"),
    "big int": ({"a b": [2**53]}, "$['a b'][0]", "beyond 2**53 - 1"),
    "big int among ints": ([1, 2, 2**53 + 1], "$[2]", "beyond 2**53 - 1"),
    "big negative int among ints": ([0, -(2**53)], "$[1]", "beyond 2**53 - 1"),
    "big negative int": ([True, -(2**53)], "$[1]", "beyond 2**53 - 1"),
    "huge int": (10**5000, "$", "beyond 2**53 - 1"),
    "int key": ({"a": {1: 2}}, "$.a", "the key 1 is not text"),
    "bool key": ({True: 2}, "$", "the key True is not text"),
    "null key among text": ({"a": 1, None: 2}, "$", "the key None is not text"),
    "unprintable key": ({Unprintable(): 2}, "$", "is not text"),
    "bytes": ({"a": b"x"}, "$.a", "bytes is not a JSON type; decode it"),
    "datetime": ([dt.datetime(2026, 1, 1, tzinfo=dt.UTC)], "$[0]", "datetime is not a JSON type; use its isoformat()"),
    "set": ({"a": {1}}, "$.a", "set is not a JSON type; use a sorted list"),
    "decimal": (Decimal(1), "$", "Decimal is not a JSON type; use str()"),
    "object": ([object()], "$[0]", "object is not a JSON type"),
    "too deep": (nested(MAX_DEPTH + 1), "$" + "[0]" * MAX_DEPTH, "nests too deep; 128 levels"),
    "very deep": (nested(10_000), "$" + "[0]" * MAX_DEPTH, "nests too deep"),
    "absurdly deep": (nested(100_000), "$" + "[0]" * MAX_DEPTH, "nests too deep"),
}


@pytest.mark.parametrize("name", POISON)
def test_poison_is_refused_at_the_write_and_named(name: str) -> None:
    """What has no JSON form raises at once, says what it is, and says where."""
    value, path, reason = POISON[name]
    error = refusal(lambda: canonical_json(value))
    assert error.path == path
    assert reason in error.reason
    assert str(error) == f"not JSON at {path}: {error.reason}"


def test_cycles_are_refused() -> None:
    """A value that holds itself is named as such, even where each level would double it."""
    twice: list[Any] = []
    twice.extend([twice, twice])
    ring: dict[str, Any] = {"a": {}}
    ring["a"]["b"] = [1, (ring,)]
    assert (refusal(lambda: canonical_json(twice)).path, refusal(lambda: canonical_json(ring)).path) == ("$[0]", "$.a.b[1][0]")
    assert "refers to itself" in refusal(lambda: canonical_json(twice)).reason
    assert "refers to itself" in refusal(lambda: canonical_json(ring)).reason


def test_keys_that_become_one_are_refused() -> None:
    """Two keys that differ only in their type would be written twice, so the value is refused."""

    class Loner(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            return self is other

        __hash__ = str.__hash__

    error = refusal(lambda: canonical_json({"a": 1, Loner("a"): 2}))
    assert "'a' appears twice" in error.reason


def test_harmless_oddities_round_trip() -> None:
    """NUL, control characters, prototype and constructor names are data like any other."""
    value = {
        "__proto__": {"constructor": "x"},
        "nul\x00": "\x00\x01\x1f\x7f",
        "": [],
        "type": "constructor",
        "lc": 1,
        "$secret": None,
    }
    assert decode_json(canonical_json(value)) == value


def dive(frames: int, call: Callable[[], object]) -> object:
    """Make a call under so many more frames."""
    return call() if frames <= 0 else dive(frames - 1, call)


def frames_left() -> int:
    """Count the frames that fit on top of the caller's."""
    for frames in range(sys.getrecursionlimit()):
        try:
            dive(frames, int)
        except RecursionError:
            return frames - 1
    raise AssertionError


@pytest.mark.parametrize("left", [8, 12, 20, 60, 120, 160, 300])
def test_no_recursion_error_escapes_deep_in_a_stack(left: int) -> None:
    """With little stack left a call still answers or refuses; it never breaks with the interpreter's own error."""
    ring: list[Any] = []
    ring.append(ring)
    for call in (
        partial(canonical_json, nested(MAX_DEPTH)),
        partial(canonical_json, [1.0, {"a": (1,)}]),
        partial(canonical_json, ring),
        partial(decode_json, b"[" * 1000 + b"]" * 1000),
        partial(decode_json, b'{"a":[100000000000000000000]}'),
        partial(parse_json, "[" * 1000 + "]" * 1000),
        partial(parse_json, '{"a":[1.5]}'),
    ):
        try:
            dive(frames_left() - left, call)
        except CanonicalJsonError as error:
            assert error.reason.startswith(("the value nests too deep", "the value refers"))  # noqa: PT017 (or none)


# --- reading -------------------------------------------------------------------------------------------------------------

BAD_BYTES = [b"", b"{", b"nul", b"1 2", b'"\xff"', b'"\\ud800"', b"NaN", b"[" * 100_000, b"1" * 5000]


@pytest.mark.parametrize("data", BAD_BYTES, ids=lambda data: repr(data[:12]))
def test_bytes_that_are_not_json_are_refused(data: bytes) -> None:
    """Damaged bytes raise one kind of error from both readers."""
    assert refusal(lambda: decode_json(data)).reason
    assert refusal(lambda: parse_json(data)).reason


BAD_TEXTS: dict[str, tuple[str | bytes, str, str]] = {
    "syntax": ('{\n  "a": [1\n  "b"]}', "line 3 column 3", "expecting ',' delimiter"),
    "garbage after": ("1 2", "line 1 column 3", "extra data"),
    "empty": ("", "line 1 column 1", "expecting value"),
    "control character": ('"a\nb"', "line 1 column 3", "invalid control character"),
    "duplicate key": ('[{"a": {"b": 1, "c": 2, "b": 1}}]', "$[0].a", "the key 'b' appears twice"),
    "duplicate escaped": ('{"a": 1, "\\u0061": 1}', "$", "the key 'a' appears twice"),
    "nan": ('{"a": NaN}', "$.a", "nan is not a JSON number"),
    "infinity": ("[-Infinity]", "$[0]", "-inf is not a JSON number"),
    "too large a float": ("[1e400]", "$[0]", "inf is not a JSON number"),
    "big int": ('{"a": 9007199254740992}', "$.a", "beyond 2**53 - 1"),
    "absurd int": ("[" + "1" * 5000 + "]", "$", "beyond 2**53 - 1"),
    "surrogate escape": ('["\\ud800"]', "$[0]", "lone surrogate"),
    "surrogate text": ('["\ud800"]', "$[0]", "lone surrogate"),
    "surrogate key": ('{"\\udc00": 1}', "$['\\udc00']", "lone surrogate"),
    "too deep": ("[" * 129 + "]" * 129, "$" + "[0]" * 128, "nests too deep"),
    "absurdly deep": ('{"a":' * 100_000, "$", "nests too deep"),
    "not utf-8": (b'"\xff"', "byte 1", "not UTF-8"),
    "utf-16": ('{"a":1}'.encode("utf-16"), "byte 0", "not UTF-8"),
}


@pytest.mark.parametrize("name", BAD_TEXTS)
def test_what_a_peer_may_not_send_is_refused(name: str) -> None:
    """Each refusal is one sentence that says what is wrong and where."""
    text, path, reason = BAD_TEXTS[name]
    error = refusal(lambda: parse_json(text))
    assert error.path == path
    assert reason in error.reason
    assert "\n" not in str(error)
    assert len(str(error)) < 600


def test_parsed_text_is_normal_already() -> None:
    """The result is what the canonical form reads back as, so a digest taken before storing holds after."""
    value = parse_json(' {"b": 1.0, "a": [-0.0, 1E2, 0.5, "\\u00e9\\ud83d\\ude00", 1e20]} ')
    assert repr(value) == "{'a': [0, 100, 0.5, 'é😀', 1e+20], 'b': 1}"
    assert parse_json("[" * 128 + "]" * 128) == nested(128)


@given(VALUES)
def test_parsing_equals_decoding(value: object) -> None:
    """Both readers give one value for one document."""
    assert repr(parse_json(json.dumps(value))) == repr(normalized(value))


def test_paths_are_readable_and_short() -> None:
    """Names appear bare, anything else is quoted, and a giant key does not make a giant message."""
    assert json_path([]) == "$"
    assert json_path(["a", 0, "b c", "d.e", "é", ""]) == "$.a[0]['b c']['d.e']['é']['']"
    assert len(json_path(["-" * 10_000])) < 100
