"""How long a sign of life counts, for the worker itself and for everyone else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from durum.core.lease import Lease

LEASE = Lease("boot", beat_ns=1_000, length_ns=300)
moments = st.integers(0, 2**63)


def test_a_worker_stops_well_before_it_is_taken_for_hung() -> None:
    """It may act for two thirds of the lease; the others wait for all of it."""
    assert [LEASE.held(1_000 + after) for after in (0, 200, 201, 10_000)] == [True, True, False, False]
    assert [LEASE.lapsed(1_000 + after, "boot") for after in (0, 300, 301, 10_000)] == [False, False, True, True]


def test_a_beat_of_another_boot_says_nothing() -> None:
    """Monotonic time begins anew with each; a system that does not tell its boots apart judges nobody."""
    assert not LEASE.lapsed(10_000, "another")
    assert not Lease("", beat_ns=1_000, length_ns=300).lapsed(10_000, "")


@given(beat=moments, now=moments, length=st.integers(1, 2**40))
def test_nobody_is_taken_for_hung_who_may_still_act(beat: int, now: int, length: int) -> None:
    """Whatever the clock says, a beat of the future included."""
    lease = Lease("boot", beat, length)
    assert not (lease.held(now) and lease.lapsed(now, "boot"))
