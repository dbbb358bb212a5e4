"""Send one HTTP request and follow its redirects, each hop over a fresh connection to a checked address.

Connections are not kept: one that was verified for a host must never serve another host at the same address.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import httpx

from durum.errors import TransportError
from durum.transports.http_response import Reply

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Mapping

    from durum.core.canonical import JsonObject
    from durum.transports.http_address import AddressGuard
    from durum.transports.http_request import HttpRequest

_MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NOTHING_SENT = frozenset({"address_refused", "http_connect", "http_tls", "invalid_request"})
_NEXT_ADDRESS_S = 5.0  # how long an address may keep the ones after it waiting


@dataclass(slots=True)
class _Progress:
    """How far an exchange came; what a caller must know before it repeats an effect."""

    request_sent: bool = False  # True as soon as the receiver may have seen a byte of a request

    async def trace(self, event: str, _info: Mapping[str, object]) -> None:
        if event.endswith("send_request_headers.started"):
            self.request_sent = True


class HttpClient:
    """Performs checked requests; certificates are those of ``SSL_CERT_FILE`` / ``SSL_CERT_DIR`` or certifi's."""

    def __init__(self, guard: AddressGuard) -> None:
        self._guard = guard
        self._tls = httpx.create_ssl_context()

    async def perform(self, request: HttpRequest) -> JsonObject:
        """Return the outcome of the last response; raise ``TransportError`` if there is none within the limits."""
        progress = _Progress()
        try:
            async with asyncio.timeout(request.timeout_ms / 1000):
                return await self._follow(request, progress)
        except TimeoutError:
            raise TransportError(
                f"{request.label} did not end within {request.timeout_ms} ms; raise timeout_ms if it needs longer",
                code="http_timeout",
                retryable=True,
                details={"timeout_ms": request.timeout_ms, "request_sent": progress.request_sent},
            ) from None

    async def _follow(self, request: HttpRequest, progress: _Progress) -> JsonObject:
        for _ in range(_MAX_REDIRECTS + 1):
            try:
                answer = await self._hop(request, progress)
            except TransportError as error:
                raise _once_sent(error) if progress.request_sent else error from None
            if isinstance(answer, dict):
                return answer
            request = answer
        raise TransportError(
            f"{request.label} is one redirect more than the {_MAX_REDIRECTS} that are followed; call the final URL",
            code="http_redirect",
            details={"url": str(request.url), "request_sent": True},
        )

    async def _hop(self, request: HttpRequest, progress: _Progress) -> JsonObject | HttpRequest:
        addresses = await self._guard.addresses(request.host, request.port)
        failure: Exception = httpx.ConnectError("no address")
        for left, address in zip(reversed(range(len(addresses))), addresses, strict=True):
            try:
                return await self._send(request, address, progress, _NEXT_ADDRESS_S if left else None)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = error
            except (httpx.TransportError, httpx.InvalidURL) as error:
                raise _failure(request, error, progress) from None
        raise _failure(request, failure, progress)

    async def _send(
        self, request: HttpRequest, address: str, progress: _Progress, connect_s: float | None
    ) -> JsonObject | HttpRequest:
        message = httpx.Request(
            request.method,
            request.url.copy_with(host=address),
            headers=[(b"host", request.url.netloc), *((header.name.encode(), header.value) for header in request.headers)],
            content=request.body,
            extensions={
                "sni_hostname": request.host.rstrip("."),
                "timeout": {"connect": connect_s},
                "trace": progress.trace,
            },
        )
        async with httpx.AsyncHTTPTransport(verify=self._tls, trust_env=False) as transport:
            response = await transport.handle_async_request(message)
            try:
                return await _received(request, response)
            finally:
                await response.aclose()


async def _received(request: HttpRequest, response: httpx.Response) -> JsonObject | HttpRequest:
    reply = Reply(request.label, str(request.url), response.status_code, response.headers.raw)
    location = reply.header("location")
    if request.follow_redirects and reply.status in _REDIRECTS and location is not None:
        try:
            return request.redirected(reply.status, location)
        except ValueError as error:
            raise TransportError(
                f"{request.label} redirects to where no request can go: {error}",
                code="http_redirect",
                details={"status": reply.status, "request_sent": True},
            ) from None
    # Not aiter_bytes: it inflates each chunk without a limit.
    async with contextlib.aclosing(cast("AsyncGenerator[bytes]", response.aiter_raw())) as chunks:
        return await reply.outcome(chunks, request.max_body_bytes)


def _failure(request: HttpRequest, error: Exception, progress: _Progress) -> TransportError:
    """Return what the client's error means; a protocol error quotes header values, so its text is not repeated."""
    details: JsonObject = {"request_sent": progress.request_sent}
    if isinstance(error, httpx.LocalProtocolError | httpx.InvalidURL):
        return TransportError(
            f"{request.label} cannot be sent as HTTP; check its headers", code="invalid_request", details=details
        )
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error)):
        return TransportError(
            f"{request.label}: the certificate was not accepted: {error}; check the URL's host",
            code="http_tls",
            details=details,
        )
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        reason, code = f"could not connect: {error}", "http_connect"
    else:
        reason, code = "the connection broke off or the answer was not HTTP", "http_connection_lost"
    return TransportError(f"{request.label}: {reason}; try again", code=code, retryable=True, details=details)


def _once_sent(error: TransportError) -> TransportError:
    """Return the error to report when an earlier hop was sent: a code that says nothing was done must not be used then."""
    if error.transport_code not in _NOTHING_SENT:
        return error
    details: JsonObject = {"cause": error.transport_code, "request_sent": True}
    return TransportError(f"after a redirect, {error}", code="http_redirect", retryable=error.retryable, details=details)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
