"""What people type becomes what was declared: text where text will do, else the JSON it spells."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, TypedDict

import pytest
from pydantic import BaseModel, ConfigDict, create_model

from durum.errors import InvalidInputError
from durum.workflow.inputs import Inputs
from tests.workflow.shapes import Colour, Item, Leaf, Level, UserId, Word


def typed(annotation: Any, text: str, **options: bool) -> Any:
    """Return what one typed value is stored as, declared in a model and in a TypedDict."""
    model = create_model("Model", __config__=ConfigDict(strict=options.get("strict", False)), value=(annotation, ...))
    stored = Inputs("flow", model).convert({"value": text}, texts=True)["value"]
    if not options:
        make: Any = TypedDict
        same = make("Same", {"value": annotation})
        assert Inputs("flow", same).convert({"value": text}, texts=True) == {"value": stored}
    return stored


STORED: list[tuple[Any, str, object]] = [
    (int, "3", 3),
    (int, "-12", -12),
    (float, "3", 3),
    (float, "1e3", 1000),
    (bool, "true", True),
    (bool, "no", False),
    (bool, "0", False),
    (str, "123", "123"),
    (str, "true", "true"),
    (str, "null", "null"),
    (str, "[1]", "[1]"),
    (str, '"quoted"', '"quoted"'),
    (str, "", ""),
    (UserId, "7", "7"),
    (str | None, "text", "text"),
    (str | None, "123", "123"),
    (str | None, "null", None),
    (str | None, "[1]", "[1]"),
    (str | None, "{}", "{}"),
    (int | None, "3", 3),
    (int | None, "null", None),
    (int | str, "3", "3"),
    (list[int], "[1,2]", [1, 2]),
    (list[str], '["1", "a"]', ["1", "a"]),
    (list[int] | None, "null", None),
    (str | list[str], '["a"]', ["a"]),
    (str | list[str], "a", "a"),
    (dict[str, int], '{"a": 1}', {"a": 1}),
    (set[int], "[2,1,2]", [1, 2]),
    (tuple[int, str], '[1,"a"]', [1, "a"]),
    (Any, "3", 3),
    (Any, "text", "text"),
    (object, "[1]", [1]),
    (Path, "123", "123"),
    (Path, "[1]", "[1]"),
    (Path | None, "a/b", "a/b"),
    (Decimal, "1.10", "1.10"),
    (Decimal, "0.12345678901234567890123", "0.12345678901234567890123"),
    (date, "2024-02-29", "2024-02-29"),
    (datetime, "2024-02-29T12:00:00Z", "2024-02-29T12:00:00Z"),
    (Literal["1", "2"], "1", "1"),
    (Literal[1, 2], "1", 1),
    (Literal["a", 1], "1", 1),
    (Colour, "red", "red"),
    (Word, "1", "1"),
    (Level, "2", 2),
    (Leaf, '{"number": 1}', {"number": 1}),
    (Item, '{"itemId": 1}', {"item_id": 1, "words": []}),
    (list[Item], '[{"item_id": 1}]', [{"item_id": 1, "words": []}]),
]


@pytest.mark.parametrize(("annotation", "text", "stored"), STORED)
def test_text_becomes_what_was_declared(annotation: Any, text: str, stored: object) -> None:
    """The same in a model and in a TypedDict."""
    found = typed(annotation, text)
    assert (found, type(found)) == (stored, type(stored))


@pytest.mark.parametrize(
    ("annotation", "text", "stored"),
    [(int, "3", 3), (bool, "true", True), (date, "2024-02-29", "2024-02-29"), (str, "3", "3"), (list[int], "[3]", [3])],
)
def test_a_strict_model_can_be_typed_too(annotation: Any, text: str, stored: object) -> None:
    """Strictness is about JSON's types: a typed 3 is a number where a number is asked for."""
    assert typed(annotation, text, strict=True) == stored


WRONG: list[tuple[Any, str, str]] = [
    (int, "3.5", "value: input should be a valid integer, unable to parse string as an integer (given '3.5')"),
    (int, "[1]", "value: input should be a valid integer (given [1])"),
    (list[int], "1,2", "value: input should be a valid array (given '1,2')"),
    (list[int], '["a"]', "value.0: input should be a valid integer, unable to parse string as an integer (given 'a')"),
    (list[int], "[1,", "value: input should be a valid array (given '[1,')"),
    (bool, "maybe", "value: input should be a valid boolean, unable to interpret input (given 'maybe')"),
    (Colour, "green", "value: input should be 'red' or 'blue' (given 'green')"),
    (float, "nan", "value: nan is not a JSON number; use null or text"),
    (int, "9007199254740993", "value: an integer is beyond 2**53 - 1, where doubles lose precision; pass it as text"),
    (int, "9" * 5000, "value: unable to parse input string as an integer, exceeded maximum size"),
    (date, "tomorrow", "value: input should be a valid date or datetime"),
    (Leaf, "3", "value: input should be an object"),
]


@pytest.mark.parametrize(("annotation", "text", "reason"), WRONG)
def test_text_that_will_not_do_is_shown_with_the_reason(annotation: Any, text: str, reason: str) -> None:
    """Long values are cut."""
    with pytest.raises(InvalidInputError) as caught:
        typed(annotation, text)
    assert caught.value.problems[0].startswith(reason)
    assert len(caught.value.problems[0]) <= 300


def test_values_from_a_file_of_json_are_taken_as_they_are() -> None:
    """Beside typed ones; only text is looked into."""

    class Given(BaseModel):
        count: int
        words: list[str]
        name: str

    given = {"count": "3", "words": ["a", "1"], "name": "7"}
    assert Inputs("flow", Given).convert(given, texts=True) == {"count": 3, "words": ["a", "1"], "name": "7"}
    with pytest.raises(InvalidInputError, match=r"name: input should be a valid string \(given 7\)"):
        Inputs("flow", Given).convert(given | {"name": 7}, texts=True)
