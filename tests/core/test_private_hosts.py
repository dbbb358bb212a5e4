"""Hosts as people write them come to one form, and what is no host is refused."""

from __future__ import annotations

import pytest

from durum.core.private_hosts import plain_host, private_host
from durum.errors import ConfigError


@pytest.mark.parametrize(
    ("entry", "parsed"),
    [
        ("db.test", ("db.test", None)),
        ("DB.Test.:81", ("db.test", 81)),
        ("127.0.0.1:8871", ("127.0.0.1", 8871)),
        ("0:0::1", ("::1", None)),
        ("[::1]", ("::1", None)),
        ("[0:0::1]:81", ("::1", 81)),
    ],
)
def test_a_host_has_one_spelling(entry: str, parsed: tuple[str, int | None]) -> None:
    """With a port or without, an address of either kind too."""
    assert private_host(entry) == parsed
    assert plain_host(parsed[0]) == parsed[0]


@pytest.mark.parametrize(
    "entry", ["", "http://127.0.0.1:8871/", "db.test:", ":80", "db.test/x", "*.test", "db test", "bücher.test"]
)
def test_what_is_no_host_is_refused(entry: str) -> None:
    """It could match nothing, or by accident; the message says what to give."""
    with pytest.raises(ConfigError, match="must be one host or host:port, without scheme, path or wildcard"):
        private_host(entry)
