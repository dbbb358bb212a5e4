"""Read one HTTP response within bounds and give it the shape that is recorded."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from durum.core.payload import encode_payload
from durum.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Sequence

    from durum.core.canonical import JsonObject, JsonValue

_GZIP = frozenset({"gzip", "x-gzip"})
_GZIP_START = b"\x1f"
_GZIP_OVERHEAD_BYTES = 65536  # what packing may add to a small body
_HOP_BY_HOP = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection"),
        *("te", "trailer", "transfer-encoding", "upgrade"),
    }
)
_CREDENTIALS = frozenset({"set-cookie", "set-cookie2"})
_OF_ENCODED_BODY = frozenset({"content-encoding", "content-length"})


class Reply:
    """One response under way: status, headers, and a body that is read with a limit on its size after decompression.

    A body in an encoding other than gzip stays as it was sent, with its ``content-encoding`` header to say so.
    """

    def __init__(self, label: str, url: str, status: int, raw_headers: Sequence[tuple[bytes, bytes]]) -> None:
        self._label = label
        self._url = url
        self.status = status
        self.headers = [(name.decode("latin-1").lower(), _text(value)) for name, value in raw_headers]
        self._gzip = (self.header("content-encoding") or "").strip().lower() in _GZIP

    def header(self, name: str) -> str | None:
        """Return the last header of this lowercase name."""
        return next((value for key, value in reversed(self.headers) if key == name), None)

    async def outcome(self, chunks: AsyncIterable[bytes], limit_bytes: int) -> JsonObject:
        """Read the body to its end and return the outcome; raise ``http_too_large`` or ``http_decoding``."""
        body = _Gunzip(limit_bytes) if self._gzip else _Plain(limit_bytes)
        try:
            async for chunk in chunks:
                body.feed(chunk)
                if body.exceeds(limit_bytes):
                    raise self._failure(
                        f"answered with more than {limit_bytes} bytes; raise max_body_bytes or ask for less", "http_too_large"
                    )
            body.end()
        except zlib.error:
            raise self._failure(
                "answered with a broken gzip body; ask for 'accept-encoding: identity'", "http_decoding"
            ) from None
        headers: list[JsonValue] = [[name, value] for name, value in self._kept_headers(decoded=body.decoded)]
        return {"status": self.status, "url": self._url, "headers": headers, "body": encode_payload(bytes(body.data))}

    def _failure(self, reason: str, code: str) -> TransportError:
        return TransportError(f"{self._label} {reason}", code=code, details={"status": self.status, "request_sent": True})

    def _kept_headers(self, *, decoded: bool) -> list[tuple[str, str]]:
        named = {token.strip().lower() for key, value in self.headers if key == "connection" for token in value.split(",")}
        dropped = _HOP_BY_HOP | _CREDENTIALS | named | (_OF_ENCODED_BODY if decoded else frozenset())
        return [(name, value) for name, value in self.headers if name not in dropped]


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


class _Plain:
    """A body as it is sent; it holds at most one chunk more than the limit."""

    def __init__(self, limit_bytes: int) -> None:
        self.data = bytearray()
        self.limit_bytes = limit_bytes
        self.decoded = False  # ``data`` is another form of the body than the one the headers describe

    def feed(self, chunk: bytes) -> None:
        self.data += chunk

    def exceeds(self, limit_bytes: int) -> bool:
        return len(self.data) > limit_bytes

    def end(self) -> None:
        """Accept any end; the framing was checked by the client."""


class _Gunzip(_Plain):
    """A gzip body of one or more members; it holds at most one byte more than the limit, however well it was compressed."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(limit_bytes)
        self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self._padding = False
        self._packed_bytes = 0

    def exceeds(self, limit_bytes: int) -> bool:
        """Also what unpacks to nothing has an end: a name, a padding or members without content could go on for ever."""
        return super().exceeds(limit_bytes) or self._packed_bytes > 2 * limit_bytes + _GZIP_OVERHEAD_BYTES

    def feed(self, chunk: bytes) -> None:
        self.decoded = self.decoded or bool(chunk)
        self._packed_bytes += len(chunk)
        while chunk and len(self.data) <= self.limit_bytes and not self._padding:
            if self._member.eof:
                if not chunk.startswith(_GZIP_START):  # no further member: what follows means nothing
                    self._padding = True
                    return
                self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
            self.data += self._member.decompress(chunk, self.limit_bytes + 1 - len(self.data))
            chunk = self._member.unused_data if self._member.eof else self._member.unconsumed_tail

    def end(self) -> None:
        if self.decoded and not self._member.eof:
            raise zlib.error("truncated")
