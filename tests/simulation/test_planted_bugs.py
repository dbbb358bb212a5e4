"""A checker that finds nothing proves nothing: twelve bugs, each planted as a faulty double, are found."""

from __future__ import annotations

import pytest

from tests.simulation.planted import PLANTED
from tests.simulation.simulation import simulate

MOST_SEEDS = 1000


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found(bug: str) -> None:
    """Within 1,000 seeds, under its own name; in the very same world the sound system passes, as it does in all the others."""
    planted = PLANTED[bug]
    for seed in range(MOST_SEEDS):
        findings = simulate(seed, planted.doubles).findings
        if any(planted.finding in finding for finding in findings):
            assert simulate(seed).findings == []
            return
    pytest.fail(f"{bug}: not found in {MOST_SEEDS} worlds")


def test_all_twelve_are_planted() -> None:
    """None of the list is left out, and the one that names two faults has two doubles."""
    assert {int(bug.split()[0]) for bug in PLANTED} == set(range(1, 13))
    assert len(PLANTED) == 13
