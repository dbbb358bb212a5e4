"""What is wrong with the declaration of a step that stands for several states is said where it is written, in a sentence."""

from __future__ import annotations

from typing import Any, TypedDict

import pytest

from durum import Workflow
from tests.workflow.refusals import refused

CHILD = Workflow("child")


class Given(TypedDict):
    """Items, and inputs whose names an item's parameters could be taken for."""

    areas: list[int]
    index: int


def per_item(item: int) -> int:
    """Take an item."""
    return item


def plain() -> int:
    """Take none."""
    return 1


def gives_nothing() -> None:
    """Return nothing."""


@pytest.mark.parametrize(
    ("function", "options", "reason"),
    [
        (plain, {"each": "areas"}, "runs for each of 'areas' but takes no parameter 'item'; add it, as in def step(item: str)"),
        (per_item, {"each": ["areas"]}, "has each=['areas']; name the context key with the items, such as each='areas'"),
        (per_item, {"each": ""}, "has each=''; name the context key with the items, such as each='areas'"),
        (per_item, {"each": "areas", "max_concurrency": 0}, "has max_concurrency=0; give a number of items, at least 1"),
        (per_item, {"each": "areas", "max_concurrency": True}, "has max_concurrency=True; give a number of items, at least 1"),
        (per_item, {"each": "areas", "max_concurrency": "2"}, "has max_concurrency='2'; give a number of items, at least 1"),
        (per_item, {"each": "areas", "on_missing": "ignore"}, "has on_missing='ignore'; use 'fail' or 'skip'"),
        (per_item, {"on_missing": "skip"}, "has on_missing, which only a step with each= can have"),
        (per_item, {"max_concurrency": 2}, "has max_concurrency, which only a step with each= can have"),
        (
            plain,
            {"effects": "apply_side_effect", "idempotency": "{run_id}/{index}"},
            "has {index} in its idempotency key, which only a step with each= can have",
        ),
        (plain, {"result": "x"}, "has result, which only a step with child= can have"),
        (plain, {"child": "child"}, "has child='child'; give a Workflow"),
        (plain, {"child": CHILD, "result": ""}, "has result=''; name a context key of the child"),
        (gives_nothing, {"child": CHILD}, "starts a child run but returns nothing; return the child's inputs"),
        (
            plain,
            {"child": CHILD, "effects": "apply_side_effect"},
            "starts a child run and applies an effect; do the effect in a step of its own, or in the child",
        ),
        (plain, {"snapshot": "never"}, "has snapshot='never'; use 'on_success' or 'always'"),
    ],
)
def test_a_declaration_that_cannot_be_meant_is_refused(function: Any, options: dict[str, Any], reason: str) -> None:
    """At the decorator, before anything is planned."""
    flow = Workflow("flow", inputs=Given)
    assert refused(lambda: flow.step(name="one", **options)(function)) == f"step one {reason}"


def test_what_is_given_with_each_item_must_not_be_a_key_as_well() -> None:
    """Nobody could tell which was meant: an input, another step's key, or the step's own; without the parameter all is well."""
    flow = Workflow("flow", inputs=Given)
    flow.step(name="one", each="areas")(lambda item, index: [item, index])
    assert refused(flow.plan) == "step one is given 'index' with each item, but that is a key too; rename the key"
    for name, written in (("item", "item"), ("other", "item")):
        flow = Workflow("flow", inputs=Given)
        flow.step(name=name, writes=written)(plain)
        flow.step(name="one", each="areas")(per_item)
        assert refused(flow.plan) == "step one is given 'item' with each item, but that is a key too; rename the key"
    flow = Workflow("flow", inputs=Given)
    flow.step(name="one", each="areas")(per_item)
    flow.step(name="two")(lambda index: index)
    assert len(flow.plan().states) == 3


def test_items_come_from_a_key_that_somebody_gives() -> None:
    """A typing mistake is told with the closest name."""
    flow = Workflow("flow", inputs=Given)
    flow.step(name="one", each="aeras")(per_item)
    assert refused(flow.plan) == "step one asks for 'aeras', which is no input and no step's key; did you mean 'areas'?"


@pytest.mark.parametrize("options", [{"each": "one"}, {"each": "areas", "writes": "more"}])
def test_a_step_cannot_ask_for_the_key_it_writes(options: dict[str, Any]) -> None:
    """Neither as its items nor beside them, for it would wait for itself."""
    flow = Workflow("flow", inputs=Given)
    flow.step(name="one", **options)(lambda item, more=0: [item, more])
    name = options.get("writes", "one")
    assert refused(flow.plan) == f"step one asks for {name!r}, which it writes itself; give writes= another key"


def test_two_steps_cannot_write_the_results_of_their_items_under_one_key() -> None:
    """Unless its author declared how they come together."""
    flow = Workflow("flow", inputs=Given)
    flow.step(name="one", each="areas", writes="all")(per_item)
    flow.step(name="two", each="areas", writes="all")(per_item)
    reason = "writes 'all', as step one does; give it another key or declare key('all', merge='append')"
    assert refused(flow.plan) == f"step two {reason}"
    flow.key("all", merge="append")
    assert len(flow.plan().states) == 4
