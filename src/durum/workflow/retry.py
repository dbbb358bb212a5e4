"""How an author asks for further attempts of a step."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import msgspec

from durum.core.config import Backoff, ExponentialBackoff, FixedBackoff, RetryPolicy
from durum.errors import ConfigError


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
        if self.backoff not in {"exponential", "fixed"}:
            message = f"backoff is 'exponential' or 'fixed', not {self.backoff!r}"
            raise ConfigError(message)
        if self.delay < timedelta(0) or self.max_delay < timedelta(0):
            message = "a retry delay cannot be negative"
            raise ConfigError(message)

    def policy(self) -> RetryPolicy:
        """Return the policy a plan stores."""
        delay = round(self.delay.total_seconds() * 1000)
        longest = round(self.max_delay.total_seconds() * 1000)
        backoff: Backoff = ExponentialBackoff(delay, longest) if self.backoff == "exponential" else FixedBackoff(delay)
        return RetryPolicy(self.attempts, backoff, self.jitter)
