"""How long a failed state waits before it is tried again."""

from __future__ import annotations

from durum.core.config import ExponentialBackoff, RetryPolicy

MILLION = 1_000_000
_MAX_SHIFT = 31  # as in the seed: beyond it every sensible cap is long reached


def jitter_ppm(policy: RetryPolicy, uniform: float) -> int:
    """Return the share chance adds to a delay, in parts per million; ``uniform`` is drawn from [0, 1)."""
    return round((2 * uniform - 1) * policy.jitter * MILLION)


def delay_ms(policy: RetryPolicy, retry: int, jitter: int) -> int:
    """Return the delay before 0-based ``retry``: the jitter comes first, the cap last, so no delay exceeds the cap."""
    match policy.backoff:
        case ExponentialBackoff(base_delay_ms, max_delay_ms):
            grown = base_delay_ms << min(retry, _MAX_SHIFT)
            return min(_jittered(grown, jitter), max_delay_ms)
        case fixed:
            return _jittered(fixed.delay_ms, jitter)


def _jittered(delay: int, jitter: int) -> int:
    return max(0, delay + delay * jitter // MILLION)
