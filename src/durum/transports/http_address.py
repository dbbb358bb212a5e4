"""Decide which network addresses a request may reach; a name is resolved once and the connection goes to that answer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING

from durum.core.private_hosts import plain_host, private_host
from durum.errors import ConfigError, TransportError

if TYPE_CHECKING:
    from collections.abc import Collection

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]  # (host, port) -> its IP addresses, best first; OSError if none

# IANA special-purpose registries, and the one public address that a cloud (Azure) answers on inside its machines.
# Written out: what `ipaddress` calls global differs between Python releases.
_REFUSED_V4 = tuple(
    IPv4Network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
)
_PUBLIC_V6 = IPv6Network("2000::/3")
_REFUSED_V6 = tuple(IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "3fff::/20"))
_NAT64 = IPv6Network("64:ff9b::/96")


async def system_resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses the system's resolver gives for ``host``."""
    answers = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(answer[4][0]) for answer in answers]


def is_public(address: str) -> bool:
    """Tell whether an IP address is one of the open internet; an IPv4 address inside an IPv6 one is judged by itself."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address):
        inner = _embedded(parsed)
        if inner is None:
            return parsed in _PUBLIC_V6 and not any(parsed in network for network in _REFUSED_V6)
        parsed = inner
    return not any(parsed in network for network in _REFUSED_V4)


def _embedded(address: IPv6Address) -> IPv4Address | None:
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


class AddressGuard:
    """Resolves hosts and refuses what is not public, except ``private_hosts``: ``"host"`` (any port) or ``"host:port"``.

    The names are those of URLs: an address in the list allows URLs with that address, not names that resolve to it.
    """

    def __init__(self, private_hosts: Collection[str] = (), resolve: Resolve | None = None) -> None:
        if isinstance(private_hosts, str):
            raise ConfigError(f"private_hosts must be a collection of hosts, not the string {private_hosts!r}")
        self._private = frozenset(private_host(entry) for entry in private_hosts)
        self._resolve = resolve or system_resolve

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """Return the addresses to connect to, best first; every one of them is allowed.

        Raises:
            TransportError: ``address_refused``, or ``http_connect`` (retryable) if the name does not resolve.
        """
        try:
            found = list(dict.fromkeys(await self._resolve(host, port)))
        except (OSError, UnicodeError):
            found = []
        if not found:
            raise TransportError(
                f"host {host} does not resolve to an address; check its name and the network",
                code="http_connect",
                retryable=True,
                details={"request_sent": False},
            )
        if not self._private.isdisjoint({(plain_host(host), None), (plain_host(host), port)}):
            return found
        refused = next((address for address in found if not is_public(address)), None)
        if refused is not None:
            raise TransportError(
                f"{_joined(host, port)} leads to {refused}, which is not a public address; "
                f"add {_joined(host, port)!r} to private_hosts to allow it",
                code="address_refused",
                details={"host": host, "port": port, "address": refused, "request_sent": False},
            )
        return found


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
