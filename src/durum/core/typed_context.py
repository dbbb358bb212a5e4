"""Context values as Python types, for states that implement the kernel's contract (seed 002, ``TypedContextExt``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from durum.errors import SerializationError

if TYPE_CHECKING:
    from durum.core.state import DynContext

T = TypeVar("T")


def read_typed(ctx: DynContext, key: str, kind: type[T]) -> T | None:
    """Return a context value converted to ``kind``, None if the key is absent; ``SerializationError`` if it does not fit."""
    if not ctx.has(key):
        return None
    try:
        return msgspec.convert(ctx.read(key), kind)
    except msgspec.ValidationError as error:
        raise SerializationError(key, str(error)) from error


def write_typed(ctx: DynContext, key: str, value: object) -> None:
    """Stage a value of any type msgspec converts to JSON; ``SerializationError`` if it does not."""
    try:
        plain = msgspec.to_builtins(value, str_keys=True, order="deterministic")
    except (TypeError, ValueError) as error:
        raise SerializationError(key, str(error)) from error
    ctx.write(key, plain)
