"""Types of every kind an author may annotate with."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum, StrEnum
from typing import NamedTuple, NewType, NotRequired, TypedDict

import msgspec
from pydantic import BaseModel, Field, computed_field


class Colour(Enum):
    """An enumeration that has no order."""

    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    """An enumeration of numbers."""

    LOW = 1
    HIGH = 2


class Word(StrEnum):
    """An enumeration of texts."""

    YES = "yes"
    ONE = "1"


class Pair(NamedTuple):
    """A named tuple."""

    left: int
    right: str = "r"


class Row(TypedDict):
    """A TypedDict."""

    name: str
    size: NotRequired[int]


@dataclass(frozen=True)
class Leaf:
    """A dataclass that can be in a set."""

    number: int


@dataclass
class Branch:
    """A dataclass that refers to itself."""

    leaf: Leaf
    words: set[str] = field(default_factory=set)
    child: Branch | None = None


class Box(msgspec.Struct, rename="camel"):
    """A struct whose fields have other names in JSON."""

    box_size: int
    some_words: set[str] = set()


class Item(BaseModel):
    """A pydantic model with an alias, a constraint and a computed field."""

    item_id: int = Field(alias="itemId", gt=0)
    words: set[str] = set()

    @computed_field  # type: ignore[prop-decorator]
    @property
    def double(self) -> int:
        """Twice the id."""
        return self.item_id * 2


class Strict(BaseModel, strict=True, extra="forbid"):
    """A model that takes nothing for another thing."""

    number: int
    item: Item | None = None


@dataclass
class Holder:
    """A dataclass around a model."""

    item: Item
    other: Item | None = None


UserId = NewType("UserId", str)
