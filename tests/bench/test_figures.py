"""Figures are judged by their bounds, survive the way to the command that prints them, and land in the page's table."""

from __future__ import annotations

import json

import pytest

from bench.figures import Figure, NotMeasuredError, Value, as_json, at_least, at_most, from_json, lines, ratio, spread
from bench.table import BEGIN, END, PAGES, brief, full, written


@pytest.mark.parametrize(
    ("value", "verdict"), [(0.69, "misses"), (0.70, "holds"), (0.84, "holds"), (0.85, "goal reached"), (2.0, "goal reached")]
)
def test_of_more_is_better_the_bounds_are_least(value: float, verdict: str) -> None:
    """A bound that is met exactly is met."""
    assert at_least(0.70, 0.85).verdict(value) == verdict


@pytest.mark.parametrize(("value", "verdict"), [(1.6, "misses"), (1.5, "holds"), (1.2, "goal reached"), (0.1, "goal reached")])
def test_of_less_is_better_the_bounds_are_most(value: float, verdict: str) -> None:
    """The other way round."""
    assert at_most(1.5, 1.2).verdict(value) == verdict


def test_a_ratio_is_of_medians_and_its_range_of_rounds() -> None:
    """One slow round moves the range and not the value."""
    assert ratio([2.0, 2.0, 20.0], [1.0, 1.0, 1.0]) == Value(2.0, 2.0, 20.0)
    assert spread([3.0, 1.0, 2.0]) == Value(2.0, 1.0, 3.0)


def test_figures_are_read_as_they_were_printed() -> None:
    """With bounds and without; a word why there are none is an error."""
    figures = [
        Figure("speed", Value(2.0, 1.5, 2.5), at_least(2.5, 4), note="20 states/s"),
        Figure("memory", spread([1234.5]), None, "KB"),
    ]
    assert from_json(as_json(figures)) == figures
    assert lines(figures) == [
        "speed: 2.00x (1.50-2.50), floor 2.50x, goal 4.00x: misses; 20 states/s",
        "memory: 1,234 KB",
    ]
    with pytest.raises(NotMeasuredError, match="no network"):
        from_json(json.dumps("no network"))


ROWS = [
    ("chain", [Figure("speed", Value(2.0, 1.5, 2.5), at_least(1.5, 2.0), note="a | b"), Figure("size", spread([3.0]))], ""),
    ("many_dbos", [], "no network"),
]


def test_the_full_table_says_all_there_is() -> None:
    """A row that could not be measured says why."""
    assert full(ROWS) == (
        "| row | measure | value | rounds | floor | goal |  | of what, and where the time goes |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- |\n"
        "| [`chain`](chain.py) | speed | 2.00x | 1.50-2.50 | 1.50x | 2.00x | goal reached | a \\| b |\n"
        "| [`chain`](chain.py) | size | 3.00x |  |  |  |  |  |\n"
        "| [`many_dbos`](many_dbos.py) | not measured: no network |  |  |  |  |  |  |"
    )


def test_the_brief_table_keeps_to_what_has_bounds() -> None:
    """In four columns."""
    assert brief(ROWS).splitlines()[2:] == ["| speed | 2.00x | 1.50x | 2.00x |"]


def test_a_table_takes_the_place_of_the_one_before() -> None:
    """What stands around it stays, and every page has its marks."""
    page = "# Title\n\nWords.\n\n<!-- table -->\n\nold | table\n\n<!-- end of table -->\n\nMore words.\n"
    now = written(page, "then, there", "| new |")
    assert (
        now
        == "# Title\n\nWords.\n\n<!-- table -->\n\nMeasured then, there.\n\n| new |\n\n<!-- end of table -->\n\nMore words.\n"
    )
    assert written(now, "then, there", "| new |") == now
    assert all(path.read_text("utf-8").count(mark) == 1 for path in PAGES for mark in (BEGIN, END))
