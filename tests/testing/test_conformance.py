"""The suite for stores finds every store that is wrong, and each of its tests finds one."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from durum.stores.memory import MemoryBackend
from durum.testing.conformance import StoreConformance
from tests.testing import broken_contents, broken_owners, broken_streams
from tests.testing.broken_stores import BROKEN, BrokenStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from durum.engine.engine import Store

TESTS = sorted(name for name in dir(StoreConformance) if name.startswith("test_"))


class Trial(StoreConformance):
    """The suite over handles of one class."""

    def __init__(self, kind: type[BrokenStore]) -> None:
        self.kind = kind
        self.backend = MemoryBackend()

    @asynccontextmanager
    async def handles(self) -> AsyncIterator[Sequence[Store]]:
        """Open two workers in one process."""
        self.backend = MemoryBackend()
        yield self.kind(self.backend), self.kind(self.backend)

    async def damage(self, artifact_id: str) -> bool:
        """Change the bytes in the dict."""
        self.backend.artifacts[artifact_id] = b"damaged"
        return True


def findings(kind: type[BrokenStore]) -> frozenset[str]:
    """Return the names of the tests that a store fails."""
    found = set()
    for name in TESTS:
        try:
            getattr(Trial(kind), name)()
        except Exception:  # noqa: BLE001 - whatever a broken store does is a finding
            found.add(name)
    return frozenset(found)


def test_a_store_without_a_fault_passes() -> None:
    """What the broken ones are made of keeps the contract, so each finding is the fault's."""
    assert findings(BrokenStore) == frozenset()


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_every_fault_is_found(kind: type[BrokenStore]) -> None:
    """A store with one fault fails at least one test."""
    assert findings(kind), kind.__doc__


def test_the_broken_stores_are_all_here() -> None:
    """Each module of them was loaded."""
    assert {broken_contents.__name__, broken_owners.__name__, broken_streams.__name__} < {kind.__module__ for kind in BROKEN}


def test_every_test_can_fail() -> None:
    """No test of the suite passes whatever the store does."""
    assert sorted(set(TESTS) - set().union(*map(findings, BROKEN))) == []


def test_the_tests_are_told_apart() -> None:
    """A runner sees plain methods with a name and a docstring each."""
    assert len(TESTS) > 30
    for name in TESTS:
        method = getattr(StoreConformance, name)
        assert (method.__name__, method.__code__.co_argcount) == (name, 1)
        assert method.__doc__
