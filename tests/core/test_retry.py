"""How long a failed state waits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from durum.core.config import ExponentialBackoff, FixedBackoff, RetryPolicy
from durum.core.retry import MILLION, delay_ms, jitter_ppm


def test_exponential_waits_double_up_to_the_cap() -> None:
    """base, 2 base, 4 base ... and never more than the cap, however far it goes."""
    policy = RetryPolicy(9, ExponentialBackoff(100, 1_000), 0.0)
    assert [delay_ms(policy, retry, 0) for retry in (0, 1, 2, 3, 4, 40, 4_000)] == [100, 200, 400, 800, 1_000, 1_000, 1_000]


def test_fixed_waits_do_not_grow() -> None:
    """The same delay every time, jitter aside."""
    policy = RetryPolicy(9, FixedBackoff(70), 0.5)
    assert [delay_ms(policy, retry, 0) for retry in range(3)] == [70, 70, 70]
    assert [delay_ms(policy, 0, jitter) for jitter in (-MILLION, -500_000, 500_000, MILLION)] == [0, 35, 105, 140]


def test_jitter_spans_its_share_both_ways() -> None:
    """From all of the share less to all of it more; none if the policy has none."""
    policy = RetryPolicy(2, FixedBackoff(10), 0.25)
    assert [jitter_ppm(policy, uniform) for uniform in (0.0, 0.5, 0.75, 0.999_999_9)] == [-250_000, 0, 125_000, 250_000]
    assert jitter_ppm(RetryPolicy(2, FixedBackoff(10), 0.0), 0.9) == 0


@given(st.integers(0, 10**6), st.integers(0, 10**7), st.integers(0, 200), st.floats(0, 1), st.floats(0, 1, exclude_max=True))
def test_no_wait_is_negative_or_exceeds_the_cap(base: int, cap: int, retry: int, jitter: float, uniform: float) -> None:
    """Jitter comes before the cap."""
    policy = RetryPolicy(2, ExponentialBackoff(base, cap), jitter)
    assert 0 <= delay_ms(policy, retry, jitter_ppm(policy, uniform)) <= cap
