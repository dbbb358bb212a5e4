"""Requests are checked before anything is sent, and a redirect never carries a credential to another origin."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from durum.errors import TransportError
from durum.transports.http_request import HttpRequest, parse_request
from tests.transports.no_store import NoStore

if TYPE_CHECKING:
    from durum.core.canonical import JsonObject

URL = "https://api.test/v1"


@dataclass(frozen=True)
class Call(NoStore):
    """A call that knows one secret."""

    effect_key: str | None = None
    secrets: dict[str, str] = field(default_factory=lambda: {"TOKEN": "canary-6"})

    def secret(self, name: str) -> str:
        """Return the secret's value."""
        return self.secrets[name]


def parse(call: Call | None = None, **more: Any) -> HttpRequest:
    """Return the checked form of a request."""
    return parse_request({"method": "GET", "url": URL, **more}, call or Call())


def headers(request: HttpRequest) -> dict[str, str]:
    """Return the headers that are sent."""
    return {header.name: header.value.decode() for header in request.headers}


def refused(request: JsonObject, call: Call | None = None) -> str:
    """Return the sentence with which a request is refused."""
    with pytest.raises(TransportError) as caught:
        parse_request({"method": "GET", "url": URL, **request}, call or Call())
    assert caught.value.transport_code == "invalid_request"
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    return str(caught.value)


def test_defaults() -> None:
    """A request needs a method and a URL; the rest has defaults."""
    request = parse()
    assert headers(request) == {"accept": "*/*", "accept-encoding": "gzip", "user-agent": "durum"}
    assert (request.timeout_ms, request.max_body_bytes, request.follow_redirects) == (30_000, 10 * 1024 * 1024, True)
    assert (request.host, request.port, request.body) == ("api.test", 443, None)
    assert parse(method="post", url="http://[::1]:81/?a=b#c").label == "POST http://[::1]:81/"


def test_given_headers_win() -> None:
    """A header of the request takes the place of a default, whatever its case; an effect's key is a default too."""
    request = parse(Call(effect_key="k"), headers={"User-Agent": "me", "X": "y"})
    assert headers(request) == {
        "user-agent": "me",
        "x": "y",
        "accept": "*/*",
        "accept-encoding": "gzip",
        "idempotency-key": "k",
    }
    assert headers(parse(Call(effect_key="k"), headers={"Idempotency-Key": "mine"}))["idempotency-key"] == "mine"


def test_bodies() -> None:
    """A body is a payload as it is, or a value as JSON with its content type."""
    assert parse(body={"text": "ä"}).body == "ä".encode()
    assert parse(body={"base64": "AP8="}).body == b"\x00\xff"
    request = parse(body={"json": {"ä": [1, None]}})
    assert request.body == '{"ä":[1,null]}'.encode()
    assert headers(request)["content-type"] == "application/json"
    assert parse(body={"json": None}).body == b"null"
    assert (
        headers(parse(body={"json": 1}, headers={"content-type": "application/x+json"}))["content-type"] == "application/x+json"
    )


def test_secrets_are_in_the_message_only() -> None:
    """The receiver gets the value; the request's repr does not show it."""
    request = parse(headers={"Authorization": {"$secret": "TOKEN", "prefix": "Bearer "}, "X-Key": {"$secret": "TOKEN"}})
    assert headers(request)["authorization"] == "Bearer canary-6"
    assert headers(request)["x-key"] == "canary-6"
    assert "canary" not in repr(request)


@pytest.mark.parametrize("value", ["canary\n", "canary\r\nX: y", "canary\0", " canary", "canary\x7f", "canary\ud800"])
def test_a_secret_that_cannot_be_sent_is_not_shown(value: str) -> None:
    """The refusal names the header, not its value."""
    sentence = refused({"headers": {"X-Key": {"$secret": "TOKEN"}}}, Call(secrets={"TOKEN": value}))
    assert "X-Key" in sentence
    assert "canary" not in sentence


@pytest.mark.parametrize(
    "wrong",
    [
        {"method": "GET /"},
        {"method": "CONNECT"},
        {"method": ""},
        {"method": None},
        {"url": "ftp://a.test"},
        {"url": "file:///etc/passwd"},
        {"url": "a.test"},
        {"url": "//a.test"},
        {"url": "http://"},
        {"url": "http:///path"},
        {"url": "http://user:canary@a.test"},
        {"url": "http://user@a.test"},
        {"url": "http://a.test:99999"},
        {"url": "http://a.test/\n"},
        {"url": 1},
        {"headers": []},
        {"headers": {"a b": "x"}},
        {"headers": {"": "x"}},
        {"headers": {"a": 1}},
        {"headers": {"A": "x", "a": "x"}},
        {"headers": {"a": "x\r\ny: z"}},
        {"headers": {"Host": "other.test"}},
        {"headers": {"Content-Length": "1"}},
        {"headers": {"Transfer-Encoding": "chunked"}},
        {"body": "x"},
        {"body": {"json": 1, "text": "x"}},
        {"body": {"json": float("nan")}},
        {"body": {"json": "\ud800"}},
        {"timeout_ms": 0},
        {"max_body_bytes": 1 << 40},
        {"follow_redirects": "yes"},
        {"verify": False},
    ],
)
def test_wrong_requests_are_refused(wrong: JsonObject) -> None:
    """A request that is wrong in any field is refused with a sentence; a password in a URL is not repeated."""
    assert "canary" not in refused(wrong)


def test_deep_json_is_refused() -> None:
    """A value too deep to serialise is an error of the request."""
    deep: Any = []
    for _ in range(200_000):
        deep = [deep]
    assert "no JSON form" in refused({"body": {"json": deep}})


@pytest.mark.parametrize(
    ("method", "status", "expected"),
    [
        ("POST", 301, "GET"),
        ("POST", 302, "GET"),
        ("PUT", 301, "PUT"),
        ("PUT", 302, "PUT"),
        ("POST", 303, "GET"),
        ("PUT", 303, "GET"),
        ("HEAD", 303, "HEAD"),
        ("GET", 303, "GET"),
        ("POST", 307, "POST"),
        ("POST", 308, "POST"),
    ],
)
def test_methods_after_a_redirect(method: str, status: int, expected: str) -> None:
    """The method changes as browsers change it; a GET made of another method carries neither body nor its headers."""
    following = parse(method=method, body={"json": 1}, headers={"X": "y"}).redirected(status, "/v2?a=b")
    assert following.method == expected
    assert str(following.url) == "https://api.test/v2?a=b"
    changed = expected != method
    assert (following.body is None, "content-type" in headers(following)) == (changed, not changed)
    assert headers(following)["x"] == "y"


@pytest.mark.parametrize(
    ("location", "kept"),
    [
        ("https://api.test/other", True),
        ("https://API.test:443/other", True),
        ("other", True),
        ("http://api.test/other", False),
        ("https://api.test:444/", False),
        ("https://evil.test/", False),
        ("//evil.test/", False),
    ],
)
def test_credentials_stay_with_their_origin(location: str, *, kept: bool) -> None:
    """Scheme, host and port must be the same for a credential to be sent along: a header known for it, or any secret."""
    given = {"Authorization": "Basic x", "Cookie": "a=b", "X-Key": {"$secret": "TOKEN"}}
    following = parse(headers={**given, "X": "y"}).redirected(307, location)
    assert ({"authorization", "cookie", "x-key"} & set(headers(following)) != set()) is kept
    assert headers(following)["x"] == "y"


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        *((name, False) for name in ("X-Api-Key", "Private-Token", "X-Auth-User", "X-Vault-Secret", "X-Session-Id", "Cookie2")),
        *((name, True) for name in ("Idempotency-Key", "Accept", "Content-Language", "If-Match", "X-Plain")),
    ],
)
def test_headers_whose_names_speak_of_credentials_stay_too(name: str, *, kept: bool) -> None:
    """A token that was written out is no less one; what steers the request goes along."""
    following = parse(headers={name: "x"}).redirected(307, "https://evil.test/")
    assert (name.lower() in headers(following)) is kept
    assert name.lower() in headers(parse(headers={name: "x"}).redirected(307, "/same"))


@pytest.mark.parametrize(
    "location", ["ftp://a.test/", "file:///etc/passwd", "http://u:p@a.test/", "http://a.test:x/", "http:///x"]
)
def test_redirects_to_nowhere(location: str) -> None:
    """A target that no request may name is no target of a redirect either."""
    with pytest.raises(ValueError, match=r"\w"):
        parse().redirected(302, location)


def test_the_request_is_left_as_it_was() -> None:
    """Reading a request does not write the secret into it."""
    request: JsonObject = {"method": "GET", "url": URL, "headers": {"X": {"$secret": "TOKEN"}}}
    before = json.dumps(request)
    parse_request(request, Call())
    assert json.dumps(request) == before
