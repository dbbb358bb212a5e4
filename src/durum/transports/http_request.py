"""Read and check one HTTP request, and say which request a redirect leads to."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import httpx

from durum.transports.request import MAX_PAYLOAD_BYTES, MAX_TIMEOUT_MS, Fields

if TYPE_CHECKING:
    from durum.core.canonical import JsonObject, JsonValue
    from durum.ports import TransportCall

_FIELDS = frozenset({"method", "url", "headers", "body", "timeout_ms", "max_body_bytes", "follow_redirects"})
_DEFAULT_TIMEOUT_MS = 30_000
_DEFAULT_BODY_BYTES = 10 * 1024 * 1024
_METHOD = re.compile(r"[A-Z]{1,20}")
_HEADER_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_MAX_PORT = 65535
_PORTS = {"http": 80, "https": 443}
# The transport sets these, or they would change how the message is framed.
_RESERVED_HEADERS = frozenset(
    {"connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
_CREDENTIAL_HEADER = re.compile(r"auth|cookie|credential|(?<!^idempotency-)key|passw|secret|session|signature|token")
_SEE_OTHER = 303
_MOVED = frozenset({301, 302})


class Header(NamedTuple):
    """One header to send; a ``credential`` stays with the origin it was meant for."""

    name: str  # lowercase
    value: bytes
    credential: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """A checked request; ``headers`` may hold secrets and are left out of the repr."""

    method: str
    url: httpx.URL
    headers: tuple[Header, ...] = field(repr=False)
    body: bytes | None = field(repr=False)
    timeout_ms: int
    max_body_bytes: int
    follow_redirects: bool

    @property
    def host(self) -> str:
        """The host as it goes over the wire: ASCII, an IPv6 address without brackets."""
        return self.url.raw_host.decode("ascii")

    @property
    def port(self) -> int:
        """The port to connect to."""
        return self.url.port or _PORTS[self.url.scheme]

    @property
    def label(self) -> str:
        """Method and URL for messages, without the query, which may be long or private."""
        return f"{self.method} {self.url.copy_with(query=None, fragment=None)}"

    def redirected(self, status: int, location: str) -> HttpRequest:
        """Return the request that a redirect asks for; ``ValueError`` says why there is none."""
        try:
            url = check_url(self.url.join(location))
        except httpx.InvalidURL as error:
            raise ValueError(str(error)) from None
        following = replace(self, url=url)
        if _origin(url) != _origin(self.url):
            following = replace(following, headers=tuple(header for header in self.headers if not header.credential))
        post_moved = status in _MOVED and self.method == "POST"
        if post_moved or (status == _SEE_OTHER and self.method not in {"GET", "HEAD"}):
            headers = tuple(header for header in following.headers if not header.name.startswith("content-"))
            following = replace(following, method="GET", body=None, headers=headers)
        return following


def _origin(url: httpx.URL) -> tuple[str, bytes, int]:
    return url.scheme, url.raw_host, url.port or _PORTS[url.scheme]


def check_url(url: httpx.URL) -> httpx.URL:
    """Return ``url`` if a request may go there as far as its text tells; ``ValueError`` says why not."""
    if url.scheme not in _PORTS:
        raise ValueError("only http and https URLs can be called")
    if not url.raw_host:
        raise ValueError("the URL names no host")
    if url.port is not None and not 0 < url.port <= _MAX_PORT:
        raise ValueError("the URL's port is out of range")
    if url.userinfo:
        raise ValueError("a URL must not hold a user or password; send an authorization header from a secret")
    return url


def parse_request(request: JsonObject, call: TransportCall) -> HttpRequest:
    """Return the checked request with its secrets resolved; ``TransportError`` (``invalid_request``) names the field."""
    fields = Fields("http", request, _FIELDS)
    method = fields.text("method").upper()
    if not _METHOD.fullmatch(method) or method in {"CONNECT", "TRACE"}:
        raise fields.refuse("method must be an HTTP method such as GET or POST")
    try:
        url = check_url(httpx.URL(fields.text("url")))
    except (httpx.InvalidURL, ValueError) as error:
        raise fields.refuse(f"url: {error}") from None
    body, content_type = _body(fields)
    return HttpRequest(
        method=method,
        url=url,
        headers=_headers(fields, call, content_type),
        body=body,
        timeout_ms=fields.integer("timeout_ms", _DEFAULT_TIMEOUT_MS, 1, MAX_TIMEOUT_MS),
        max_body_bytes=fields.integer("max_body_bytes", _DEFAULT_BODY_BYTES, 0, MAX_PAYLOAD_BYTES),
        follow_redirects=fields.flag("follow_redirects", default=True),
    )


def _headers(fields: Fields, call: TransportCall, content_type: str | None) -> tuple[Header, ...]:
    headers: dict[str, Header] = {}
    for name, value in fields.mapping("headers").items():
        text, secret = fields.reveal(f"header {name}", value, call, prefix=True)
        header = _header(fields, name, text, credential=secret)
        if header.name in _RESERVED_HEADERS:
            raise fields.refuse(f"header {name} is set by the transport; leave it out")
        if header.name in headers:
            raise fields.refuse(f"header {name} is given twice")
        headers[header.name] = header
    defaults = {"accept": "*/*", "accept-encoding": "gzip", "user-agent": "durum"}
    if content_type is not None:
        defaults["content-type"] = content_type
    if call.effect_key is not None:
        defaults["idempotency-key"] = call.effect_key
    for name, text in defaults.items():
        headers.setdefault(name, _header(fields, name, text, credential=False))
    return tuple(headers.values())


def _header(fields: Fields, name: str, text: str, *, credential: bool) -> Header:
    """Check one header; ``text`` may be a secret, so it is not repeated."""
    lower = name.lower()
    if not _HEADER_NAME.fullmatch(lower):
        raise fields.refuse(f"header name {name!r} is not a token")
    try:
        value = text.encode("utf-8")
    except UnicodeEncodeError:
        raise fields.refuse(f"header {name} holds a lone surrogate") from None
    if not _HEADER_VALUE.fullmatch(value) or value != value.strip():
        raise fields.refuse(f"header {name} holds a line break, another control character, or space at an end")
    return Header(lower, value, credential or _CREDENTIAL_HEADER.search(lower) is not None)


def _body(fields: Fields) -> tuple[bytes | None, str | None]:
    """Return the body and, if it says what it is, its content type."""
    value = fields.mapping("body")
    if "json" not in value:
        return fields.payload("body"), None
    if len(value) != 1:
        raise fields.refuse('body must be a payload or {"json": value}')
    return _json_bytes(fields, value["json"]), "application/json"


def _json_bytes(fields: Fields, value: JsonValue) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")
    except (ValueError, TypeError, RecursionError):
        raise fields.refuse("body: the value has no JSON form") from None
