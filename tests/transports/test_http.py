"""The HTTP transport against real servers on loopback: outcomes, failures and limits."""

from __future__ import annotations

import asyncio
import gzip
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.transports.http_servers import (
    MIB,
    Answer,
    Call,
    RawServer,
    Server,
    call,
    failure,
    transport,
    until_closed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from durum.core.canonical import JsonObject


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


def drip_headers(connection: socket.socket) -> None:
    """Send a header that never ends, a byte at a time."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        connection.sendall(b"x")
        time.sleep(0.02)


def promise(connection: socket.socket) -> None:
    """Send interim responses, and never the one they announce."""
    while True:
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n" * 100)
        time.sleep(0.001)


def drip_gzip(connection: socket.socket) -> None:
    """Send the start of a gzip body, and then its file name without end."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + b"\x1f\x8b\x08\x08\0\0\0\0\0\0")
    while True:
        connection.sendall(b"x")
        time.sleep(0.02)


@pytest.mark.parametrize("then", [until_closed, drip, drip_headers, promise, drip_gzip])
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


@pytest.mark.parametrize("piece", [b"X-Header: y\r\n", b"X-" + b"y" * 1000, b" folded\r\n"])
def test_headers_without_end_are_given_up(piece: bytes) -> None:
    """Many headers, one long one or one long line of them: a server cannot fill the memory before the body."""

    def flood(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: y\r\n")
        for _ in range(100):
            connection.sendall(piece * (MIB // len(piece)))
        raise AssertionError("a hundred megabytes were read")

    with RawServer(flood) as server:
        error = failure(transport(server.origin), server.origin)
    assert (error.transport_code, error.details) == ("http_connection_lost", {"request_sent": True})


@pytest.mark.parametrize("more", [b"x", gzip.compress(b"", mtime=0), b"\x00"], ids=["name", "members", "padding"])
def test_a_gzip_body_that_unpacks_to_nothing_is_given_up(more: bytes) -> None:
    """An endless name, endless empty members and endless padding are a body too large, though there is no content."""
    start = b"\x1f\x8b\x08\x08\0\0\0\0\0\0" if more == b"x" else gzip.compress(b"")

    def flood(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + start)
        for _ in range(1000):
            connection.sendall(more * (MIB // len(more)))
        raise AssertionError("a gigabyte was read")

    with RawServer(flood) as server:
        error = failure(transport(server.origin), server.origin, max_body_bytes=1000)
    assert error.transport_code == "http_too_large"


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


def test_httpx_is_imported_by_the_first_call_only() -> None:
    """Importing and making a transport stays cheap."""
    script = "import sys; from durum.transports.http import HttpTransport; HttpTransport(); sys.exit('httpx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], env={"PYTHONPATH": ":".join(sys.path)}, check=False).returncode == 0
