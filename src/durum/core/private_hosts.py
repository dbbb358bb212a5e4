"""Hosts a workflow may reach although their addresses are private, as people write them."""

from __future__ import annotations

import re
from ipaddress import ip_address

from durum.errors import ConfigError

_HOST = re.compile(r"[a-z0-9._:-]+", re.IGNORECASE)


def plain_host(host: str) -> str:
    """Return the one spelling of a host: lowercase, no dot at the end, an IPv6 address as short as it goes."""
    name = host.lower().rstrip(".")
    try:
        return ip_address(name).compressed
    except ValueError:
        return name


def private_host(entry: str) -> tuple[str, int | None]:
    """Parse ``host``, ``host:port``, ``[v6]``, ``[v6]:port`` or a bare v6 address."""
    if entry.count(":") > 1 and not entry.startswith("["):
        host, port = entry, ""
    elif entry.startswith("["):
        host, _, port = entry[1:].partition("]")
        port = port.removeprefix(":")
    else:
        host, _, port = entry.partition(":")
    if not _HOST.fullmatch(host) or (port and not (port.isascii() and port.isdigit())) or entry.endswith(":"):
        raise ConfigError(
            f"private host {entry!r} must be one host or host:port, without scheme, path or wildcard, and an international "
            "name in its xn-- form"
        )
    return plain_host(host), int(port) if port else None
