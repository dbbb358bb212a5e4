"""How an author asks for further attempts of a step."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import msgspec

from durum.core.config import Backoff, ExponentialBackoff, FixedBackoff, RetryPolicy
from durum.errors import ConfigError

LONGEST_DELAY = timedelta(days=10_000)


class Retry(msgspec.Struct, frozen=True):
    """``attempts`` in all, the first included; ``on`` names the exceptions worth another try.

    ``backoff`` "exponential" doubles ``delay`` up to ``max_delay``, "fixed" keeps it. ``jitter`` is the widest share (0 to 1)
    chance adds or takes; it is drawn before the cap and recorded. The wait survives a restart.
    """

    attempts: int = 3
    on: tuple[type[BaseException], ...] = (Exception,)
    backoff: Literal["exponential", "fixed"] = "exponential"
    delay: timedelta = timedelta(milliseconds=500)
    max_delay: timedelta = timedelta(seconds=30)
    jitter: float = 0.25

    def __post_init__(self) -> None:
        wrong = _wrong_type(self.attempts, self.on, (self.delay, self.max_delay), self.jitter)
        if wrong is not None:
            raise ConfigError(wrong)
        if self.backoff not in {"exponential", "fixed"}:
            raise ConfigError(f"backoff is 'exponential' or 'fixed', not {self.backoff!r}")
        if self.delay < timedelta(0) or self.max_delay < timedelta(0):
            raise ConfigError("a retry delay cannot be negative")
        if max(self.delay, self.max_delay) > LONGEST_DELAY:
            raise ConfigError(f"a retry delay is at most {LONGEST_DELAY.days:,} days")
        if self.backoff == "exponential" and self.delay > self.max_delay:
            raise ConfigError(f"the delay of {self.delay} is longer than max_delay, {self.max_delay}; raise max_delay too")
        self.policy()

    def policy(self) -> RetryPolicy:
        """Return the policy a plan stores."""
        delay = round(self.delay.total_seconds() * 1000)
        longest = round(self.max_delay.total_seconds() * 1000)
        backoff: Backoff = ExponentialBackoff(delay, longest) if self.backoff == "exponential" else FixedBackoff(delay)
        return RetryPolicy(self.attempts, backoff, self.jitter)


def _wrong_type(attempts: object, on: object, delays: tuple[object, ...], jitter: object) -> str | None:
    """Return what cannot be meant, for these words are typed by people."""
    if not isinstance(attempts, int) or isinstance(attempts, bool):
        return f"attempts is a number, not {attempts!r}"
    kinds = on if isinstance(on, tuple) else (on,)
    if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
        return f"on is a tuple of exception classes, such as on=(TimeoutError,), not {on!r}"
    if not all(isinstance(delay, timedelta) for delay in delays):
        return "a retry delay is a timedelta, such as delay=timedelta(seconds=2)"
    if not isinstance(jitter, int | float):
        return f"jitter is a share from 0 to 1, not {jitter!r}"
    return None
