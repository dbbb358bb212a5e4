"""Call HTTP servers, public ones by default (namespace ``http``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durum.transports.http_address import AddressGuard, Resolve

if TYPE_CHECKING:
    from collections.abc import Collection

    from durum.core.canonical import JsonObject
    from durum.ports import TransportCall
    from durum.transports.http_exchange import HttpClient


class HttpTransport:
    """Sends one HTTP/1.1 request per call, over a connection pinned to an address that was checked.

    Request: ``{"method": str, "url": str, "headers"?: {name: str | {"$secret": NAME, "prefix"?: str}}, "body"?: payload |
    {"json": value}, "timeout_ms"?: int, "max_body_bytes"?: int, "follow_redirects"?: bool}``; the time is for the whole
    exchange, the size is the body's after decompression. An effect's key goes out as ``Idempotency-Key`` unless the request
    sets one.
    Outcome: ``{"status": int, "url": str, "headers": [[name, value], ...], "body": payload}`` for every response, also 4xx and
    5xx. Names are lowercase; cookies are neither kept nor reported. A redirect is a request checked anew: only http and https,
    its address judged again, and to another origin without secrets and headers whose names speak of credentials.

    Error codes: ``invalid_request``, ``address_refused``, ``http_tls`` and ``http_connect`` (retryable), all before anything
    was sent; ``http_connection_lost`` and ``http_timeout`` (both retryable), ``http_too_large``, ``http_decoding``, and
    ``http_redirect``: a redirect led nowhere, ``details["cause"]`` may say why. ``details["request_sent"]`` tells whether a
    receiver may have seen a request.
    """

    def __init__(self, private_hosts: Collection[str] = (), resolve: Resolve | None = None) -> None:
        self._guard = AddressGuard(private_hosts, resolve)
        self._client: HttpClient | None = None

    async def call(self, request: JsonObject, call: TransportCall) -> JsonObject:
        """Send the request and return the response; raise ``TransportError`` if there is none."""
        # httpx takes 0.1 s to import, which replay and the command line need not pay.
        from durum.transports.http_exchange import HttpClient  # noqa: PLC0415
        from durum.transports.http_request import parse_request  # noqa: PLC0415

        if self._client is None:
            self._client = HttpClient(self._guard)
        return await self._client.perform(parse_request(request, call))

    async def close(self) -> None:
        """Forget the client; no connection outlives its call."""
        self._client = None
