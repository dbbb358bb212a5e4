"""Policies: their defaults, their bounds, and which reports a profile keeps."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from durum.core.config import ExponentialBackoff, FixedBackoff, RetryPolicy, RunConfig
from durum.errors import ConfigError


def test_the_defaults_are_those_the_documentation_names() -> None:
    """Three attempts, half a second doubling to thirty, a quarter of jitter; eight at once; live; normal events."""
    config = RunConfig()
    assert config.retry_policy == RetryPolicy(3, ExponentialBackoff(500, 30_000), 0.25)
    assert (config.max_concurrency, config.io_mode, config.event_profile, config.fail_fast) == (8, "live", "normal", False)
    assert (config.skip_tags, config.replay_missing_fact_retryable) == ((), False)


@pytest.mark.parametrize("given", [{"max_attempts": 0}, {"max_attempts": -1}, {"jitter": -0.1}, {"jitter": 1.1}])
def test_a_retry_policy_out_of_range_is_refused(given: dict[str, float]) -> None:
    """Made in Python or read from a file."""
    with pytest.raises(ConfigError):
        RetryPolicy(**given)  # type: ignore[arg-type]
    with pytest.raises((ConfigError, msgspec.ValidationError)):
        msgspec.convert(given, RetryPolicy)


@pytest.mark.parametrize("given", [{"max_concurrency": 0}, {"event_profile": " "}, {"unknown": 1}, {"io_mode": "dry"}])
def test_a_run_config_out_of_range_is_refused(given: dict[str, object]) -> None:
    """Unknown fields included: a misspelt policy must not be silently the default."""
    with pytest.raises((ConfigError, msgspec.ValidationError)):
        msgspec.convert(given, RunConfig)


def test_a_config_comes_back_as_it_went() -> None:
    """Backoffs carry their kind."""
    config = RunConfig(retry_policy=RetryPolicy(2, FixedBackoff(7), 0.0), skip_tags=("a", "b"), event_profile="x*,y")
    assert msgspec.json.decode(msgspec.json.encode(config), type=RunConfig) == config
    assert b'"kind":"fixed"' in msgspec.json.encode(config)


@pytest.mark.parametrize(
    ("profile", "kept"),
    [
        ("minimal", [False, False, False]),
        ("normal", [True, False, True]),
        ("verbose", [True, True, True]),
        ("said", [True, False, False]),
        ("s?id , agent.*", [True, False, True]),
        ("Said", [False, False, False]),
    ],
)
def test_profiles_keep_what_they_say(profile: str, kept: list[bool]) -> None:
    """A list of names and globs decides by name alone, case included, and keeps verbose reports it names."""
    config = RunConfig(event_profile=profile)
    reports = [("said", False), ("detail", True), ("agent.said", False)]
    assert [config.keeps_domain_event(name, verbose=verbose) for name, verbose in reports] == kept


@pytest.mark.parametrize(
    ("profile", "meant"),
    [("nrmal", "normal"), ("Normal", "normal"), ("minmal", "minimal"), ("verbos", "verbose"), ("verbose ", "verbose")],
)
def test_a_misspelt_profile_is_told_from_a_name(profile: str, meant: str) -> None:
    """Where a run is asked for; a record that holds one is read all the same, and keeps what it kept."""
    config = msgspec.convert({"event_profile": profile}, RunConfig)
    with pytest.raises(ConfigError, match=rf"is none of minimal, normal, verbose; did you mean '{meant}'\?"):
        config.check_profile()
    assert not config.keeps_domain_event("said", verbose=False)


@pytest.mark.parametrize(
    "profile",
    ["minimal", "normal", "verbose", "said", "form", "nrmal*", "norm?l", "nor.mal", "nor_mal", "normal,verbos", "nrmal,"],
)
def test_what_is_no_slip_is_a_profile(profile: str) -> None:
    """Words far from all three, globs, and names no word of these could be."""
    RunConfig(event_profile=profile).check_profile()


@pytest.mark.parametrize(
    "given",
    [
        {"event_profile": 3},
        {"event_profile": "said,\udcff"},
        {"skip_tags": ("a", "\ud83d")},
        {"skip_tags": (1,)},
        {"skip_tags": "docs"},
    ],
)
def test_names_that_are_no_text_are_refused_where_they_are_given(given: dict[str, Any]) -> None:
    """Not when the manifest is written; one text is no list of tags, whatever its letters are."""
    with pytest.raises(ConfigError, match=rf"{next(iter(given))} must be .*text|skip_tags must be a tuple"):
        RunConfig(**given)
