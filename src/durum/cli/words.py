"""How the command line says things: spans of time, names of steps, errors on one line, commands to type."""

from __future__ import annotations

import re
import shlex
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durum.core.canonical import JsonObject, JsonValue

_SECOND_MS = 1000
_MINUTE_MS = 60 * _SECOND_MS
_HOUR_MS = 60 * _MINUTE_MS
_DAY_MS = 24 * _HOUR_MS

# What a terminal would obey instead of showing; a step's words must not move anyone's cursor.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
SKIPPED = {
    "tag": "its tag was to be skipped",
    "upstream": "a state before it did not complete",
    "fail_fast": "the run stopped at the first failure",
}
_SAYS_ENOUGH = frozenset({"step_raised", "step_failed"})  # codes that add nothing to their message
_ITEM = re.compile(r"\.i(0|[1-9][0-9]*)(?:__(\w+))?$")
_SHORT_ID = 13  # a UUIDv7's moment of birth


def visible(text: str) -> str:
    """Return text with control characters spelled out; line ends and tabs stay."""
    return _CONTROLS.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def one_line(text: str) -> str:
    """Return text as one line that a terminal only shows."""
    return visible(" ".join(text.split("\n"))).replace("\t", " ").strip()


def span(ms: int | None) -> str:
    """Return a span of time for people: ``12 ms``, ``1.25 s``, ``2 min 05 s``, ``1 h 02 min``; nothing for None."""
    if ms is None:
        return ""
    if ms < _SECOND_MS:
        return f"{max(ms, 0)} ms"
    if ms < _MINUTE_MS:
        return f"{ms / _SECOND_MS:.2f} s"
    if ms < _HOUR_MS:
        return f"{ms // _MINUTE_MS} min {ms % _MINUTE_MS // _SECOND_MS:02} s"
    return f"{ms // _HOUR_MS} h {ms % _HOUR_MS // _MINUTE_MS:02} min"


def moment(ms: int) -> str:
    """Return a moment as local date and time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ms / _SECOND_MS))


def time_of_day(ms: int) -> str:
    """Return a moment as local time to the millisecond."""
    return time.strftime("%H:%M:%S", time.localtime(ms / _SECOND_MS)) + f".{ms % _SECOND_MS:03}"


def ago(ms: int) -> str:
    """Return how long ago a moment was, in one unit."""
    passed = max(0, time.time_ns() // 1_000_000 - ms)
    if passed < _MINUTE_MS:
        return f"{passed // _SECOND_MS} s ago"
    if passed < _HOUR_MS:
        return f"{passed // _MINUTE_MS} min ago"
    if passed < 2 * _DAY_MS:
        return f"{passed // _HOUR_MS} h ago"
    return f"{passed // _DAY_MS} days ago"


def count(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 event``, ``2,000 events``."""
    return f"{number} {noun}" if number == 1 else f"{number:,} {noun}s"


def number_in(value: JsonValue) -> int:
    """Return a field that holds an integer; 0 where it holds none."""
    return value if isinstance(value, int) else 0


def step_name(state_id: object) -> str:
    """Return what tells states of one run apart: ``demo.fetch.main`` is ``fetch``, ``demo.fetch.i3`` is ``fetch[3]``."""
    _, _, rest = str(state_id).partition(".")
    item = _ITEM.search(rest)
    if item is not None:
        return f"{rest[: item.start()]}[{item[1]}]" + (f".{item[2]}" if item[2] else "")
    return rest.removesuffix(".main") or str(state_id)


def state_name(row: JsonObject) -> str:
    """Return what people see of a state: its path where it has one, else what its id says."""
    return str(row.get("path") or "") or step_name(row["state_id"])


def short_ids(identities: Sequence[str]) -> dict[str, str]:
    """Return for each id a beginning that no other shares."""
    length = _SHORT_ID
    while len({identity[:length] for identity in identities}) < len(set(identities)):
        length += 1
    return {identity: identity[:length] for identity in identities}


def attempt_of(number: int, of: int) -> str:
    """Return ``attempt 2 of 3``; one beyond the budget (its owner died before) stands alone."""
    return f"attempt {number} of {of}" if number <= of else f"attempt {number}"


def failure_text(error: JsonValue) -> str:
    """Return a recorded failure on one line: what was said, its code if that adds something, where it was raised."""
    if not isinstance(error, dict):
        return ""
    code, details = error["code"], error.get("details")
    text = one_line(str(error["message"])) + ("" if code in _SAYS_ENOUGH else f" ({code})")
    place = details.get("raised_at") if isinstance(details, dict) else None
    return f"{text}, at {place}" if place else text


def run_error_text(error: JsonValue) -> str:
    """Return why a run failed on one line, the state that failed first; nothing if it did not."""
    if not isinstance(error, dict):
        return ""
    return (f"{step_name(error['state_id'])}: " if error["state_id"] else "") + failure_text(error)


def command(*words: str) -> str:
    """Return a ``durum`` command as a shell takes it."""
    return shlex.join(("durum", *words))
