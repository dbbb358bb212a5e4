"""Only public addresses are reached, and what was checked is what is connected to."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest

from durum.errors import ConfigError, TransportError
from durum.transports.http_address import AddressGuard, is_public

if TYPE_CHECKING:
    from collections.abc import Sequence

PUBLIC = [
    *("93.184.216.34", "1.1.1.1", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.0.1.1", "198.20.0.1"),
    *("2606:4700::1111", "2a00::1", "2001:4860::8888"),
    *("::ffff:1.1.1.1", "2002:0101:0101::1", "64:ff9b::1.1.1.1"),  # a public IPv4 address inside
]
REFUSED = [
    *("127.0.0.1", "127.255.0.1", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
    "168.63.129.16",  # Azure's own address inside its machines
    *(
        "0.0.0.0",  # noqa: S104 - nothing is bound
        "0.1.2.3",
        "192.0.0.1",
        "192.0.0.200",
        "192.0.2.1",
        "192.88.99.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
    ),
    *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::2", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "100::1"),
    *("2001:db8::1", "3fff::1", "2001::1", "2001:10::1", "4000::1", "5f00::1", "64:ff9b:1::1.1.1.1"),
    *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "::127.0.0.1", "::ffff:0:127.0.0.1"),
    *("2002:7f00:0001::1", "2002:0a00:0001::1", "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1"),
    *("", "localhost", "1.1.1", "01.1.1.1", "example.com"),  # no address at all
]


class Answers:
    """A resolver that gives prepared answers in turn and counts the questions."""

    def __init__(self, *answers: Sequence[str] | OSError) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """Give the next answer."""
        self.asked.append((host, port))
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer


def resolved(guard: AddressGuard, host: str, port: int = 80) -> list[str]:
    """Return the addresses a guard lets through."""
    return list(asyncio.run(guard.addresses(host, port)))


def refused(guard: AddressGuard, host: str, port: int = 80) -> TransportError:
    """Return the error of a guard."""
    with pytest.raises(TransportError) as caught:
        resolved(guard, host, port)
    return caught.value


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address: str) -> None:
    """Addresses of the open internet are allowed, in every notation."""
    assert is_public(address)


@pytest.mark.parametrize("address", REFUSED)
def test_refused_addresses(address: str) -> None:
    """Every special range is refused, also hidden in an IPv6 address, and so is what is no address."""
    assert not is_public(address)


def test_a_rebinding_name_is_judged_each_time() -> None:
    """A name that is public first and private later is let through once, with the address that was judged."""
    guard = AddressGuard(resolve=Answers(["93.184.216.34"], ["127.0.0.1"]))
    assert resolved(guard, "rebind.test") == ["93.184.216.34"]
    error = refused(guard, "rebind.test")
    assert error.transport_code == "address_refused"
    assert not error.retryable
    assert str(error) == (
        "rebind.test:80 leads to 127.0.0.1, which is not a public address; add 'rebind.test:80' to private_hosts to allow it"
    )


def test_one_private_answer_spoils_all() -> None:
    """A name with a private address among public ones is refused; repeated answers are one."""
    assert refused(AddressGuard(resolve=Answers(["1.1.1.1", "10.0.0.1"])), "mixed.test").transport_code == "address_refused"
    assert resolved(AddressGuard(resolve=Answers(["1.1.1.1", "1.0.0.1", "1.1.1.1"])), "two.test") == ["1.1.1.1", "1.0.0.1"]


@pytest.mark.parametrize("answer", [[], socket.gaierror(-2, "Name or service not known")])
def test_a_name_without_address_may_be_tried_again(answer: Any) -> None:
    """A resolver may be away for a moment; nothing was sent."""
    error = refused(AddressGuard(resolve=Answers(answer)), "none.test")
    assert error.transport_code == "http_connect"
    assert error.retryable
    assert error.details == {"request_sent": False}


@pytest.mark.parametrize(
    ("entry", "host", "port", "allowed"),
    [
        ("db.test", "db.test", 80, True),
        ("db.test", "DB.test.", 5000, True),
        ("DB.Test:81", "db.test", 81, True),
        ("db.test:81", "db.test", 80, False),
        ("db.test", "x.db.test", 80, False),
        ("10.0.0.1", "db.test", 80, False),  # the list names hosts of URLs, not what they resolve to
        ("10.0.0.1:80", "10.0.0.1", 80, True),
        ("::1", "::1", 80, True),
        ("[::1]", "::1", 80, True),
        ("[::1]:81", "::1", 81, True),
        ("[0:0::1]:81", "::1", 81, True),
        ("::1", "0:0:0:0:0:0:0:1", 80, True),
        ("xn--bcher-kva.test", "xn--bcher-kva.test", 80, True),
        ("127.0.0.1", "::ffff:127.0.0.1", 80, False),
        ("[::1]:81", "::1", 80, False),
    ],
)
def test_private_hosts_are_matched_exactly(entry: str, host: str, port: int, *, allowed: bool) -> None:
    """An entry allows one host, on every port or on one."""
    guard = AddressGuard([entry], Answers(["10.0.0.1"]))
    if allowed:
        assert resolved(guard, host, port) == ["10.0.0.1"]
    else:
        assert refused(guard, host, port).transport_code == "address_refused"


WRONG_ENTRIES = [
    "http://db.test",
    "db.test:",
    "db.test:x",
    ":80",
    "db.test/x",
    "*",
    "*.db.test",
    "10.0.0.0/8",
    "b\u00fccher.test",
]


@pytest.mark.parametrize("entries", ["db.test", [""], ["u@db.test"], ["db test"], *[[entry] for entry in WRONG_ENTRIES]])
def test_wrong_entries_are_refused(entries: Any) -> None:
    """A list that could not match anything, or would match by accident, is an error at once."""
    with pytest.raises(ConfigError):
        AddressGuard(entries)


def test_the_system_resolver_is_the_default() -> None:
    """Notations that only the system's resolver understands are judged by what it makes of them."""
    for host in ("localhost", "127.1", "2130706433", "0x7f.1", "0"):
        assert refused(AddressGuard(), host).transport_code in {"address_refused", "http_connect"}
    assert resolved(AddressGuard(["localhost"]), "localhost")[0] in {"127.0.0.1", "::1"}
