"""Annotations convert both ways: what a step returns is what the next one gets, and what fits neither is refused by name."""

from __future__ import annotations

import collections
import importlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from pydantic import BaseModel, Field, PositiveFloat, field_serializer

from durum.core.canonical import normalized
from durum.errors import CanonicalJsonError, SerializationError
from durum.workflow.conversion import converter, is_plain
from tests.workflow.shapes import Box, Branch, Colour, Holder, Item, Leaf, Level, Pair, Row, Strict, UserId, Word

MOMENT = datetime(2024, 2, 29, 12, 30, 0, 123456, tzinfo=UTC)
Old: Any = importlib.import_module("typing")  # authors write the old names too
Positive = Annotated[int, Field(gt=0)]


def there_and_back(annotation: Any, value: object) -> tuple[object, object]:
    """Return a value's stored form and what a step of the same annotation gets."""
    pair = converter(annotation)
    stored = normalized(pair.dump("key", value))
    return stored, pair.load("key", stored)


ROUND_TRIPS: list[tuple[Any, object, object]] = [
    (int, 3, 3),
    (int, -(2**53) + 1, -(2**53) + 1),
    (float, 2.5, 2.5),
    (float, 3, 3),
    (str, "ü", "ü"),
    (bool, True, True),
    (None, None, None),
    (type(None), None, None),
    (list, [1, "a", None], [1, "a", None]),
    (dict, {"a": [1]}, {"a": [1]}),
    (Old.List, [1], [1]),
    (Old.Dict, {"a": 1}, {"a": 1}),
    (list[int], [1, 2], [1, 2]),
    (dict[str, list[float]], {"a": [1.5]}, {"a": [1.5]}),
    (dict[int, str], {1: "a"}, {"1": "a"}),
    (dict[Colour, int], {Colour.RED: 1}, {"red": 1}),
    (Any, {"a": [None]}, {"a": [None]}),
    (object, [1], [1]),
    (dict[str, object], {"a": [None, {"b": 1}]}, {"a": [None, {"b": 1}]}),
    (dict[str, object] | None, {"a": 1}, {"a": 1}),
    (list[list[object]], [[1, "a"], []], [[1, "a"], []]),
    (Old.Optional[int], None, None),
    (Old.Union[int, str], "x", "x"),
    (int | str | None, 4, 4),
    (Literal["a", 1], "a", "a"),
    (tuple[int, str], (1, "a"), [1, "a"]),
    (tuple[int, ...], (), []),
    (set[str], {"b", "a", "c"}, ["a", "b", "c"]),
    (frozenset[int], frozenset({10, 9}), [9, 10]),
    (set[Colour], {Colour.RED, Colour.BLUE}, ["blue", "red"]),
    (frozenset[Leaf], frozenset({Leaf(2), Leaf(1)}), [{"number": 1}, {"number": 2}]),
    (set[tuple[int, str]], {(2, "a"), (1, "b")}, [[1, "b"], [2, "a"]]),
    (frozenset[frozenset[str]], frozenset({frozenset("ba"), frozenset("c")}), [["a", "b"], ["c"]]),
    (Sequence[int], [1], [1]),
    (Iterable[int], [1], [1]),
    (Iterable, [1], [1]),
    (Mapping[str, int], {"a": 1}, {"a": 1}),
    (datetime, MOMENT, "2024-02-29T12:30:00.123456Z"),
    (datetime, datetime(2024, 1, 1), "2024-01-01T00:00:00"),  # noqa: DTZ001 - without a zone on purpose
    (datetime, MOMENT.astimezone(timezone(timedelta(hours=2))), "2024-02-29T14:30:00.123456+02:00"),
    (date, date(2024, 2, 29), "2024-02-29"),
    (time, time(1, 2, 3), "01:02:03"),
    (timedelta, timedelta(days=-1, microseconds=5), "-PT86399.999995S"),
    (UUID, UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (Decimal, Decimal("1.10"), "1.10"),
    (bytes, b"\x00\xff", "AP8="),
    (Path, Path("/a/b"), "/a/b"),
    (list[Path], [Path("x")], ["x"]),
    (PurePosixPath, PurePosixPath("a"), "a"),
    (Colour, Colour.RED, "red"),
    (Level, Level.HIGH, 2),
    (Word, Word.ONE, "1"),
    (UserId, UserId("u"), "u"),
    (Pair, Pair(1), [1, "r"]),
    (Row, {"name": "n"}, {"name": "n"}),
    (Leaf, Leaf(1), {"number": 1}),
    (Box, Box(1, {"b", "a"}), {"boxSize": 1, "someWords": ["a", "b"]}),
    (
        Branch,
        Branch(Leaf(1), {"b", "a"}, Branch(Leaf(2))),
        {
            "leaf": {"number": 1},
            "words": ["a", "b"],
            "child": {"leaf": {"number": 2}, "words": [], "child": None},
        },
    ),
    (dict[str, list[Leaf | None]], {"a": [Leaf(1), None]}, {"a": [{"number": 1}, None]}),
    (Annotated[int, msgspec.Meta(gt=0)], 1, 1),
    (Annotated[list[Leaf], "a note"], [Leaf(1)], [{"number": 1}]),
    (Positive, 1, 1),
    (PositiveFloat, 1.5, 1.5),
    (list[Positive] | None, [1], [1]),
    (Item, Item(itemId=1, words={"b", "a"}), {"item_id": 1, "words": ["a", "b"]}),
    (list[Item], [Item(itemId=1)], [{"item_id": 1, "words": []}]),
    (dict[str, Item | None], {"a": Item(itemId=1), "b": None}, {"a": {"item_id": 1, "words": []}, "b": None}),
    (Old.Optional[Strict], Strict(number=1), {"number": 1, "item": None}),
    (Strict, Strict(number=1, item=Item(itemId=2)), {"number": 1, "item": {"item_id": 2, "words": []}}),
    (Holder, Holder(Item(itemId=1)), {"item": {"item_id": 1, "words": []}, "other": None}),
    (set[Annotated[str, Field(min_length=1)]], {"b", "a"}, ["a", "b"]),
]


@pytest.mark.parametrize(("annotation", "value", "stored"), ROUND_TRIPS)
def test_what_a_step_returns_is_what_the_next_one_gets(annotation: Any, value: object, stored: object) -> None:
    """The stored form is plain JSON, and the value read back is equal."""
    assert there_and_back(annotation, value) == (stored, value)


def test_numbers_of_the_other_kind_are_the_numbers_json_has() -> None:
    """JSON writes 3.0 as 3: it is a float where one is asked for and an integer where it can be one."""
    assert repr(there_and_back(float, 3)[1]) == "3.0"
    assert repr(there_and_back(int, 3.0)[1]) == "3"
    assert there_and_back(list[str], ("a", "b")) == (["a", "b"], ["a", "b"])


NOT_RETURNED: list[tuple[Any, object, str]] = [
    (int, "abc", "Expected `int`, got `str` (the step is to return int)"),
    (int, True, "Expected `int`, got `bool`"),
    (int, 2.5, "Expected `int`, got `float`"),
    (int, None, "Expected `int`, got `null` (the step is to return int)"),
    (str, 1, "Expected `str`, got `int`"),
    (str, Colour.RED, "Colour is not a JSON type"),
    (bool, 1, "Expected `bool`, got `int`"),
    (list[int], [1, "x"], "Expected `int`, got `str` - at `$[1]` (the step is to return list[int])"),
    (dict[str, int], {"a": {}}, "Expected `int`, got `object` - at `$[...]`"),
    (int | None, "x", "Expected `int | null`, got `str`"),
    (Literal["a", "b"], "c", "Invalid enum value 'c'"),
    (tuple[int, str], (1,), "Expected `array` of length 2, got 1"),
    (Leaf, Leaf("x"), "Expected `int`, got `str` - at `$.number` (the step is to return Leaf)"),  # type: ignore[arg-type]
    (Leaf, {"numbers": 1}, "Object missing required field `number`"),
    (Row, {"size": 1}, "Object missing required field `name`"),
    (datetime, "yesterday", "Invalid RFC3339"),
    (Annotated[int, msgspec.Meta(gt=0)], 0, "Expected `int` >= 1"),
    (set[int], {"a"}, "Expected `int`, got `str`"),
    (PositiveFloat, -1.5, "Input should be greater than 0 (in the step's result)"),
    (Positive, 0, "Input should be greater than 0 (in the step's result)"),
    (list[Item], [3], "Input should be a valid dictionary or instance of Item at 0"),
    (Item, Leaf(1), "Input should be a valid dictionary or instance of Item"),
    (list[object], [object()], "object is not a JSON type"),
    (list[Leaf], [object()], "the step's result does not convert to JSON: "),
    (list[bytes], [3], "Expected `bytes`, got `int`"),
]


@pytest.mark.parametrize(("annotation", "value", "reason"), NOT_RETURNED)
def test_a_result_that_is_not_what_was_declared_is_refused_where_it_is_returned(
    annotation: Any, value: object, reason: str
) -> None:
    """The step that returned it fails, not one that reads it hours later."""
    with pytest.raises((SerializationError, CanonicalJsonError), match=re.escape(reason)):
        normalized(converter(annotation).dump("key", value))


@pytest.mark.parametrize("annotation", [int, Leaf, Positive, Item])
def test_an_unchecked_result_is_only_made_json(annotation: Any) -> None:
    """For an effect that happened already: its outcome is recorded whatever it is."""
    assert converter(annotation).dump("key", "abc", check=False) == "abc"


NOT_READ: list[tuple[Any, Any, str]] = [
    (int, "3", "context key 'key': Expected `int`, got `str` (the step asks for int)"),
    (float, "3", "Expected `float`, got `str`"),
    (bool, 1, "Expected `bool`, got `int`"),
    (list[int], ["1"], "Expected `int`, got `str` - at `$[0]` (the step asks for list[int])"),
    (Leaf, {"number": "1"}, "Expected `int`, got `str` - at `$.number` (the step asks for Leaf)"),
    (Path, 3, "Expected `str`, got `int` (the step asks for Path)"),
    (Colour, "green", "Invalid enum value 'green'"),
    (Item, {"item_id": 0}, "context key 'key': Input should be greater than 0 at item_id"),
    (Holder, {"item": {"item_id": 0}}, "Input should be greater than 0"),
    (Strict, {"number": "1"}, "Input should be a valid integer at number"),
    (Strict, {"number": 1, "more": 2}, "Extra inputs are not permitted at more"),
]


@pytest.mark.parametrize(("annotation", "value", "reason"), NOT_READ)
def test_a_value_that_does_not_fit_is_refused_where_it_is_read(annotation: Any, value: Any, reason: str) -> None:
    """Strictly: text is no number; the key and the place in it are named."""
    with pytest.raises(SerializationError) as caught:
        converter(annotation).load("key", value)
    assert reason in str(caught.value)


class Lossy(BaseModel):
    """Refers to a class that does not exist."""

    other: list[Missing]  # type: ignore[name-defined]  # noqa: F821 - what this is about


UNKNOWN = [
    (complex, "complex has no JSON form"),
    (re.Pattern, "Pattern has no JSON form"),
    (dict[str, type], "type has no JSON form"),
    (Leaf | Branch, "may not contain more than one dataclass"),
    (Lossy, "`Missing`|`Lossy` is not fully defined|'Missing'"),
]


@pytest.mark.parametrize(("annotation", "reason"), UNKNOWN)
def test_a_type_without_a_json_form_is_told_before_anything_runs(annotation: Any, reason: str) -> None:
    """When the file is loaded."""
    with pytest.raises(TypeError, match=reason):
        converter(annotation)


def test_subclasses_of_json_types_are_told_which_to_use() -> None:
    """A Counter would come back as a dict."""
    with pytest.raises(TypeError, match="Counter has no JSON form; use dict"):
        converter(collections.Counter[str])
    with pytest.raises(TypeError, match="OrderedDict has no JSON form; use dict"):
        converter(collections.OrderedDict)


def test_plain_annotations_are_told_from_others() -> None:
    """Plain ones spare a result the way through msgspec."""
    plain = [
        int,
        float,
        None,
        list,
        Old.Dict,
        Old.List[int],
        dict[str, Any],
        int | None,
        Literal[1, "a"],
        list[dict[str, list[str]]],
    ]
    assert all(map(is_plain, plain))
    other = [set, bytes, dict[int, str], list[set[int]], Colour, Leaf, int | Leaf, Annotated[int, {}], UserId, datetime]
    assert not any(map(is_plain, other))


@dataclass
class Free:
    """A dataclass with room for anything."""

    anything: Any


class LoudList(list[int]):
    """A list that raises whatever it is asked."""

    def __len__(self) -> int:
        raise RuntimeError

    def __iter__(self) -> Iterator[int]:
        raise RuntimeError


@dataclass
class Gone:
    """A dataclass of which a member cannot be read any more."""

    anything: Any


def lost(_: Gone) -> object:
    """Raise what nobody expects of a member."""
    raise KeyError("gone")


class Fails(BaseModel):
    """A model whose serialiser raises what nobody expects."""

    number: int = 0

    @field_serializer("number")
    def fail(self, number: int) -> int:
        """Fail."""
        raise LookupError(f"gone: {number}")


def test_keys_that_become_one_text_are_refused() -> None:
    """Rather than one of their values lost, in what is declared as in what may be anything."""
    for annotation, value in ((Free, Free({1: 2, "1": 3})), (dict[int | str, int], {1: 2, "1": 3})):
        with pytest.raises(SerializationError, match="two keys of an object become one text"):
            converter(annotation).dump("key", value)
    assert normalized(converter(dict[int | str, int]).dump("key", {1: 2, "2": 3})) == {"1": 2, "2": 3}


def test_a_list_goes_by_what_it_holds() -> None:
    """Whatever its class makes of its length and items."""
    assert normalized(converter(Free).dump("key", Free(LoudList([1, 2])))) == {"anything": [1, 2]}


def test_whatever_a_value_raises_its_result_is_refused() -> None:
    """As the fault of the result, not as the step's own exception."""
    with pytest.raises(SerializationError, match=r"does not convert to JSON: .*gone: 0"):
        converter(Free).dump("key", Free(Fails()))
    gone = Gone(1)
    Gone.anything = property(lost)
    with pytest.raises(SerializationError, match="does not convert to JSON: 'gone'"):
        converter(Gone).dump("key", gone)


def test_a_result_without_end_is_refused() -> None:
    """Before it is walked; what a class declares of itself may double at each level as well."""
    value: object = [0]
    branch = Twig()
    for _ in range(100):
        value = [value, value]
        branch = Twig(branch, branch)
    for annotation, result in ((Free, Free(value)), (list[Any] | Free, [Free(value)]), (Twig, branch)):
        with pytest.raises(SerializationError, match="so often"):
            converter(annotation).dump("key", result)


@dataclass
class Twig:
    """A dataclass of two of its kind."""

    left: Twig | None = None
    right: Twig | None = None
