"""Bodies are read within bounds, whatever they were compressed with, and headers are kept but for credentials and transport."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durum.errors import TransportError
from durum.transports.http_response import Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

MIB = 1024 * 1024
HELLO = gzip.compress(b"hello")


def read(chunks: Iterable[bytes], limit: int = MIB, headers: Iterable[tuple[str, str]] = ()) -> Any:
    """Return the outcome of a response whose body arrives in these chunks."""

    async def arriving() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return asyncio.run(Reply("GET http://a.test/", "http://a.test/?q", 200, raw).outcome(arriving(), limit))


def zipped(chunks: Iterable[bytes], limit: int = MIB) -> Any:
    """Return the outcome of a gzip response."""
    return read(chunks, limit, [("Content-Encoding", "gzip"), ("Content-Length", "1"), ("X", "y")])


def cut(data: bytes, size: int) -> list[bytes]:
    """Return ``data`` in pieces."""
    return [data[start : start + size] for start in range(0, len(data), size)]


def test_the_shape_of_an_outcome() -> None:
    """Status, URL, headers in order with lowercase names, and the body."""
    assert read([b"h", b"i"], headers=[("X-A", "1"), ("x-a", "2"), ("Content-Length", "2")]) == {
        "status": 200,
        "url": "http://a.test/?q",
        "headers": [["x-a", "1"], ["x-a", "2"], ["content-length", "2"]],
        "body": {"text": "hi"},
    }


def test_headers_that_are_not_kept() -> None:
    """Cookies are credentials; hop-by-hop headers, also those that Connection names, belong to the connection."""
    dropped = [("Set-Cookie", "canary-5"), ("Connection", "close, X-Hop"), ("X-Hop", "1"), ("Transfer-Encoding", "chunked")]
    dropped += [("Keep-Alive", "1"), ("Upgrade", "x"), ("Proxy-Authenticate", "x"), ("TE", "x"), ("Trailer", "x")]
    assert read([], headers=[*dropped, ("Date", "now")])["headers"] == [["date", "now"]]


def test_header_values_that_are_no_ascii() -> None:
    """UTF-8 is read as such, anything else byte for byte as Latin-1."""
    headers = [("a", "größe".encode().decode("latin-1")), ("b", "gr\xf6")]
    assert read([], headers=headers)["headers"] == [["a", "größe"], ["b", "gr\xf6"]]


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_gzip_is_opened(size: int) -> None:
    """However it is cut, one member or several with padding, the content comes out; headers of the packed form go."""
    packed = gzip.compress(b"first ") + gzip.compress(b"") + gzip.compress(b"second") + b"\0\0\0"
    outcome = zipped(cut(packed, size))
    assert outcome["body"] == {"text": "first second"}
    assert outcome["headers"] == [["x", "y"]]


@given(st.binary(max_size=300), st.integers(1, 50))
def test_any_content_survives_gzip(data: bytes, size: int) -> None:
    """Content and cuts do not matter."""
    assert zipped(cut(gzip.compress(data), size))["body"] == read([data])["body"]


def test_no_body_is_no_broken_gzip() -> None:
    """The answer to HEAD names an encoding and a length and has no body; its headers are its content."""
    outcome = zipped([])
    assert outcome["body"] == {"text": ""}
    assert ["content-length", "1"] in outcome["headers"]


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "zstd"])
def test_other_encodings_stay_as_they_are(encoding: str) -> None:
    """A body nobody here can open is recorded as it came, with the header that says how to open it."""
    outcome = read([b"\xff\x00"], headers=[("Content-Encoding", encoding)])
    assert outcome["body"] == {"base64": "/wA="}
    assert outcome["headers"] == [["content-encoding", encoding]]


@pytest.mark.parametrize(
    "packed", [HELLO[:-1], b"no gzip", HELLO[:-8] + b"12345678"], ids=["cut off", "no gzip", "wrong checksum"]
)
def test_broken_gzip_is_said_to_be_so(packed: bytes) -> None:
    """Cut off, not gzip at all, or with a wrong checksum: no half body passes for a whole one."""
    with pytest.raises(TransportError, match="broken gzip") as caught:
        zipped([packed])
    assert caught.value.transport_code == "http_decoding"
    assert caught.value.details == {"status": 200, "request_sent": True}
    assert not caught.value.retryable


def test_the_limit_is_exact_and_counts_content() -> None:
    """A body may be as long as the limit, plain or unpacked, and not a byte longer."""
    assert read([b"12", b"345"], 5)["body"] == {"text": "12345"}
    assert zipped([gzip.compress(b"12345")], 5)["body"] == {"text": "12345"}
    assert read([], 0)["body"] == {"text": ""}
    attempts: list[Callable[[], object]] = [lambda: read([b"12", b"3456"], 5), lambda: zipped([gzip.compress(b"123456")], 5)]
    for attempt in attempts:
        with pytest.raises(TransportError, match="more than 5 bytes") as caught:
            attempt()
        assert caught.value.transport_code == "http_too_large"
        assert not caught.value.retryable


def test_a_bomb_does_not_go_off() -> None:
    """A small body that unpacks to 300 MiB costs little more memory than the limit."""
    packed = gzip.compress(bytes(300 * MIB))
    tracemalloc.start()
    with pytest.raises(TransportError, match="more than"):
        zipped([packed])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(packed) < MIB
    assert peak < 8 * MIB
