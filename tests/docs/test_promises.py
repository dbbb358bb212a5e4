"""docs/promises.md: each promise names the tests that prove it, and they are there."""

from __future__ import annotations

import ast
import re

import pytest

from tools.project import ROOT

PAGE = ROOT / "docs" / "promises.md"
ROW = re.compile(r"^\| (?!promise |---)(?P<promise>.+?) \| (?P<tests>.+) \|$", re.MULTILINE)
PROMISES = {row["promise"]: re.findall(r"`([^`]+)`", row["tests"]) for row in ROW.finditer(PAGE.read_text("utf-8"))}


@pytest.mark.parametrize("promise", PROMISES)
def test_a_promise_names_a_test(promise: str) -> None:
    """A row without a test would be a mere claim."""
    assert PROMISES[promise]
    assert [name for name in PROMISES[promise] if "::" not in name] == []


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([^`]+::[^`]+)`", PAGE.read_text("utf-8")))))
def test_a_named_test_exists(name: str) -> None:
    """A test that was renamed or removed takes its promise along, or is missed here."""
    file, _, test = name.partition("::")
    nodes = ast.walk(ast.parse((ROOT / file).read_text("utf-8")))
    assert test in {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_the_conformance_checks_run_over_every_store() -> None:
    """A check of the suite proves something only where the suite is run: over both stores there are."""
    text = (ROOT / "tests" / "stores" / "test_conformance.py").read_text("utf-8")
    classes = [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)]
    assert sum("StoreConformance" in ast.unparse(node) for node in classes) >= 2


def test_the_page_is_not_empty() -> None:
    """The rows are found at all."""
    assert len(PROMISES) > 20
