"""Values beyond JSON have one form in it, whatever process made it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel, RootModel

from durum.workflow.json_form import from_json, is_loose, refuse_endless, settled, to_json
from tests.workflow.shapes import Box, Branch, Holder, Item, Leaf, Row


@dataclass
class Twins:
    """Holds one class twice, and itself nowhere."""

    left: Leaf
    right: Leaf


@dataclass
class Tree:
    """Holds itself, at two removes."""

    number: int
    children: dict[str, list[Tree]]


ROOT = Path(__file__).parents[2]

PROGRAM = """
import sys
from durum import Workflow, canonical_json
from durum.workflow.conversion import converter
from durum.workflow.inputs import Inputs
from tests.workflow.shapes import Box, Branch, Colour, Item, Leaf
from pydantic import BaseModel
from typing import Any

class Given(BaseModel):
    words: set[str]
    deep: dict[str, list[set[str]]]
    free: Any

words = {f"word{n}" for n in range(40)}
leaves = {Leaf(n) for n in range(20)}
flow = Workflow("flow", exec=words)
flow.step(name="one", tags=words)(lambda: 1)
given = {"words": words, "deep": {"a": [words]}, "free": [words]}
forms = [
    converter(set[str]).dump("key", words),
    converter(frozenset[frozenset[str]]).dump("key", {frozenset({w, w + "x"}) for w in words}),
    converter(list[Branch]).dump("key", [Branch(Leaf(1), words)]),
    converter(dict[str, set[Leaf]]).dump("key", {"a": leaves}),
    converter(set[Colour]).dump("key", set(Colour)),
    converter(Box).dump("key", Box(1, words)),
    converter(list[Item]).dump("key", [Item(itemId=1, words=words)]),
    converter(Given).dump("key", Given(**given)),
    Inputs("flow", Given).convert(given, texts=False),
    list(flow.commands),
    list(flow.plan().shape.nodes[0].meta.tags),
]
sys.stdout.buffer.write(canonical_json(forms))
"""


def test_sets_have_one_order_in_every_process() -> None:
    """Python's own order of a set differs with PYTHONHASHSEED; results, inputs and plans must not."""
    outputs = []
    for seed in ("1", "2", "3"):
        settings = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", PROGRAM], env=settings, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        outputs.append(done.stdout)
    assert outputs[0].startswith(b'[["word0","word1","word10"')
    assert outputs[0] == outputs[1] == outputs[2]


class Words(RootModel[set[str]]):
    """A model that is a set."""


class Free(BaseModel):
    """A model that holds anything."""

    anything: Any = None


@pytest.mark.parametrize(
    ("value", "form", "expected"),
    [
        ({3, 1, 2}, [3, 1, 2], [1, 2, 3]),
        ({1, "a"}, ["a", 1], ["a", 1]),
        ([{2, 1}], [[2, 1]], [[1, 2]]),
        ({"k": ({2, 1},)}, {"k": ([2, 1],)}, {"k": [[1, 2]]}),
        ({7: {2, 1}}, {"7": [2, 1]}, {"7": [1, 2]}),
        (Words({"b", "a"}), ["b", "a"], ["a", "b"]),
        (Free(anything={"b", "a"}), {"anything": ["b", "a"]}, {"anything": ["a", "b"]}),
        ({"b", "a"}, "b,a", "b,a"),
        ([1], {"odd": [2, 1]}, {"odd": [2, 1]}),
        ({"a": {2, 1}}, {"a": [2, 1], "b": [2, 1]}, {"a": [2, 1], "b": [2, 1]}),
        (3, [2, 1], [2, 1]),
    ],
)
def test_sets_are_sorted_wherever_they_are_and_nothing_else_is(value: object, form: object, expected: object) -> None:
    """Numbers by size, texts by letter; what a serialiser turned into something else stays as it made it."""
    assert settled(value, form) == expected


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (int, False),
        (list[dict[str, Leaf]], False),
        (Row, False),
        (set[int], True),
        (list[Branch], True),
        (Box, True),
        (dict[str, Any], True),
        (Holder, True),
        (list[object], True),
        (dict[int, str], True),
        (dict[str, int], False),
        (list[Twins], False),
        (Tree, True),
    ],
)
def test_types_that_can_hold_sets_are_known(annotation: object, expected: bool) -> None:  # noqa: FBT001 - from the table
    """Deep inside classes as well; whatever can hold anything can hold a set."""
    assert is_loose(annotation) is expected


def test_a_class_that_refers_to_itself_is_walked_once() -> None:
    """Recursion in types ends."""
    assert is_loose(Branch | None)


def test_paths_and_models_inside_other_types_go_there_and_back() -> None:
    """A path is text; a model is an object named by its fields, not by their aliases."""
    assert to_json({"a": PurePosixPath("x/y")}) == {"a": "x/y"}
    assert from_json(dict[str, PurePosixPath], {"a": "x/y"}) == {"a": PurePosixPath("x/y")}
    form = to_json(Holder(Item(itemId=3)))
    assert form == {"item": {"item_id": 3, "words": []}, "other": None}
    assert from_json(Holder, form) == Holder(Item(itemId=3))
    with pytest.raises(msgspec.ValidationError, match="Expected `str`, got `int`"):
        from_json(Path, 3)
    with pytest.raises(NotImplementedError, match="object has no JSON form"):
        to_json([object()])


def doubling(core: object) -> object:
    """Return lists that would fill the universe if each were written where it stands."""
    value = core
    for _ in range(100):
        value = [value, value]
    return value


def ring() -> object:
    """Return an object that holds itself in a list."""
    box = Free(anything=None)
    box.anything = [box]
    return box


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (doubling(0), "so often"),
        (Free(anything=doubling({"a": {1}})), "so often"),
        (ring(), "refers to itself"),
        ([iter([1])], "list_iterator can be read only once"),
        ({"a": (number for number in [1])}, "generator can be read only once"),
    ],
)
def test_what_has_no_end_is_refused(value: object, says: str) -> None:
    """Wherever it is, before anything walks it."""
    with pytest.raises(ValueError, match=says):
        refuse_endless(value)


def test_honest_values_have_an_end() -> None:
    """A large one, one that holds a part in several places, and one that is as deep as JSON may be."""
    row = {"a": [1, 2]}
    refuse_endless([[number] for number in range(100_000)])
    refuse_endless([row] * 10_000)
    refuse_endless(Free(anything=[row, {"b": row}, (row, {1, 2})]))
    deep: object = []
    for _ in range(127):
        deep = [deep]
    refuse_endless({"a": Free(anything=deep)})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_became_nothing_is_refused(value: float) -> None:
    """At any depth; None itself stays."""
    with pytest.raises(ValueError, match="is not a JSON number"):
        settled({"a": [value]}, {"a": [None]})
    assert settled({"a": [None]}, {"a": [None]}) == {"a": [None]}


def test_keys_that_became_one_are_refused() -> None:
    """Only where a key is no text; a serialiser may leave out what it likes."""
    with pytest.raises(ValueError, match="two keys of an object become one text"):
        settled([{1: 2, "1": 3}], [{"1": 3}])
    assert settled({"a": 1, "b": {2}}, {"a": 1}) == {"a": 1}


def test_members_are_found_by_name_in_whatever_order_they_come() -> None:
    """An ordered dict may tell another order than it holds."""
    value = OrderedDict(a={2, 1}, b="x")
    value.move_to_end("a")
    assert settled(value, {"b": "x", "a": [2, 1]}) == {"a": [1, 2], "b": "x"}
