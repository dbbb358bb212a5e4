"""The items of a for-each as people see them: one by one while they are few, counted where they are many."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from durum.cli.words import count, state_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from durum.core.canonical import JsonObject

FEW = 20
_PATH = re.compile(r"(.+?)\[(\d+)\](.*)", re.DOTALL)
_LOUD_FAILURES = 5  # of one step; what follows is counted
_LINES = 20  # about as many times a step says how far its items are
_SILENT_MS = 10_000
_OVER = frozenset({"completed", "failed", "skipped", "cancelled"})


class Item(NamedTuple):
    """One item's state: of which step, which item, and whether its end is the item's."""

    step: str
    number: int
    is_last: bool


def item_of(name: str) -> Item | None:
    """Return which item a state is of, as its name tells: ``fetch[3]``; None if it is of none."""
    found = _PATH.fullmatch(name)
    return None if found is None else Item(found[1], int(found[2]), not found[3])


class Tally:
    """How far the items of one step are."""

    def __init__(self, step: str) -> None:
        self.step = step
        self.total = 0
        self.begun: set[int] = set()
        self.over: set[int] = set()
        self.failed: set[int] = set()
        self._told = 0
        self._told_ms = 0

    @property
    def folded(self) -> bool:
        """Whether there are too many to be shown one by one."""
        return self.total > FEW

    def start(self, item: Item, ts_millis: int) -> None:
        """Note that a state of an item is under way, perhaps once more."""
        if not self.begun:
            self._told_ms = ts_millis
        self.begun.add(item.number)
        self.over.discard(item.number)
        self.failed.discard(item.number)

    def end(self, item: Item, *, failed: bool = False) -> None:
        """Note that a state of an item is over."""
        if failed:
            self.failed.add(item.number)
        if item.is_last:
            self.over.add(item.number)

    @property
    def loud(self) -> bool:
        """Whether a failure more is still worth a line of its own."""
        return len(self.failed) <= _LOUD_FAILURES

    def due(self, ts_millis: int) -> bool:
        """Tell whether it is time for another word: enough items or a while since the last one, or all of them are over."""
        done = len(self.over)
        late = done > self._told and ts_millis - self._told_ms >= _SILENT_MS
        due = done - self._told >= max(1, self.total // _LINES) or late or (done == self.total and done > self._told)
        if due:
            self._told, self._told_ms = done, ts_millis
        return due

    def text(self) -> str:
        """Return how far they are: ``25 of 1,000 items, 2 failed``."""
        failed = f", {len(self.failed):,} failed" if self.failed else ""
        return f"{len(self.over):,} of {count(self.total, 'item')}{failed}"


class Tallies:
    """How far the items of every step are; knows which names are of items from the states a run has."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.steps: dict[str, Tally] = {}

    def add(self, states: Iterable[JsonObject]) -> None:
        """Take states not known yet."""
        for row in states:
            state_id, name = str(row["state_id"]), state_name(row)
            if state_id in self.names:
                continue
            self.names[state_id] = name
            item = item_of(name)
            if item is None:
                continue
            tally = self.steps.setdefault(item.step, Tally(item.step))
            tally.total += item.is_last
            if row["status"] in _OVER:
                tally.end(item, failed=row["status"] == "failed")

    def of(self, name: str) -> tuple[Item, Tally] | None:
        """Return the item a name is of and the tally that counts it."""
        item = item_of(name)
        return None if item is None or item.step not in self.steps else (item, self.steps[item.step])


class Folded(NamedTuple):
    """The items of one step, where they are many: ``summary[0..999]``, 1,000 items, 998 completed, 2 failed."""

    step: str
    rows: list[JsonObject]

    @property
    def name(self) -> str:
        """What stands in their place."""
        return f"{self.step}[0..{max(item.number for row in self.rows if (item := item_of(state_name(row))))}]"

    @property
    def status(self) -> str:
        """The status that matters most."""
        present = {str(row["status"]) for row in self.rows}
        return next((status for status in _WORST_FIRST if status in present), "completed")

    def text(self) -> str:
        """Return how many there are, and how many of each status."""
        items = [row for row in self.rows if not (found := item_of(state_name(row))) or found.is_last]
        counts: dict[str, int] = {}
        for row in items:
            status = str(row.get("status", ""))
            counts[status] = counts.get(status, 0) + 1
        parts = [f"{number:,} {status.replace('_', ' ')}" for status, number in sorted(counts.items()) if status]
        return ", ".join((count(len(items), "item"), *parts))


_WORST_FIRST = (
    "failed",
    "awaiting_answer",
    "cancelled",
    "interrupted",
    "running",
    "retrying",
    "ready",
    "pending",
    "completed",
    "skipped",
)


def folded(rows: Sequence[JsonObject]) -> list[JsonObject | Folded]:
    """Return rows of states, those of many items of one step as one."""
    groups: dict[str, list[JsonObject]] = {}
    for row in rows:
        item = item_of(state_name(row))
        if item is not None:
            groups.setdefault(item.step, []).append(row)
    many = {step for step, found in groups.items() if len(found) > FEW}
    shown: list[JsonObject | Folded] = []
    for row in rows:
        item = item_of(state_name(row))
        if item is None or item.step not in many:
            shown.append(row)
        elif groups[item.step][0] is row:
            shown.append(Folded(item.step, groups[item.step]))
    return shown
