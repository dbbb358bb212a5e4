"""Real HTTP servers on loopback, and short ways to call them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

import pytest

from durum.errors import TransportError
from durum.transports.http import HttpTransport
from tests.transports.no_store import NoStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from durum.core.canonical import JsonObject

MIB = 1024 * 1024
LOOPBACK_2 = pytest.mark.skipif(sys.platform != "linux", reason="only Linux answers on all of 127.0.0.0/8")


@dataclass(frozen=True)
class Call(NoStore):
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
    bare: bool = False  # without the Server and Date headers that come by themselves


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

    def answer(self, path: str) -> Answer:
        """Return the answer to the request that was seen last."""
        return self.answers.get(path, Answer(404))


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
        answer = self.server.answer(self.path)
        (self.send_response_only if answer.bare else self.send_response)(answer.status)
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
