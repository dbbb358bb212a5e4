"""Identifiers are refused wherever they break their kind's pattern: made in code or decoded from bytes."""

from __future__ import annotations

import copy
from enum import Enum
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from durum.core import ids
from durum.errors import InvalidIdError

if TYPE_CHECKING:
    from collections.abc import Callable

UUID_TEXT = "01890a5d-ac96-774b-bcce-b302099a8057"
SEGMENT = "a" + "b" * 62

# kind -> (class, msgspec field type, texts to take, texts to refuse)
KINDS: dict[str, tuple[Callable[[object], str], Any, list[str], list[str]]] = {
    "op_id": (
        ids.OpId,
        ids.OpIdField,
        ["a", "release_notes", "a1_", SEGMENT],
        ["", "A", "1a", "_a", "a-b", "a.b", "é", SEGMENT + "b"],
    ),
    "error_code": (
        ids.ErrorCode,
        ids.ErrorCodeField,
        ["rate_limited", "e404"],
        ["", "404", "Rate", "a b", SEGMENT + "b"],
    ),
    "op_path": (
        ids.OpPath,
        ids.OpPathField,
        ["a.b", f"{SEGMENT}.{SEGMENT}"],
        ["a", "a.", ".b", "a.b.c", "a..b", "a.B", "a. b"],
    ),
    "state_id": (
        ids.StateId,
        ids.StateIdField,
        ["a.b.c", f"{SEGMENT}.{SEGMENT}.{SEGMENT}"],
        ["a.b", "a.b.", "a.b.c.d", "a..c", "a.b.C", " a.b.c", f"a.b.{SEGMENT}b"],
    ),
    "artifact_id": (
        ids.ArtifactId,
        ids.ArtifactIdField,
        ["0" * 64, "abcdef0123456789" * 4],
        ["", "0" * 63, "0" * 65, "A" * 64, "g" * 64],
    ),
    "fact_key": (
        ids.FactKey,
        ids.FactKeyField,
        ["!", "~", "a.b.c/http/1#{x}", "k" * 512],
        ["", "a b", "é", "\x7f", "\x00", "k" * 513],
    ),
    "context_key": (
        ids.ContextKey,
        ids.ContextKeyField,
        ["a", "_", "Docs.x:y/z-1", "k" * 255],
        ["", "1a", "-a", "a b", "é", "k" * 256],
    ),
    "run_id": (
        ids.RunId,
        ids.RunIdField,
        [UUID_TEXT],
        ["", UUID_TEXT.upper(), UUID_TEXT.replace("-", ""), f"{{{UUID_TEXT}}}", UUID_TEXT[:-1]],
    ),
}
GOOD = [(kind, text) for kind, (_, _, texts, _) in KINDS.items() for text in texts]
BAD = [(kind, text) for kind, (_, _, taken, refused) in KINDS.items() for text in (*refused, *(t + "\n" for t in taken))]


@pytest.mark.parametrize(("kind", "text"), GOOD)
def test_a_good_id_is_its_own_text(kind: str, text: str) -> None:
    """Construction and decoding take what the pattern allows and change nothing."""
    make, field, _, _ = KINDS[kind]
    made = make(text)
    assert made == text
    assert hash(made) == hash(text)
    assert msgspec.json.decode(msgspec.json.encode(text), type=field) == text
    assert type(copy.deepcopy(made)) is type(made)


@pytest.mark.parametrize(("kind", "text"), BAD)
def test_a_bad_id_is_refused_on_construct_and_on_decode(kind: str, text: str) -> None:
    """Every broken rule is refused on both ways in, a trailing newline too, and the error names kind and rule."""
    make, field, _, _ = KINDS[kind]
    with pytest.raises(InvalidIdError, match=f"invalid {kind}: ") as caught:
        make(text)
    assert caught.value.kind == kind
    assert caught.value.value == text
    assert caught.value.rule
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(text), type=field)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [None, 7, b"a", ["a"], True])
def test_only_text_can_be_an_id(kind: str, value: object) -> None:
    """A value that is not text is an InvalidIdError, never a TypeError or its repr."""
    with pytest.raises(InvalidIdError):
        KINDS[kind][0](value)


def test_an_id_holds_the_text_that_was_checked() -> None:
    """A str subclass with its own __str__ cannot slip other text past the pattern."""

    class Name(str, Enum):  # noqa: UP042 (unlike StrEnum, its str() is "Name.A", not "a")
        A = "a"

    assert ids.OpId(Name.A) == "a"
    assert str(ids.OpId(Name.A)) == "a"


def test_paths_give_their_segments() -> None:
    """OpPath and StateId split into the words of the glossary."""
    path = ids.OpPath("review.summarise")
    state = ids.StateId("review.summarise.main")
    assert (path.machine, path.step) == ("review", "summarise")
    assert (state.machine, state.step, state.local) == ("review", "summarise", "main")


@given(st.text())
def test_segment_is_valid_agrees_with_op_id(text: str) -> None:
    """The predicate and the class apply one rule."""
    try:
        ids.OpId(text)
    except InvalidIdError:
        assert not ids.segment_is_valid(text)
    else:
        assert ids.segment_is_valid(text)


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_a_new_run_id_is_a_uuid_of_version_7(now_ms: int, random: bytes) -> None:
    """The time is in the first 48 bits, version and variant are the RFC's, and all other random bits are kept."""
    bits = int(ids.RunId.new(now_ms, random).replace("-", ""), 16)
    assert bits >> 80 == now_ms
    assert bits >> 76 & 0xF == 7
    assert bits >> 62 & 0x3 == 2
    kept = ~(0xF << 76 | 0x3 << 62) & (1 << 80) - 1
    assert bits & kept == int.from_bytes(random, "big") & kept


@given(st.integers(0, 2**48 - 2), st.binary(min_size=10, max_size=10), st.binary(min_size=10, max_size=10))
def test_run_ids_sort_by_time(now_ms: int, random: bytes, later: bytes) -> None:
    """A run made a millisecond later sorts after, whatever the random bytes are."""
    assert ids.RunId.new(now_ms, random) < ids.RunId.new(now_ms + 1, later)


def test_parse_takes_what_a_person_pastes() -> None:
    """Upper case is lowered; anything that is no UUID is still refused."""
    assert ids.RunId.parse(UUID_TEXT.upper()) == UUID_TEXT
    for text in ("", "last", UUID_TEXT + "\n", UUID_TEXT.replace("0", "\u212a"), None):
        with pytest.raises(InvalidIdError, match="run_id"):
            ids.RunId.parse(text)


class Loud:
    """A value whose own code must not run."""

    def __repr__(self) -> str:
        raise RuntimeError


class Liar(str):
    """A text whose own code must not run."""

    __slots__ = ()

    def __repr__(self) -> str:
        raise RuntimeError

    __str__ = __repr__


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("k " * 50_000, repr("k " * 40) + " and 99920 more characters"),
        (Liar("A B"), "'A B'"),
        (Loud(), "of type Loud"),
        (b"x" * 100_000, "of type bytes"),
        pytest.param(10**5000, "of type int", id="huge"),
        (3, "3"),
        (None, "None"),
        (False, "False"),
        ("\udcff", r"'\udcff'"),
    ],
)
def test_what_is_no_id_is_shown_in_bounds(value: object, shown: str) -> None:
    """Whoever reads the error sees enough to find the mistake; nothing of the value's own runs."""
    with pytest.raises(InvalidIdError) as raised:
        ids.OpId(value)
    assert str(raised.value).startswith(f"invalid op_id: {shown}; ")
    assert len(str(raised.value)) < 300
