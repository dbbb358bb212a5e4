"""Fact keys, what binds for how long, and outcomes as they are kept."""

from __future__ import annotations

from typing import Any

import pytest

from durum.core.canonical import canonical_json, decode_json
from durum.core.events import FactRecorded, FactScope
from durum.core.facts import (
    FactIndex,
    KeyMaker,
    check_effect,
    checked_request,
    checked_value,
    error_bytes,
    explicit_key,
    index_facts,
    outcome,
    success_bytes,
    used_digest,
)
from durum.core.state import IoCall
from durum.errors import ConfigError, InvalidIdError, IoError, RateLimitedError, SecretsDetectedError, TransportError
from tests.core.handmade import ONE, ZERO, Log, shape


def fact(payload: str, scope: FactScope = "run", key: str = "k") -> FactRecorded:
    """Return a fact."""
    return FactRecorded(key=key, namespace="x", outcome="success", payload_id=payload, scope=scope)


def test_keys_count_equal_requests_within_an_attempt() -> None:
    """State, namespace, request and which time it is made; a new attempt counts anew."""
    keys = KeyMaker("p.a.main")
    made = [keys.key("x", ZERO), keys.key("x", ZERO), keys.key("y", ZERO), keys.key("x", ONE)]
    assert made == [f"p.a.main|x|{ZERO}|0", f"p.a.main|x|{ZERO}|1", f"p.a.main|y|{ZERO}|0", f"p.a.main|x|{ONE}|0"]
    assert KeyMaker("p.a.main").key("x", ZERO) == made[0]


def test_explicit_keys_never_meet_derived_ones() -> None:
    """They may not hold the separator, and follow the pattern of keys."""
    assert explicit_key("a/b:1") == "a/b:1"
    for bad in ("a|b", "two words", "", "x" * 513, "é"):
        with pytest.raises(InvalidIdError):
            explicit_key(bad)


def test_the_first_binding_wins_and_attempts_keep_to_themselves() -> None:
    """A success of scope "run" is seen by every attempt of every state that asks for its key, anything else by its own."""
    index = FactIndex()
    index.add(fact("1" * 64, "attempt"), "p.a.main", 0)
    assert index.find("k", "p.a.main", 1) is None
    assert index.find("k", "p.b.main", 0) is None
    index.add(fact("2" * 64), "p.a.main", 1)
    index.add(fact("3" * 64), "p.a.main", 2)
    assert [index.find("k", state, number) for state, number in (("p.a.main", 0), ("p.b.main", 9))] == [fact("2" * 64)] * 2
    log = Log(shape({"a": ""})).enter("a").fact("a", "k").fact("a", "only", scope="attempt")
    found = index_facts(log.envelopes)
    assert (found.find("k", "p.z.main", 5) is not None, found.find("only", "p.a.main", 1)) == (True, None)


def test_a_success_comes_back_as_json() -> None:
    """What the author sees is the recorded form."""
    assert outcome(success_bytes({"b": 1.0, "a": (1, 2)})) == {"a": [1, 2], "b": 1}
    assert outcome(success_bytes(None)) is None


@pytest.mark.parametrize(
    "error",
    [
        TransportError("m", code="odd", retryable=True, details={"a": 1}),
        TransportError("m"),
        RateLimitedError("slow", details={"retry_after_ms": 5}),
    ],
)
def test_an_error_comes_back_as_it_was(error: TransportError) -> None:
    """Class, code, message, details and whether to retry."""
    details: Any = error.details
    with pytest.raises(type(error)) as caught:
        outcome(error_bytes(error, details))
    found = caught.value
    assert (found.transport_code, found.message, found.retryable, found.details) == (
        error.transport_code,
        error.message,
        error.retryable,
        error.details,
    )


def test_requests_are_checked_before_anything_happens() -> None:
    """The artifact names namespace and request; bad names, unknown ``keep`` and secrets are refused."""
    assert decode_json(checked_request(IoCall("x", {"b": 1}))) == {"namespace": "x", "request": {"b": 1}}
    for bad in ("", "a b", "a|b", "x" * 65, "é", 7):
        with pytest.raises(ConfigError):
            checked_request(IoCall(bad, {}))  # type: ignore[arg-type]
    with pytest.raises(ConfigError):
        checked_request(IoCall("x", {}, keep="later"))
    with pytest.raises(SecretsDetectedError):
        checked_request(IoCall("x", {"token": "ghp_" + "a1B2" * 9}))
    with pytest.raises(SecretsDetectedError):
        checked_value("k", {"password": "0123456789abcdef"})
    assert checked_value("k", [1]) == canonical_json({"ok": [1]})


def test_an_effect_needs_a_state_that_declares_one() -> None:
    """The message names the state and what to declare."""
    call = IoCall("x", {}, read=False)
    check_effect(call, "p.a.main", applies_effects=True)
    with pytest.raises(IoError, match=r"p\.a\.main only reads.*apply_side_effect"):
        check_effect(call, "p.a.main", applies_effects=False)


def test_the_digest_of_used_facts_is_that_of_the_set() -> None:
    """Order of use does not matter; no facts have no digest."""
    assert used_digest({"a": ZERO, "b": ONE}) == used_digest({"b": ONE, "a": ZERO})
    assert used_digest({"a": ONE, "b": ZERO}) != used_digest({"a": ZERO, "b": ONE})
    assert used_digest({}) is None
