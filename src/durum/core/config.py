"""How a run is executed: policies fixed in its manifest (seed 002, ``config``)."""

from __future__ import annotations

from difflib import get_close_matches
from enum import StrEnum
from fnmatch import fnmatchcase

import msgspec

from durum.errors import ConfigError


class IoMode(StrEnum):
    """Whether calls go out or are answered from the record."""

    LIVE = "live"
    REPLAY = "replay"


class ContextCheckpointing(StrEnum):
    """When a snapshot becomes durable; every state boundary is the only policy that needs no replay on resume."""

    AFTER_EVERY_STATE = "after_every_state"


class FixedBackoff(msgspec.Struct, frozen=True, tag_field="kind", tag="fixed"):
    """The same delay before every retry."""

    delay_ms: int


class ExponentialBackoff(msgspec.Struct, frozen=True, tag_field="kind", tag="exponential"):
    """``base_delay_ms * 2**k`` before retry ``k`` (0-based), never more than ``max_delay_ms``."""

    base_delay_ms: int
    max_delay_ms: int


Backoff = FixedBackoff | ExponentialBackoff


class RetryPolicy(msgspec.Struct, frozen=True):
    """How often a failed state is tried again, and how long it waits before.

    ``jitter`` is the widest share of a delay that chance adds or takes away (0 to 1); it is drawn before the cap.
    """

    max_attempts: int = 3  # in all, the first included
    backoff: Backoff = ExponentialBackoff(base_delay_ms=500, max_delay_ms=30_000)
    jitter: float = 0.25

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            message = f"a retry policy needs at least 1 attempt, not {self.max_attempts}"
            raise ConfigError(message)
        if not 0 <= self.jitter <= 1:
            message = f"jitter is a share from 0 to 1, not {self.jitter}"
            raise ConfigError(message)


NO_RETRY = RetryPolicy(max_attempts=1, backoff=FixedBackoff(delay_ms=0), jitter=0.0)

EVENT_PROFILES = ("minimal", "normal", "verbose")
_NO_PLAIN_WORD = frozenset("*?[._,")


def _refuse_no_text(name: str, value: object) -> None:
    """Refuse a setting that is no text, or that UTF-8 cannot hold, as an argument in another encoding."""
    if not issubclass(type(value), str):
        message = f"{name} must be text, not of type {type(value).__name__}"
        raise ConfigError(message)
    try:
        str.encode(value)  # type: ignore[arg-type]
    except UnicodeEncodeError as error:
        message = f"{name} must be UTF-8 text; character {error.start + 1} of it is not"
        raise ConfigError(message) from error


class RunConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Execution policy of one run. ``max_concurrency`` 1 is the seed's Sequential, more its FanOutJoin.

    An ``event_profile`` that is none of the three words is names of events. ``check_profile`` tells a name from a slip; a
    record that holds one is read all the same.
    """

    io_mode: IoMode = IoMode.LIVE
    retry_policy: RetryPolicy = RetryPolicy()
    event_profile: str = "normal"  # minimal, normal, verbose, or comma-separated names and globs of domain events
    max_concurrency: int = 8
    context_checkpointing: ContextCheckpointing = ContextCheckpointing.AFTER_EVERY_STATE
    replay_missing_fact_retryable: bool = False
    skip_tags: tuple[str, ...] = ()
    fail_fast: bool = False

    def __post_init__(self) -> None:
        if self.max_concurrency < 1:
            message = f"max_concurrency must be at least 1, not {self.max_concurrency}"
            raise ConfigError(message)
        _refuse_no_text("event_profile", self.event_profile)
        if not issubclass(type(self.skip_tags), tuple | list):
            raise ConfigError("skip_tags must be a tuple of tags")
        for tag in self.skip_tags:
            _refuse_no_text("each of skip_tags", tag)
        if not self.event_profile.strip():
            message = f"event_profile must be one of {', '.join(EVENT_PROFILES)} or names and globs of events"
            raise ConfigError(message)

    def check_profile(self) -> None:
        """Refuse a profile that is one of the three words misspelt: it would keep only events of that name."""
        if self.event_profile in EVENT_PROFILES or not _NO_PLAIN_WORD.isdisjoint(self.event_profile):
            return
        close = get_close_matches(self.event_profile, EVENT_PROFILES, n=1, cutoff=0.8)
        if close:
            raise ConfigError(
                f"event_profile {self.event_profile!r} is none of {', '.join(EVENT_PROFILES)}; did you mean {close[0]!r}? "
                f"Names of events can be given as globs, such as '{self.event_profile}*'"
            )

    def keeps_domain_event(self, name: str, *, verbose: bool) -> bool:
        """Tell whether a step's event enters the log under this profile."""
        match self.event_profile:
            case "minimal":
                return False
            case "normal":
                return not verbose
            case "verbose":
                return True
            case globs:
                return any(fnmatchcase(name, glob.strip()) for glob in globs.split(","))
