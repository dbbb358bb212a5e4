"""What a replay found to be otherwise than recorded, in words and by what differs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from durum.core.canonical import decode_json
from durum.core.diff import differences
from durum.core.failure import MAX_MESSAGE_CHARACTERS
from durum.core.replay import Divergence

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from durum.core.canonical import JsonValue
    from durum.core.events import Write

_SECRET = re.compile(r"\[secret [^\]\n]*(?:\]|\Z)|\[[secrt]{0,6}\Z")  # or what a cut left of it
_SHOWN_BYTES = 4096


def same_message(recorded: str, now: str) -> bool:
    """Tell whether a message is the recorded one; where that names a secret anything may stand, for replay has no value."""
    first, *others = _SECRET.split(recorded)
    if not others:
        return now == recorded
    if not now.startswith(first):
        return False
    at, last = len(first), others.pop()
    for part in others:
        at = now.find(part, at) + len(part)
        if at < len(part):
            return False
    return len(recorded) == MAX_MESSAGE_CHARACTERS or now.endswith(last, at)  # or cut, and now elsewhere


def diverged(what: str, message: str, expected: JsonValue, got: JsonValue, diff: list[JsonValue] | None = None) -> Divergence:
    """Return a report without its place; the differences are those of what is shown unless they are given."""
    return Divergence(what, None, None, None, message, expected, got, differences(expected, got) if diff is None else diff)


def other_writes(recorded: Sequence[Write], now: Sequence[Write]) -> Divergence:
    """Tell the writes that are not the same; their entries stand for values as in a snapshot's node."""
    before, after = ({write.key: write for write in writes} for writes in (recorded, now))
    keys = [key for key in sorted(before.keys() | after.keys()) if before.get(key) != after.get(key)]
    same_keys = all(key in before and key in after for key in keys)
    what = "contributes something else" if same_keys else "writes other keys"
    expected, got = ({key: _told(writes[key]) for key in keys if key in writes} for writes in (before, after))
    return _other(f"it {what} to the same end", expected, got)


def _told(write: Write) -> JsonValue:
    return [write.op, decode_json(bytes(write.entry))]


def other_reads(recorded: Iterable[str], now: Iterable[str]) -> Divergence:
    """Tell the keys that only one of them read."""
    before, after = set(recorded), set(now)
    return _other("it reads other keys", [*sorted(before - after)], [*sorted(after - before)])


def _other(message: str, recorded: JsonValue, now: JsonValue) -> Divergence:
    return diverged("writes", message, shown(recorded), shown(now), differences(recorded, now))


def shown(value: JsonValue) -> JsonValue:
    """Return a value for a report; a large one by its size, for the differences tell what matters."""
    size = len(msgspec.json.encode(value))
    return value if size <= _SHOWN_BYTES else f"<{size} bytes of JSON>"
