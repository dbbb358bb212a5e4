"""The HTTP transport against real servers on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

import pytest

from durum.errors import TransportError
from durum.transports.http import HttpTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from durum.core.canonical import JsonObject

MIB = 1024 * 1024
LOOPBACK_2 = pytest.mark.skipif(sys.platform != "linux", reason="only Linux answers on all of 127.0.0.0/8")


@dataclass(frozen=True)
class Call:
    """A call with an optional effect key and one secret."""

    effect_key: str | None = None

    def secret(self, name: str) -> str:
        """Return the secret's value."""
        return {"TOKEN": "canary-7"}[name]


@dataclass
class Seen:
    """One request as the server saw it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    """What the server answers."""

    status: int = 200
    body: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)


class Server(ThreadingHTTPServer):
    """Answers by path and keeps what it saw."""

    block_on_close = False
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: str = "127.0.0.1", port: int = 0) -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, port), Handler)
        self.seen: list[Seen] = []
        self.answers: dict[str, Answer] = {}
        self.port = self.server_address[1]
        self.origin = f"http://[{address}]:{self.port}" if ":" in address else f"http://{address}:{self.port}"


class Handler(BaseHTTPRequestHandler):
    """Serves one connection."""

    server: Server

    def handle_one_request(self) -> None:
        """Read a request, keep it, answer it."""
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", "0")))
        self.server.seen.append(Seen(self.command, self.path, headers, body))
        answer = self.server.answers.get(self.path, Answer(404))
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Keep quiet."""


@contextlib.contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Run a server in a thread."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    """Give a running server on 127.0.0.1."""
    with serving(Server()) as running:
        yield running


class RawServer:
    """Accepts one connection, reads the request's head, and then does what it is told with the socket."""

    def __init__(self, then: Callable[[socket.socket], None]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.origin = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.asked = threading.Event()
        self._then = then
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(65536)
            self.asked.set()
            self._then(connection)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(10)
        self._listener.close()
        assert not self._thread.is_alive()


def until_closed(connection: socket.socket) -> None:
    """Wait until the other side closes."""
    connection.settimeout(10)
    while connection.recv(65536):
        pass


def transport(*origins: str, resolve: Any = None) -> HttpTransport:
    """Return a transport that may reach these origins."""
    return HttpTransport([origin.partition("://")[2] for origin in origins], resolve)


def call(origin: str, path: str = "/", given: Call | None = None, **more: Any) -> Any:
    """Perform one call to a server that is allowed."""
    request: JsonObject = {"method": "GET", "url": origin + path, **more}
    return asyncio.run(transport(origin).call(request, given or Call()))


def failure(one: HttpTransport, url: str, **more: Any) -> TransportError:
    """Return the error a call ends in."""
    with pytest.raises(TransportError) as caught:
        asyncio.run(one.call({"method": "GET", "url": url, **more}, Call()))
    return caught.value


def fixed(*addresses: str) -> Callable[[str, int], Any]:
    """Return a resolver that gives the same addresses for every name."""

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return addresses

    return resolve


# --- outcomes -----------------------------------------------------------------------------------------------------------


def test_a_response_is_the_outcome(server: Server) -> None:
    """Status, final URL, headers and body come back; cookies and connection headers do not."""
    server.answers["/a?b=c"] = Answer(
        200, "größe".encode(), [("X-Kept", "1"), ("Set-Cookie", "canary"), ("Connection", "close")]
    )
    outcome = call(server.origin, "/a?b=c#d")
    assert outcome["status"] == 200
    assert outcome["url"] == f"{server.origin}/a?b=c#d"
    assert outcome["body"] == {"text": "größe"}
    names = [name for name, _ in outcome["headers"]]
    assert names == ["server", "date", "x-kept", "content-length"]
    assert server.seen[0].headers["host"] == f"127.0.0.1:{server.port}"
    assert server.seen[0].path == "/a?b=c"


@pytest.mark.parametrize("status", [204, 304, 400, 401, 404, 429, 500, 503])
def test_every_response_is_an_outcome(server: Server, status: int) -> None:
    """What the server thinks of the request is for the caller to judge."""
    server.answers["/"] = Answer(status, b"" if status in {204, 304} else b"why", [("Retry-After", "7")])
    outcome = call(server.origin)
    assert outcome["status"] == status
    assert ["retry-after", "7"] in outcome["headers"]


def test_bodies_go_both_ways(server: Server) -> None:
    """Binary, text and JSON arrive as they were given; a binary answer is base64; HEAD has no body."""
    server.answers["/"] = Answer(200, b"\x00\xff")
    for body in ({"base64": "AP8="}, {"text": "ä"}, {"json": {"a": 1}}):
        assert call(server.origin, method="POST", body=body)["body"] == {"base64": "AP8="}
    call(server.origin, method="post")
    assert call(server.origin, method="HEAD")["body"] == {"text": ""}
    assert [(seen.method, seen.body) for seen in server.seen] == [
        ("POST", b"\x00\xff"),
        ("POST", "ä".encode()),
        ("POST", b'{"a":1}'),
        ("POST", b""),
        ("HEAD", b""),
    ]
    assert server.seen[2].headers["content-type"] == "application/json"


def test_gzip_is_opened(server: Server) -> None:
    """A compressed answer is recorded as its content."""
    server.answers["/"] = Answer(200, gzip.compress(b"hello" * 100_000), [("Content-Encoding", "gzip")])
    outcome = call(server.origin)
    assert outcome["body"] == {"text": "hello" * 100_000}
    assert not {"content-encoding", "content-length"} & {name for name, _ in outcome["headers"]}
    assert server.seen[0].headers["accept-encoding"] == "gzip"


def test_a_secret_header_is_seen_by_the_server_only(server: Server) -> None:
    """The server gets the value, the request keeps the reference, the outcome has neither."""
    server.answers["/"] = Answer(200, b"ok")
    headers = {"Authorization": {"$secret": "TOKEN", "prefix": "Bearer "}, "X-Key": {"$secret": "TOKEN"}}
    outcome = call(server.origin, headers=headers)
    assert server.seen[0].headers["authorization"] == "Bearer canary-7"
    assert server.seen[0].headers["x-key"] == "canary-7"
    assert "canary" not in str(outcome)
    assert "canary" not in str(headers)


def test_the_effect_key_is_sent(server: Server) -> None:
    """An effect's key goes out as Idempotency-Key; a read has none."""
    call(server.origin, given=Call(effect_key="run-1:pay"))
    call(server.origin)
    assert server.seen[0].headers["idempotency-key"] == "run-1:pay"
    assert "idempotency-key" not in server.seen[1].headers


def test_one_transport_serves_many_loops(server: Server) -> None:
    """A transport is bound to no event loop, and calls may run side by side."""
    one = transport(server.origin)
    request: JsonObject = {"method": "GET", "url": server.origin}

    async def scenario() -> list[Any]:
        return list(await asyncio.gather(*(one.call(request, Call()) for _ in range(20))))

    for _ in range(2):
        assert [outcome["status"] for outcome in asyncio.run(scenario())] == [404] * 20
    asyncio.run(one.close())
    assert asyncio.run(one.call(request, Call()))["status"] == 404


# --- redirects ----------------------------------------------------------------------------------------------------------


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


# --- addresses ----------------------------------------------------------------------------------------------------------


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


# --- failures and limits ------------------------------------------------------------------------------------------------


def test_nobody_listens() -> None:
    """A refused connection may be tried again, and nothing was sent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
    error = failure(transport(origin), f"{origin}/path?canary")
    assert (error.transport_code, error.retryable, error.details) == ("http_connect", True, {"request_sent": False})
    assert str(error).startswith(f"GET {origin}/path: could not connect")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhalf",
        b"SSH-2.0-canary\r\n",
        b"HTTP/1.1 200 OK\r\nbad canary header\r\n\r\n",
    ],
)
def test_a_broken_answer(answer: bytes) -> None:
    """No answer, half an answer and no HTTP are the same: it may be tried again, and the request may have been seen."""
    with RawServer(lambda connection: connection.sendall(answer)) as server:
        error = failure(transport(server.origin), server.origin)
    assert (error.transport_code, error.retryable, error.details) == ("http_connection_lost", True, {"request_sent": True})
    assert "canary" not in str(error)


def drip(connection: socket.socket) -> None:
    """Send a body that never ends, a byte at a time."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        connection.sendall(b"x")
        time.sleep(0.02)


@pytest.mark.parametrize("then", [until_closed, drip])
def test_the_time_limit_is_for_the_whole_exchange(then: Callable[[socket.socket], None]) -> None:
    """A server that says nothing, or little all the time, is given up after the limit; the request may have been seen."""
    start = time.monotonic()
    with RawServer(then) as server:
        error = failure(transport(server.origin), server.origin, timeout_ms=300)
    assert time.monotonic() - start < 5
    assert (error.transport_code, error.retryable) == ("http_timeout", True)
    assert error.details == {"timeout_ms": 300, "request_sent": True}


def test_the_time_limit_covers_the_name(server: Server) -> None:
    """A resolver that hangs is covered too, and nothing was sent."""

    async def hanging(_host: str, _port: int) -> Sequence[str]:
        await asyncio.sleep(60)
        return []

    error = failure(transport(server.origin, resolve=hanging), server.origin, timeout_ms=100)
    assert error.details == {"timeout_ms": 100, "request_sent": False}


def test_too_large_a_body_is_given_up() -> None:
    """A body without end is not read beyond the limit, and the connection is closed."""

    def flood(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        for _ in range(1000):
            connection.sendall(bytes(MIB))
        raise AssertionError("a gigabyte was read")

    with RawServer(flood) as server:
        error = failure(transport(server.origin), server.origin, max_body_bytes=MIB)
    assert (error.transport_code, error.retryable) == ("http_too_large", False)
    assert error.details == {"status": 200, "request_sent": True}


def test_a_gzip_bomb_is_given_up(server: Server) -> None:
    """The limit is on the content, not on what it was packed into."""
    server.answers["/"] = Answer(200, gzip.compress(bytes(50 * MIB)), [("Content-Encoding", "gzip")])
    assert failure(transport(server.origin), server.origin).transport_code == "http_too_large"


def test_a_cancelled_call_closes_its_connection() -> None:
    """The server sees the end at once, and the call stays cancelled."""

    async def scenario(server: RawServer) -> None:
        task = asyncio.create_task(transport(server.origin).call({"method": "GET", "url": server.origin}, Call()))
        await asyncio.to_thread(server.asked.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with RawServer(until_closed) as server:
        asyncio.run(scenario(server))


# --- TLS ----------------------------------------------------------------------------------------------------------------


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


# --- cost ---------------------------------------------------------------------------------------------------------------


def test_httpx_is_imported_by_the_first_call_only() -> None:
    """Importing and making a transport stays cheap."""
    script = "import sys; from durum.transports.http import HttpTransport; HttpTransport(); sys.exit('httpx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], env={"PYTHONPATH": ":".join(sys.path)}, check=False).returncode == 0
