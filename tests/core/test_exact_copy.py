"""Copies of odd values: what stands in a value more than once is copied once, and counts as often as it stands there."""

from __future__ import annotations

from typing import Any

import pytest

from durum.core import exact_copy
from durum.core.canonical import canonical_json
from durum.core.exact_copy import MAX_DEPTH, Copier
from durum.errors import CanonicalJsonError


def doubling(levels: int, core: object) -> object:
    """Return lists of which each level holds the one below twice."""
    value = core
    for _ in range(levels):
        value = [value, value]
    return value


def walks(value: object, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return how many containers a copy looks into."""
    seen: list[object] = []
    real = Copier._container

    def counted(copier: Copier, value: Any, where: Any, above: tuple[int, ...]) -> Any:
        seen.append(value)
        return real(copier, value, where, above)

    monkeypatch.setattr(Copier, "_container", counted)
    try:
        Copier().copy(value, None, ())
    except CanonicalJsonError as error:
        assert "so often" in error.reason  # noqa: PT017 - refused or not, it is the walk that counts
    return len(seen)


@pytest.mark.parametrize("core", [[0], {"a": (1, 2)}, ["x" * 10_000], ()])
def test_what_doubles_at_each_level_is_refused_without_walking_it(core: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """In as many looks as there are containers, were they written out they would be 2**100."""
    assert walks(doubling(100, core), monkeypatch) <= 102
    with pytest.raises(CanonicalJsonError, match="keep each of them once"):
        canonical_json(doubling(100, core))


def test_a_row_that_stands_in_many_places_is_written_in_each() -> None:
    """Sharing is honest as long as the whole has a size; an odd item takes the slow path."""
    row = {"b": (1, 2), "a": [{"é": 1.0}]}
    plain = {"b": [1, 2], "a": [{"é": 1}]}
    assert canonical_json([row] * 5_000) == canonical_json([dict(plain) for _ in range(5_000)])
    assert canonical_json({"x": row, "y": [row, {"z": row}]}) == canonical_json({"x": plain, "y": [plain, {"z": plain}]})


def test_what_never_repeats_has_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many small lists there are: only what stands somewhere again counts against the limit."""
    monkeypatch.setattr(exact_copy, "_MAX_REPEATED", 100)
    assert Copier().copy([(number, "x" * 50) for number in range(1_000)], None, ()) == [[n, "x" * 50] for n in range(1_000)]
    once = ("x" * 50,)
    assert len(canonical_json([once, once])) > 100
    with pytest.raises(CanonicalJsonError, match="so often"):
        canonical_json([once, once, once, once])


def test_texts_count_by_their_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of one long text, held a few times, is as large as many short ones; keys are texts."""
    monkeypatch.setattr(exact_copy, "_MAX_REPEATED", 1_000)
    with pytest.raises(CanonicalJsonError, match="so often"):
        canonical_json([("x" * 990,)] * 3)
    shared = {"k" * 990: ()}
    with pytest.raises(CanonicalJsonError, match="so often"):
        canonical_json([shared, shared, shared])


def test_a_copy_that_serves_again_keeps_the_limit_of_levels() -> None:
    """First met near the top, it may stand too deep at its second place."""
    tall: Any = ()
    for _ in range(MAX_DEPTH - 2):
        tall = [tall]
    canonical_json([tall, tall])
    with pytest.raises(CanonicalJsonError, match="too deep"):
        canonical_json([tall, [tall]])
    with pytest.raises(CanonicalJsonError, match="too deep"):
        canonical_json([tall, [[tall, ()]]])


def test_levels_of_a_shared_part_count_in_what_holds_it() -> None:
    """A container made of one met before is as tall as that one is, and counts so when it is met again."""
    tall: Any = ()
    for _ in range(MAX_DEPTH - 4):
        tall = [tall]
    holder = [tall]
    canonical_json([tall, holder, [holder]])
    with pytest.raises(CanonicalJsonError, match="too deep"):
        canonical_json([tall, holder, [[[holder]]]])
