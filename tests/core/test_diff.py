"""Where two JSON values differ."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durum.core.diff import differences

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("expected", "got", "found"),
    [
        (1, 1, []),
        (1, 1.0, []),
        (1, True, [{"path": "$", "expected": 1, "got": True}]),
        (0, None, [{"path": "$", "expected": 0, "got": None}]),
        ({"a": 1}, {}, [{"path": "$.a", "expected": 1}]),
        ({}, {"a": None}, [{"path": "$.a", "got": None}]),
        ([1, 2], [1], [{"path": "$[1]", "expected": 2}]),
        ([1], [1, 2], [{"path": "$[1]", "got": 2}]),
        ({"a": [{"b": 1}]}, {"a": [{"b": 2}]}, [{"path": "$.a[0].b", "expected": 1, "got": 2}]),
        ([], {}, [{"path": "$", "expected": [], "got": {}}]),
    ],
)
def test_differences_are_named_by_path(expected: Any, got: Any, found: list[Any]) -> None:
    """An absent side has no field; null is a value; true is no one."""
    assert differences(expected, got) == found


def test_at_most_twenty_are_reported() -> None:
    """A report is for a person; the first twenty in key order."""
    found = differences({f"k{number:03}": 0 for number in range(100)}, {})
    assert [row["path"] for row in found if isinstance(row, dict)] == [f"$.k{number:03}" for number in range(20)]
    assert len(differences([0] * 9, [1] * 9, most=3)) == 3


@given(JSON, JSON)
def test_nothing_differs_only_between_equals(one: Any, two: Any) -> None:
    """No differences means equal; every difference has two different sides."""
    assert differences(one, one) == []
    found = differences(one, two, most=10_000)
    assert bool(found) == (differences(two, one, most=10_000) != [])
    if one != two:
        assert found
    for row in found:
        assert isinstance(row, dict)
        assert ("expected" not in row) or ("got" not in row) or row["expected"] is not row["got"]
