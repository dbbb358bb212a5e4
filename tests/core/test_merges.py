"""How values come together: what each reducer does with each value, and what an author's own function sees."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durum.core.canonical import canonical_json, decode_json
from durum.core.merges import NAMED, Folding, Merges, Reducer, stored_names
from durum.errors import ConfigError, InvalidIdError, MergeError


def folded(merge: object, old: Any, *contributions: Any) -> Any:
    """Return what contributions come to, as it would be read back."""
    folding = folding_of(merge, old)
    for contribution in contributions:
        folding.add(contribution)
    parts: dict[str, bytes] = {}
    folding.entry(parts.__setitem__)
    return decode_json(canonical_json(folding.value))


def folding_of(merge: object, old: Any) -> Folding:
    """Return a value under the key ``k`` to fold onto."""
    if isinstance(merge, str):
        return Merges({"k": merge}).folding("k", old)
    reducer = Reducer("own", merge)  # type: ignore[arg-type]
    return Merges({"k": reducer.merge}, {"k": reducer}).folding("k", old)


@pytest.mark.parametrize(
    ("merge", "old", "contributions", "value"),
    [
        ("sum", None, [1, 2.5, -4], -0.5),
        ("sum", 40, [2], 42),
        ("min", None, [3], 3),
        ("min", 3, [5, 2.5, 4], 2.5),
        ("max", None, ["a", "b", "aa"], "b"),
        ("max", -1, [-3, -2], -1),
        ("union", None, [[1, 2], [2, 1.0, 3]], [1, 2, 3]),
        ("union", ["b", "b"], [["a"], ["b", "c", "c"]], ["b", "a", "c"]),
        ("union", [{"x": 1, "y": [2]}], [[{"y": [2], "x": 1.0}, [1], {}]], [{"x": 1, "y": [2]}, [1], {}]),
        ("union", None, [[True, 1, "1", None, None]], [True, 1, "1", None]),
        ("last", None, [1, None, {"a": 2}], {"a": 2}),
        ("last", 5, [None], None),
    ],
)
def test_named_reducers(merge: str, old: Any, contributions: list[Any], value: Any) -> None:
    """Each with an absent value and with one there; items are equal where their JSON is."""
    assert folded(merge, old, *contributions) == value


@pytest.mark.parametrize(
    ("merge", "old", "new", "reason"),
    [
        ("sum", None, True, "it adds numbers, not a boolean"),
        ("sum", "1", 1, "it adds numbers, not a text"),
        ("sum", None, None, "it adds numbers, not null"),
        ("sum", 2**53 - 1, 1, "its result is not JSON at \\$: an integer is beyond"),
        ("sum", 1.7e308, 1.7e308, "its result is not JSON at \\$"),
        ("min", 1, "1", "it compares numbers or texts, not a number with a text"),
        ("max", None, [1], "it compares numbers or texts, not a list"),
        ("union", {"a": 1}, [1], "it unites lists, not an object"),
        ("union", None, "abc", "it unites lists, not a text"),
        ("reducer:gone", None, 1, "there is no such reducer in this code"),
        ("of_tomorrow", None, 1, "there is no such reducer in this code"),
    ],
)
def test_what_does_not_fit_is_refused(merge: str, old: Any, new: Any, reason: str) -> None:
    """Nothing is converted or guessed; the error names key, merge and reason."""
    with pytest.raises(MergeError, match=f"context key 'k' cannot be merged by {merge}: {reason}"):
        folded(merge, old, new)


def raising(error: BaseException) -> Any:
    """Return a function that raises."""

    def own(old: Any, new: Any) -> Any:
        del old, new
        raise error

    return own


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        (raising(ValueError("no")), "it raised ValueError: no"),
        (raising(SystemExit(3)), "it raised SystemExit: 3"),
        (raising(GeneratorExit()), "it raised GeneratorExit: "),
        (lambda _old, _new: {1, 2}, r"its result is not JSON at \$: set is not a JSON type; use a sorted list"),
        (lambda _old, _new: {"at": [object()]}, r"its result is not JSON at \$.at\[0\]: object is not a JSON type"),
        (lambda old, new: old + new, "it raised TypeError: unsupported operand"),
        (lambda _old, _new: {"api_key": "0123456789abcdef0123"}, "the context"),
    ],
)
def test_a_reducer_of_one_s_own_that_fails_is_an_error_of_the_merge(own: Any, reason: str) -> None:
    """Whatever it raises, and whatever it returns that the context does not take."""
    with pytest.raises(MergeError, match=f"context key 'k' cannot be merged by reducer:own: {reason}"):
        folded(own, None, 1)


def test_a_person_s_interrupt_is_no_failure_of_the_merge() -> None:
    """It stops the process, as it does in a step."""
    with pytest.raises(KeyboardInterrupt):
        folded(raising(KeyboardInterrupt()), None, 1)


def test_a_reducer_of_one_s_own_sees_what_the_context_would_give_back() -> None:
    """None for the absent value; its own results come back as JSON; what it does to its arguments later counts for nothing."""
    seen: list[tuple[Any, Any]] = []
    kept: list[Any] = []

    def hostile(old: Any, new: Any) -> Any:
        seen.append((decode_json(canonical_json(old)), new))
        for value in kept:
            value.append("tampered")
        result = [*(old or ()), (new, 1.0)]
        kept.append(result)
        return result

    assert folded(hostile, None, "a", "b", "c") == [["a", 1], ["b", 1], ["c", 1]]
    assert seen == [(None, "a"), ([["a", 1]], "b"), ([["a", 1], ["b", 1]], "c")]


NUMBERS = st.integers(-9, 9) | st.floats(-9, 9, width=16)
CONTRIBUTIONS = {
    "sum": NUMBERS,
    "min": NUMBERS,
    "max": NUMBERS,
    "union": st.lists(st.integers(0, 5)),
    "last": st.none() | NUMBERS,
}


@pytest.mark.parametrize("merge", [*NAMED, lambda old, new: [str(old)[-9:], new]])
@given(data=st.data())
def test_one_by_one_is_the_same_as_at_once(merge: Any, data: st.DataObject) -> None:
    """In a row every value is stored before the next contribution comes; at a join it is not: both come to the same."""
    contributions = data.draw(st.lists(CONTRIBUTIONS.get(merge, NUMBERS) if isinstance(merge, str) else NUMBERS, min_size=1))
    stored = [decode_json(canonical_json(contribution)) for contribution in contributions]
    value: Any = None
    for contribution in stored:
        value = folded(merge, value, contribution)
    assert canonical_json(value) == canonical_json(folded(merge, None, *stored))


def test_what_a_plan_stores_of_its_merges() -> None:
    """A name for each key, the function's for one of the author's own."""
    own = Reducer("pick", max)
    assert stored_names({"log": "append", "n": "sum"}, {"best": own}) == {"log": "append", "n": "sum", "best": "reducer:pick"}


@pytest.mark.parametrize(
    ("names", "error", "reason"),
    [
        (
            {"k": "add"},
            ConfigError,
            "key 'k' cannot merge by 'add'; use one of append, sum, min, max, union, last or a reducer",
        ),
        ({"k": "error"}, ConfigError, "cannot merge by 'error'"),
        ({"k": "reducer:own"}, ConfigError, "cannot merge by 'reducer:own'"),
        ({"best": "max"}, ConfigError, "key 'best' has the merge 'max' and a reducer; keep one"),
        ({"a b": "sum"}, InvalidIdError, "a b"),
    ],
)
def test_a_plan_s_merges_are_checked(names: dict[str, str], error: type[Exception], reason: str) -> None:
    """A name nobody knows would silently be another merge."""
    with pytest.raises(error, match=reason):
        stored_names(names, {"best": Reducer("pick", max)})
