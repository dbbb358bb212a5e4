"""A Retry says how often, how long and for what; one that cannot be meant is refused where it is written."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from durum import Retry
from durum.core.config import ExponentialBackoff, FixedBackoff
from durum.errors import ConfigError

SECOND = timedelta(seconds=1)

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"attempts": 0}, "a retry policy needs at least 1 attempt, not 0"),
    ({"attempts": -1}, "at least 1 attempt, not -1"),
    ({"attempts": "3"}, "attempts is a number, not '3'"),
    ({"attempts": 2.5}, "attempts is a number, not 2.5"),
    ({"attempts": True}, "attempts is a number, not True"),
    ({"jitter": 1.5}, "jitter is a share from 0 to 1, not 1.5"),
    ({"jitter": -0.1}, "jitter is a share from 0 to 1, not -0.1"),
    ({"jitter": float("nan")}, "jitter is a share from 0 to 1, not nan"),
    ({"jitter": "half"}, "jitter is a share from 0 to 1, not 'half'"),
    ({"backoff": "linear"}, "backoff is 'exponential' or 'fixed', not 'linear'"),
    ({"delay": 5}, "a retry delay is a timedelta, such as delay=timedelta(seconds=2)"),
    ({"max_delay": 5.0}, "a retry delay is a timedelta"),
    ({"delay": -SECOND}, "a retry delay cannot be negative"),
    ({"delay": timedelta.max, "max_delay": timedelta.max}, "a retry delay is at most 10,000 days"),
    ({"delay": 60 * SECOND}, "the delay of 0:01:00 is longer than max_delay, 0:00:30; raise max_delay too"),
    ({"on": [ValueError]}, "on is a tuple of exception classes, such as on=(TimeoutError,), not [<class 'ValueError'>]"),
    ({"on": ("ValueError",)}, "on is a tuple of exception classes"),
    ({"on": (ValueError("x"),)}, "on is a tuple of exception classes"),
    ({"on": int}, "on is a tuple of exception classes"),
]


@pytest.mark.parametrize(("wrong", "reason"), WRONG)
def test_a_wrong_value_is_refused_at_once(wrong: dict[str, Any], reason: str) -> None:
    """When the file is loaded, not when the first step fails."""
    with pytest.raises(ConfigError) as caught:
        Retry(**wrong)
    assert reason in str(caught.value)


def test_durations_become_milliseconds() -> None:
    """The stored policy counts as the log does."""
    policy = Retry(attempts=4, delay=SECOND, max_delay=8 * SECOND, jitter=0).policy()
    assert (policy.max_attempts, policy.backoff, policy.jitter) == (4, ExponentialBackoff(1000, 8000), 0)
    assert Retry(backoff="fixed", delay=timedelta(minutes=5)).policy().backoff == FixedBackoff(300_000)
    assert Retry(delay=timedelta(0), max_delay=timedelta(0)).policy().backoff == ExponentialBackoff(0, 0)


def test_one_class_will_do_for_on() -> None:
    """As ``except`` takes one class or a tuple of them."""
    lone: Any = TimeoutError
    assert Retry(on=lone).on == lone
    assert Retry(on=(TimeoutError, ValueError)).on == (TimeoutError, ValueError)
