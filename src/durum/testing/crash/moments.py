"""In the middle of what a kill landed, as the log tells it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

EMPTY = "before the first event"
EFFECT = "between an intent and its outcome"
ITEMS = "among the items of a step"
CHILD = "while a child run was under way"
STATES = "while states were under way"
GATE = "while a gate was open"
BETWEEN = "between two states"
OVER = "after the last event"
_ITEM = re.compile(r"\.i\d+(__\w+)?$")
_BEGINS = {
    "child.spawned": ("child_run_id", CHILD),
    "effect.intended": ("key", EFFECT),
    "gate.opened": ("gate", GATE),
    "state.entered": ("state_id", STATES),
}
_ENDS = {"child.completed": "child_run_id", "fact.recorded": "key", "gate.answered": "gate"}
_STATE_ENDS = frozenset({"state.completed", "state.failed"})


def moments(log: Iterable[Any]) -> set[str]:
    """Return in the middle of what the logs of a run and its child runs stop; ``log`` is their bodies, run by run."""
    under_way: dict[tuple[str, str], str] = {}
    kind = ""
    for envelope in log:
        event, kind = envelope["body"], envelope["kind"]
        if kind in _BEGINS:
            field, what = _BEGINS[kind]
            under_way[field, event[field]] = ITEMS if what is STATES and _ITEM.search(event[field]) else what
        elif kind in _ENDS:
            under_way.pop((_ENDS[kind], event[_ENDS[kind]]), None)
        elif kind in _STATE_ENDS:
            state_id = event["state_id"]  # its calls are over with it
            under_way = {key: what for key, what in under_way.items() if state_id != key[1].partition("|")[0]}
    if not kind:
        return {EMPTY}
    return set(under_way.values()) or ({OVER} if kind == "run.completed" else {BETWEEN})
