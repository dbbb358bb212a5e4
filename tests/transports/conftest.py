"""Fixtures of the HTTP tests."""

from __future__ import annotations

from tests.transports.http_servers import server

__all__ = ["server"]
