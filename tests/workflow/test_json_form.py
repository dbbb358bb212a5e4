"""Values beyond JSON have one form in it, whatever process made it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel, RootModel

from durum.workflow.json_form import from_json, may_hold_sets, sets_sorted, to_json
from tests.workflow.shapes import Box, Branch, Holder, Item, Leaf, Row

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
    assert sets_sorted(value, form) == expected


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
    ],
)
def test_types_that_can_hold_sets_are_known(annotation: object, expected: bool) -> None:  # noqa: FBT001 - from the table
    """Deep inside classes as well; whatever can hold anything can hold a set."""
    assert may_hold_sets(annotation) is expected


def test_a_class_that_refers_to_itself_is_walked_once() -> None:
    """Recursion in types ends."""
    assert may_hold_sets(Branch | None)


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
