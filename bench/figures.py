"""What a row of the table says, and how one script says it: for people, or as JSON for the command that runs them all."""

from __future__ import annotations

import argparse
import json
import statistics
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class NotMeasuredError(Exception):
    """A row cannot be measured here; the text says why."""


class Value(NamedTuple):
    """A value with the least and the largest of its rounds."""

    median: float
    low: float
    high: float


class Bounds(NamedTuple):
    """What must be reached (floor) and where it is going (goal)."""

    floor: float
    goal: float
    more: bool  # more is better

    def verdict(self, value: float) -> str:
        """Say whether the floor holds and the goal is reached."""
        floor, goal = (value >= bound if self.more else value <= bound for bound in self[:2])
        return "goal reached" if goal else "holds" if floor else "misses"


class Figure(NamedTuple):
    """One measured value beside its bounds."""

    measure: str
    value: Value
    bounds: Bounds | None = None
    unit: str = "x"  # "x": a ratio; else printed behind the value
    note: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        """Return the cells of the table: measure, value, rounds, floor, goal, verdict, note."""
        median, low, high = self.value
        rounds = "" if low == high else f"{_text(low)}-{_text(high)}"
        bounds = ("", "", "") if self.bounds is None else (*map(self._of, self.bounds[:2]), self.bounds.verdict(median))
        return (self.measure, self._of(median), rounds, *bounds, self.note)

    def _of(self, value: float) -> str:
        return f"{_text(value)}x" if self.unit == "x" else f"{_text(value)} {self.unit}"


class Measure(Protocol):
    """What a row's script offers."""

    def __call__(self, *, quick: bool) -> list[Figure]:
        """Return the row's figures."""


def at_least(floor: float, goal: float) -> Bounds:
    """Return bounds of which more is better."""
    return Bounds(floor, goal, more=True)


def at_most(floor: float, goal: float) -> Bounds:
    """Return bounds of which less is better."""
    return Bounds(floor, goal, more=False)


def ratio(over: Sequence[float], under: Sequence[float]) -> Value:
    """Return the ratio of two medians, and the least and largest of the rounds' own ratios."""
    pairs = [one / other for one, other in zip(over, under, strict=True)]
    return Value(statistics.median(over) / statistics.median(under), min(pairs), max(pairs))


def spread(values: Sequence[float]) -> Value:
    """Return the median of the rounds, the least and the largest."""
    return Value(statistics.median(values), min(values), max(values))


def lines(figures: Sequence[Figure]) -> list[str]:
    """Return figures as lines of text."""
    return [_line(*figure.cells) for figure in figures]


def _line(measure: str, value: str, rounds: str, *words: str) -> str:
    floor, goal, verdict, note = words
    judged = f", floor {floor}, goal {goal}: {verdict}" if verdict else ""
    return f"{measure}: {value}{f' ({rounds})' if rounds else ''}{judged}{f'; {note}' if note else ''}"


def as_json(figures: Sequence[Figure]) -> str:
    """Return figures as ``from_json`` reads them."""
    return json.dumps(figures)


def from_json(said: str) -> list[Figure]:
    """Return the figures a row's script printed.

    Raises:
        NotMeasuredError: it printed why there are none.
    """
    answer = json.loads(said)
    if isinstance(answer, str):
        raise NotMeasuredError(answer)
    return [
        Figure(measure, Value(*value), None if bounds is None else Bounds(*bounds), unit, note)
        for measure, value, bounds, unit, note in answer
    ]


def report(measure: Measure, summary: str | None) -> None:
    """Run one row's script: ``--quick`` for a smoke run, ``--json`` for the command that runs them all."""
    parser = argparse.ArgumentParser(description=summary, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small and few rounds: whether it runs, not how fast")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    try:
        figures = measure(quick=options.quick)
        if options.quick:
            figures = [figure._replace(bounds=None) for figure in figures]  # so few rounds of so little say nothing of them
    except NotMeasuredError as reason:
        print(json.dumps(str(reason)) if options.json else f"not measured: {reason}")
    else:
        print(as_json(figures) if options.json else "\n".join(lines(figures)))


def _text(value: float) -> str:
    """Return a number with three digits that count."""
    if abs(value) < 1:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
