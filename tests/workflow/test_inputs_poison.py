"""Inputs that lie about what they are, or have no end, are taken for what they hold or refused at once."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
import typing_extensions
from pydantic import BaseModel, field_validator

from durum.errors import InvalidInputError
from durum.workflow.inputs import Inputs

if TYPE_CHECKING:
    from collections.abc import Iterator


class Free(typing_extensions.TypedDict):
    """Inputs of any type."""

    anything: Any


class Numbers(typing_extensions.TypedDict):
    """A list."""

    numbers: list[int]


class Endless(list[int]):
    """A list that never ends when it is walked."""

    def __iter__(self) -> Iterator[int]:
        return itertools.count()


class LoudDict(dict[str, int]):
    """A dict that raises whatever it is asked."""

    def items(self) -> Any:
        """Raise."""
        raise RuntimeError("loud")

    values = keys = __iter__ = __len__ = items


def doubling() -> object:
    """Return lists that would fill the universe if each were written where it stands."""
    value: object = [0]
    for _ in range(100):
        value = [value, value]
    return value


def ring() -> object:
    """Return a list that holds itself."""
    value: list[object] = []
    value.append({"a": value})
    return value


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (doubling(), "anything: it holds the same parts so often"),
        ({"a": [doubling()]}, "anything: it holds the same parts so often"),
        (ring(), "anything: it refers to itself"),
        (itertools.count(), "anything: count can be read only once; use a list"),
    ],
)
def test_an_input_without_end_is_refused(value: object, says: str) -> None:
    """At once, before a validator or anything else walks it."""
    with pytest.raises(InvalidInputError, match=says):
        Inputs("flow", Free).convert({"anything": value}, texts=False)


def test_an_input_is_what_it_holds_whatever_its_class_says() -> None:
    """A list that never ends when it is walked has its items; bytes are found in it all the same."""
    assert Inputs("flow", Free).convert({"anything": Endless([1, 2])}, texts=False) == {"anything": [1, 2]}
    with pytest.raises(InvalidInputError, match="bytes are no JSON"):
        Inputs("flow", Free).convert({"anything": Endless([b"a"])}, texts=False)  # type: ignore[list-item]


def test_a_generator_is_refused_for_a_list() -> None:
    """It is read up when it is checked, and would be stored as an empty list."""
    with pytest.raises(InvalidInputError, match="numbers: generator can be read only once; use a list"):
        Inputs("flow", Numbers).convert({"numbers": (number for number in [1])}, texts=False)


def test_whatever_a_value_raises_it_is_refused() -> None:
    """By an error of ours, with what it said."""

    class Given(typing_extensions.TypedDict):
        numbers: dict[str, int]

    class Judged(BaseModel):
        number: int

        @field_validator("number")
        @classmethod
        def judge(cls, number: int) -> int:
            raise LookupError(f"no judge for {number}")

    with pytest.raises(InvalidInputError, match="loud"):
        Inputs("flow", Given).convert({"numbers": LoudDict(a=1)}, texts=False)
    with pytest.raises(InvalidInputError, match="checking them raised LookupError: no judge for 1"):
        Inputs("flow", Judged).convert({"number": 1}, texts=False)


def test_a_large_number_typed_for_an_input_of_any_type_is_the_float_it_says() -> None:
    """Not an integer beyond 2**53, which would be refused."""
    assert Inputs("flow", Free).convert({"anything": "-1e20"}, texts=True) == {"anything": -1e20}
