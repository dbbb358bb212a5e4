"""Where two JSON values differ, path by path."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from durum.core.canonical import JsonObject, JsonValue

MOST_DIFFERENCES = 20

K = TypeVar("K", str, int)


def differences(expected: JsonValue, got: JsonValue, most: int = MOST_DIFFERENCES) -> list[JsonValue]:
    """Return at most ``most`` differences as ``{path, expected?, got?}``; a side that is absent has no field."""
    found: list[JsonValue] = []
    for difference in _walk(expected, got, "$"):
        found.append(difference)
        if len(found) == most:
            break
    return found


def _walk(expected: JsonValue, got: JsonValue, path: str) -> Iterator[JsonObject]:
    if isinstance(expected, dict) and isinstance(got, dict):
        for key in sorted(expected.keys() | got.keys()):
            yield from _pair(expected, got, key, f"{path}.{key}")
    elif isinstance(expected, list) and isinstance(got, list):
        left: dict[int, JsonValue] = dict(enumerate(expected))
        right: dict[int, JsonValue] = dict(enumerate(got))
        for index in range(max(len(left), len(right))):
            yield from _pair(left, right, index, f"{path}[{index}]")
    elif expected != got or isinstance(expected, bool) is not isinstance(got, bool):
        yield {"path": path, "expected": expected, "got": got}


def _pair(left: Mapping[K, JsonValue], right: Mapping[K, JsonValue], key: K, path: str) -> Iterator[JsonObject]:
    if key not in left:
        yield {"path": path, "got": right[key]}
    elif key not in right:
        yield {"path": path, "expected": left[key]}
    else:
        yield from _walk(left[key], right[key], path)
