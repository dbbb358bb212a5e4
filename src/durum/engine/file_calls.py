"""The file calls of ``io``: whole files as bytes, and files of any size through the store, in bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from durum.core.payload import decode_payload, encode_payload
from durum.core.state import IoCall
from durum.engine.secret_values import refuse_secret
from durum.errors import IoError
from durum.ports import StoredFile

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from os import PathLike

    from durum.core.canonical import JsonObject, JsonValue
    from durum.core.state import IoProvider
    from durum.engine.artifacts import ArtifactReader


_STORED_FILE = msgspec.json.Decoder(StoredFile)  # makes the type known here: see ``core/plan.py``


class FileCalls:
    """What ``Io`` offers for files."""

    _provider: IoProvider
    _reader: ArtifactReader

    async def read_file(self, path: str | PathLike[str], *, max_bytes: int | None = None, keep: str = "run") -> bytes:
        """Return a file's bytes; a file over ``max_bytes`` (default 64 MiB) is refused."""
        response = await self._ask(_request("read", path, max_bytes), keep)
        assert isinstance(response, dict)
        return decode_payload(response["content"])

    async def store_file(self, path: str | PathLike[str], *, max_bytes: int | None = None, keep: str = "run") -> StoredFile:
        """Copy a file into the store and return what names it there, in bounded memory whatever its size.

        A file over ``max_bytes`` (default 5 GB) is refused before it is read. The result may be returned from a step, read by
        ``chunks`` and written by ``write_file``; the bytes are kept as they are.
        """
        response = await self._ask(_request("store", path, max_bytes), keep)
        try:
            return msgspec.convert(response["stored"] if isinstance(response, dict) else None, StoredFile)
        except (KeyError, msgspec.ValidationError):
            message = 'the answer to a stored file must be as {"stored": {"id": "...", "size": 0}}'
            raise IoError(message) from None

    def chunks(self, stored: StoredFile) -> AsyncGenerator[bytes, None]:
        """Hand out the bytes of a stored file in pieces of at most 1 MiB; never recorded, for its id says what they are.

        Raises:
            NotFoundError: the store does not hold it.
            CorruptionError: they are damaged; raised in place of the last piece at the latest.
        """
        return self._reader.chunks(stored.id)

    async def write_file(self, path: str | PathLike[str], content: bytes | str | StoredFile) -> None:
        """Write a file atomically; an effect, so the step must declare ``effects="apply_side_effect"``."""
        request: JsonObject = {"op": "write", "path": str(path)}
        if isinstance(content, StoredFile):
            request["artifact"] = content.id
        else:
            request["content"] = content_payload(content)
        await self._provider.call(IoCall("file", request, read=False))

    async def _ask(self, request: JsonObject, keep: str) -> JsonValue:
        return (await self._provider.call(IoCall("file", request, None, keep))).response


def content_payload(content: bytes | str) -> JsonObject:
    """Return what a call hands on as it is; a ``Secret`` is refused."""
    refuse_secret(content)
    return encode_payload(content.encode() if isinstance(content, str) else content)


def _request(op: str, path: str | PathLike[str], max_bytes: int | None) -> JsonObject:
    request: JsonObject = {"op": op, "path": str(path)}
    return request if max_bytes is None else request | {"max_bytes": max_bytes}
