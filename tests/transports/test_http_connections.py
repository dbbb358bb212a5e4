"""Where the HTTP transport connects to: redirects, addresses, certificates."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from durum.transports.http import HttpTransport
from tests.transports.http_servers import (
    LOOPBACK_2,
    Answer,
    Call,
    Server,
    call,
    failure,
    fixed,
    serving,
    transport,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from durum.core.canonical import JsonObject


def test_a_redirect_is_followed(server: Server) -> None:
    """The outcome is the last response under its own URL; a redirected POST becomes a GET as browsers do it."""
    server.answers["/old"] = Answer(302, b"moved", [("Location", "/new")])
    server.answers["/new"] = Answer(200, b"here")
    outcome = call(server.origin, "/old", method="POST", body={"text": "x"})
    assert (outcome["status"], outcome["url"], outcome["body"]) == (200, f"{server.origin}/new", {"text": "here"})
    assert [(seen.method, seen.body) for seen in server.seen] == [("POST", b"x"), ("GET", b"")]


def test_a_redirect_is_an_outcome_if_asked_for(server: Server) -> None:
    """Without following, and without a location to follow, the redirect itself is the outcome."""
    server.answers["/old"] = Answer(302, b"moved", [("Location", "/new")])
    server.answers["/choices"] = Answer(302, b"none")
    assert call(server.origin, "/old", follow_redirects=False)["body"] == {"text": "moved"}
    assert call(server.origin, "/choices")["body"] == {"text": "none"}


def test_redirects_are_counted(server: Server) -> None:
    """Five are followed, the sixth is an error; so is a loop."""
    for number in range(6):
        server.answers[f"/{number}"] = Answer(307, b"", [("Location", f"/{number + 1}")])
    server.answers["/6"] = Answer(200, b"end")
    assert call(server.origin, "/1")["body"] == {"text": "end"}
    server.seen.clear()
    error = failure(transport(server.origin), f"{server.origin}/0")
    assert error.transport_code == "http_redirect"
    assert not error.retryable
    assert len(server.seen) == 6


@pytest.mark.parametrize("location", ["ftp://a.test/", "http://user:x@127.0.0.1/", "http://127.0.0.1:0/"])
def test_a_redirect_to_nowhere(server: Server, location: str) -> None:
    """A redirect cannot lead where a request may not go."""
    server.answers["/"] = Answer(302, b"", [("Location", location)])
    error = failure(transport(server.origin), server.origin)
    assert error.transport_code == "http_redirect"
    assert error.details == {"status": 302, "request_sent": True}


def test_a_redirect_to_a_refused_address(server: Server) -> None:
    """A server that is allowed cannot send the transport to its neighbour, whatever name it gives it."""
    with serving(Server()) as other:
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433"):
            server.answers["/"] = Answer(302, b"", [("Location", f"http://{host}:{other.port}/admin")])
            error = failure(transport(server.origin), server.origin)
            assert error.transport_code == "http_redirect"
            assert error.details == {"cause": "address_refused", "request_sent": True}
            assert "not a public address" in str(error)
            assert not error.retryable
        assert other.seen == []


def test_no_code_denies_what_an_earlier_hop_did(server: Server) -> None:
    """A redirect to where nobody listens may be tried again as a read, but never passes for a request that was not sent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.answers["/"] = Answer(307, b"", [("Location", origin)])
    error = failure(transport(server.origin, origin), server.origin, method="POST")
    assert (error.transport_code, error.retryable) == ("http_redirect", True)
    assert error.details == {"cause": "http_connect", "request_sent": True}
    assert len(server.seen) == 1


def test_credentials_do_not_cross_origins(server: Server) -> None:
    """Another port is another origin: secrets stay behind, other headers go along; on the same origin all go along."""
    headers: JsonObject = {"Authorization": "Basic x", "X-Key": {"$secret": "TOKEN"}, "X-Plain": "1"}
    with serving(Server()) as other:
        server.answers["/out"] = Answer(307, b"", [("Location", f"{other.origin}/")])
        server.answers["/in"] = Answer(307, b"", [("Location", "/")])
        one = transport(server.origin, other.origin)
        for path in ("/out", "/in"):
            asyncio.run(one.call({"method": "GET", "url": server.origin + path, "headers": headers}, Call()))
        away, home = other.seen[0].headers, server.seen[2].headers
    assert "authorization" not in away
    assert "x-key" not in away
    assert away["x-plain"] == "1"
    assert (home["authorization"], home["x-key"]) == ("Basic x", "canary-7")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "127.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]"])  # noqa: S104
def test_this_machine_is_refused_by_default(server: Server, host: str) -> None:
    """No way of writing loopback reaches a server that was not declared."""
    error = failure(HttpTransport(), f"http://{host}:{server.port}/")
    assert error.transport_code in {"address_refused", "http_connect"}  # a system may resolve fewer notations
    assert error.details is not None
    assert server.seen == []


def test_an_allowed_port_allows_no_other(server: Server) -> None:
    """``host:port`` is that port; ``host`` is every port."""
    error = failure(HttpTransport([f"127.0.0.1:{server.port + 1}"]), server.origin)
    assert error.transport_code == "address_refused"
    assert asyncio.run(HttpTransport(["127.0.0.1"]).call({"method": "GET", "url": server.origin}, Call()))["status"] == 404


@LOOPBACK_2
def test_the_connection_goes_to_the_checked_address(server: Server) -> None:
    """The name is asked for once a hop, and what it answers later does not matter; the server sees the name."""
    asked: list[str] = []

    async def rebinding(host: str, _port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    with serving(Server("127.0.0.2", server.port)) as other:
        origin = f"http://pinned.test:{server.port}"
        server.answers["/"] = Answer(200, b"first")
        other.answers["/"] = Answer(200, b"second")
        one = transport(origin, resolve=rebinding)
        outcome = asyncio.run(one.call({"method": "GET", "url": origin}, Call()))
        assert other.seen == []
    assert outcome["body"] == {"text": "first"}
    assert outcome["url"] == origin
    assert asked == ["pinned.test"]
    assert server.seen[0].headers["host"] == f"pinned.test:{server.port}"


def test_a_name_that_turns_private_on_the_way(server: Server) -> None:
    """A redirect to a name is judged by what the name resolves to then."""
    server.answers["/"] = Answer(302, b"", [("Location", f"http://inside.test:{server.port}/admin")])
    error = failure(transport(server.origin, resolve=fixed("127.0.0.1")), server.origin)
    assert error.details == {"cause": "address_refused", "request_sent": True}
    assert len(server.seen) == 1


@LOOPBACK_2
def test_the_next_address_is_tried(server: Server) -> None:
    """Where a name has several addresses, one that nobody answers at is no failure."""
    origin = f"http://two.test:{server.port}"
    one = transport(origin, resolve=fixed("127.0.0.3", "127.0.0.1"))
    assert asyncio.run(one.call({"method": "GET", "url": origin}, Call()))["status"] == 404


def test_ipv6() -> None:
    """An IPv6 literal works like any host."""
    try:
        running = Server("::1")
    except OSError:
        pytest.skip("no IPv6 here")
    with serving(running) as server:
        assert call(server.origin)["status"] == 404
        assert server.seen[0].headers["host"] == f"[::1]:{server.port}"


def test_proxies_of_the_environment_are_not_used(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would make the check of the address void."""
    with serving(Server()) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.origin)
        assert call(server.origin)["status"] == 404
        assert proxy.seen == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a directory with a key and a certificate for good.test and 127.0.0.1."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    directory = tmp_path_factory.mktemp("tls")
    subject = ["-subj", "/CN=good.test", "-addext", "subjectAltName=DNS:good.test,IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    command += ["-keyout", str(directory / "key.pem"), "-out", str(directory / "cert.pem")]
    subprocess.run(command, check=True, capture_output=True)
    return directory


@pytest.fixture
def tls_server(server: Server, certificate: Path) -> Server:
    """Give a server that speaks TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return server


def test_the_certificate_is_checked_against_the_name(
    tls_server: Server, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the connection goes to an address, the certificate must be the one of the URL's host."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
    one = HttpTransport(["good.test", "other.test", "127.0.0.1"], fixed("127.0.0.1"))

    async def scenario() -> list[Any]:
        urls = [f"https://{host}:{tls_server.port}/" for host in ("good.test", "127.0.0.1")]
        return [await one.call({"method": "GET", "url": url}, Call()) for url in urls]

    assert [outcome["status"] for outcome in asyncio.run(scenario())] == [404, 404]
    error = failure(one, f"https://other.test:{tls_server.port}/")
    assert (error.transport_code, error.retryable, error.details) == ("http_tls", False, {"request_sent": False})
    assert len(tls_server.seen) == 2


def test_an_unknown_authority_is_refused(tls_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate nobody vouches for is not accepted."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    error = failure(HttpTransport(["good.test"], fixed("127.0.0.1")), f"https://good.test:{tls_server.port}/")
    assert error.transport_code == "http_tls"
    assert tls_server.seen == []
