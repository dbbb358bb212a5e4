"""Values whose classes say something else than what they hold, or raise whatever they are asked."""

from __future__ import annotations

import itertools
import math
from enum import Enum, IntEnum, StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class LyingText(str):
    """A text that says it is another one."""

    __slots__ = ()

    def __str__(self) -> str:
        return "fact_recorded"

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        raise RuntimeError

    def encode(self, *_: object, **__: object) -> bytes:
        """Lie."""
        raise RuntimeError

    def isascii(self) -> bool:
        """Lie."""
        raise RuntimeError


class LyingDict(dict[str, object]):
    """A dict whose every method says something else than what it holds."""

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError

    def __len__(self) -> int:
        raise RuntimeError

    def __getitem__(self, key: str) -> object:
        return math.nan

    def items(self) -> Any:
        """Lie."""
        return [("other", math.nan)]

    def values(self) -> Any:
        """Lie."""
        raise RuntimeError

    def keys(self) -> Any:
        """Lie."""
        raise RuntimeError


class EndlessList(list[object]):
    """A list that never ends when it is walked, and has no length."""

    def __iter__(self) -> Iterator[object]:
        return itertools.count()

    def __len__(self) -> int:
        raise RuntimeError


class LyingTuple(tuple[object, ...]):
    """A tuple that cannot be walked."""

    __slots__ = ()

    def __iter__(self) -> Iterator[object]:
        raise RuntimeError


class LyingInt(int):
    """A number that says it is another one."""

    def __int__(self) -> int:
        return 7

    def __index__(self) -> int:
        return 7

    def __repr__(self) -> str:
        return "7"

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = int.__hash__


class LyingFloat(float):
    """A float that says it is another one."""

    def __float__(self) -> float:
        return math.nan

    def __repr__(self) -> str:
        return "NaN"

    def is_integer(self) -> bool:
        """Lie."""
        raise RuntimeError


class Pretender:
    """An object that says it is a text."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return str


class Unfriendly:
    """An object that raises whatever it is asked."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        raise RuntimeError

    def __repr__(self) -> str:
        raise RuntimeError

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    def __hash__(self) -> int:
        return 1

    def __bool__(self) -> bool:
        raise RuntimeError


class Scalar:
    """What a number of an array library looks like: it knows its value, and is no number of Python's."""

    def __float__(self) -> float:
        return 1.5

    def __int__(self) -> int:
        return 1

    def item(self) -> float:
        """Return its value."""
        return 1.5


class Colour(IntEnum):
    """Numbers with names."""

    RED = 3


class Word(StrEnum):
    """Texts with names."""

    A = "a"


class Plain(Enum):
    """Names of objects."""

    A = 1
