"""Items of a for-each: which states are of one, how they are counted, when they are shown as one row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durum.cli.items import Folded, Item, Tallies, folded, item_of

if TYPE_CHECKING:
    from durum.core.canonical import JsonObject


def row(name: str, status: str = "pending") -> JsonObject:
    """Make a state as the service gives it."""
    return {"state_id": f"wf.{name}", "path": name, "status": status}


def test_which_states_are_of_an_item() -> None:
    """An item ends with the state that has no name of its own."""
    assert item_of("fetch") is None
    assert item_of("fetch.each") is None
    assert item_of("fetch[12]") == Item("fetch", 12, is_last=True)
    assert item_of("fetch[12].spawn") == Item("fetch", 12, is_last=False)


def test_items_over_before_are_counted_once() -> None:
    """A resumed run goes on counting; states seen again count once."""
    tallies = Tallies()
    states = [row("f[0].spawn", "failed"), row("f[0]", "skipped"), row("f[1]", "completed"), row("f[2]")]
    tallies.add(states)
    tallies.add(states)
    assert tallies.steps["f"].text() == "2 of 3 items, 1 failed"
    assert not tallies.steps["f"].folded
    tallies.steps["f"].start(Item("f", 0, is_last=False), 0)
    assert tallies.steps["f"].text() == "1 of 3 items"


def test_few_items_stay_rows() -> None:
    """Twenty are few."""
    rows = [row(f"f[{number}]") for number in range(20)]
    assert folded([row("a"), *rows]) == [row("a"), *rows]


def test_many_items_become_one_row_in_their_place() -> None:
    """Parts of an item are not items; the status shown is the one that matters most."""
    rows = [row(f"f[{number}]{part}", "completed") for number in range(30) for part in (".spawn", "")]
    rows[7]["status"] = "awaiting_answer"
    first, fold, last = folded([row("a"), *rows, row("b")])
    assert (first, last) == (row("a"), row("b"))
    assert isinstance(fold, Folded)
    assert (fold.name, fold.status) == ("f[0..29]", "awaiting_answer")
    assert fold.text() == "30 items, 1 awaiting answer, 29 completed"
    rows[0]["status"] = "failed"
    (fold,) = folded(rows)
    assert isinstance(fold, Folded)
    assert fold.status == "failed"


def test_a_plan_without_statuses_only_counts() -> None:
    """As that of a workflow that has not run."""
    (fold,) = folded([{"state_id": f"wf.f.i{number}", "path": ""} for number in range(21)])
    assert isinstance(fold, Folded)
    assert fold.text() == "21 items"
