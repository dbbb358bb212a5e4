"""Typed reads and writes of the context go through JSON and refuse what does not fit."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from durum.core.merges import Merges
from durum.core.tree import tree_of
from durum.core.typed_context import read_typed, write_typed
from durum.engine.artifacts import ArtifactReader
from durum.engine.context import ContextOverlay
from durum.engine.snapshots import Snapshots
from durum.errors import SerializationError
from durum.stores.memory import MemoryStore


class Point(msgspec.Struct):
    """Something with a shape."""

    x: int
    y: int


def overlay() -> ContextOverlay:
    """Return an empty context."""
    return ContextOverlay(Snapshots(ArtifactReader(MemoryStore())), tree_of({}, lambda *_: None), Merges())


def test_a_value_comes_back_as_its_type() -> None:
    """What is written typed is JSON in between and typed again when read."""
    ctx = overlay()
    write_typed(ctx, "point", Point(1, 2))
    assert ctx.read("point") == {"x": 1, "y": 2}
    assert read_typed(ctx, "point", Point) == Point(1, 2)
    assert read_typed(ctx, "other", Point) is None


def test_what_does_not_fit_is_refused() -> None:
    """A wrong shape is named by its key, in both directions."""
    ctx = overlay()
    ctx.write("point", {"x": "one"})
    with pytest.raises(SerializationError, match="'point'"):
        read_typed(ctx, "point", Point)
    with pytest.raises(SerializationError, match="'thing'"):
        write_typed(ctx, "thing", object())


def test_attempts_may_read_side_by_side() -> None:
    """Reading needs no loop and works inside one."""

    async def inside() -> Point | None:
        ctx = overlay()
        write_typed(ctx, "point", Point(3, 4))
        return read_typed(ctx, "point", Point)

    assert asyncio.run(inside()) == Point(3, 4)
