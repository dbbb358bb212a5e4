"""Read and write files, whole or streamed through the store; a write is atomic and durable (namespace ``file``)."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import re
import secrets
import stat
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from durum.core.payload import encode_payload
from durum.errors import TransportError
from durum.ports import MAX_CHUNK_BYTES
from durum.transports.request import MAX_PAYLOAD_BYTES, Fields

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Iterator

    from durum.core.canonical import JsonObject
    from durum.ports import TransportCall

_KNOWN = {
    "read": frozenset({"op", "path", "max_bytes"}),
    "store": frozenset({"op", "path", "max_bytes"}),
    "write": frozenset({"op", "path", "content", "artifact", "mode", "parents"}),
}
_DEFAULT_READ_BYTES = 64 * 1024 * 1024
_DEFAULT_STORED_BYTES = 5_000_000_000
_MAX_STORED_BYTES = 2**53 - 1  # the largest integer every JSON reader keeps
_ARTIFACT_ID = re.compile("[0-9a-f]{64}")
_INLINE_BYTES = 1024 * 1024  # a longer write goes to a thread: its fsync would hold up the loop
_REASONS = {
    errno.ENOENT: ("file_not_found", "no such file or directory; check the path"),
    errno.EACCES: ("file_permission", "permission denied; check the owner and mode"),
    errno.EPERM: ("file_permission", "permission denied; check the owner and mode"),
    errno.EISDIR: ("file_is_directory", "it is a directory; name a file"),
    errno.ENOSPC: ("disk_full", "the disk is full; free some space"),
    errno.EDQUOT: ("disk_full", "the disk quota is used up; free some space"),
}


class FileTransport:
    """Reads and writes files; relative paths are below ``base``.

    ``{"op": "read", "path": str, "max_bytes"?: int}`` gives ``{"content": payload}``. ``{"op": "store", "path": str,
    "max_bytes"?: int}`` streams the file into the store and gives ``{"stored": {"id": hex, "size": int}}``. ``{"op": "write",
    "path": str, "content": payload, "mode"?: int, "parents"?: bool}``, or ``"artifact": hex`` in place of the content, gives
    ``{"bytes": int, "sha256": hex}``: readers see the old file or the new one, never a part; a symbolic link stays and its
    target is written; the mode is ``mode``, else the old file's, else the umask's.

    Error codes, none retryable: ``invalid_request``, ``file_not_found``, ``file_permission``, ``file_is_directory``,
    ``file_too_large``, ``disk_full``, ``file_error``; streaming may also fail as ``TransportCall.store`` and ``stored`` do.
    """

    def __init__(self, base: Path | None = None) -> None:
        self._base = Path.cwd() if base is None else base.absolute()

    async def call(self, request: JsonObject, call: TransportCall) -> JsonObject:
        """Read or write one file; raise ``TransportError`` with the code of what went wrong."""
        op = request.get("op")
        if not isinstance(op, str) or op not in _KNOWN:
            raise TransportError('file request: op must be "read", "store" or "write"', code="invalid_request")
        fields = Fields("file", request, _KNOWN[op])
        name = fields.text("path")
        path = self._path(fields, name)
        if op == "read":
            limit = fields.integer("max_bytes", _DEFAULT_READ_BYTES, 0, MAX_PAYLOAD_BYTES)
            with _explained("read", name):
                return {"content": encode_payload(_read(path, name, limit))}
        if op == "store":
            limit = fields.integer("max_bytes", _DEFAULT_STORED_BYTES, 0, _MAX_STORED_BYTES)
            with _explained("store", name):
                return await _store(path, name, limit, call)
        with _explained("write", name):
            return await _write(_write_of(fields, path), call)

    async def close(self) -> None:
        """Hold nothing between calls."""

    def _path(self, fields: Fields, name: str) -> str:
        try:
            encoded = os.fsencode(name)
        except UnicodeEncodeError:
            raise fields.refuse("path holds a character that the system cannot encode") from None
        if not encoded or b"\0" in encoded:
            raise fields.refuse("path must be non-empty and hold no NUL character")
        return os.path.join(self._base, name)  # noqa: PTH118 - Path drops a final slash, which says: a directory


@contextlib.contextmanager
def _explained(verb: str, name: str) -> Iterator[None]:
    """Turn an ``OSError`` into the transport's error."""
    try:
        yield
    except OSError as error:
        code, reason = _REASONS.get(error.errno or 0, ("file_error", f"{error.strerror}; check the path"))
        raise TransportError(f"cannot {verb} {name}: {reason}", code=code, details={"path": name}) from None


def _read(path: str, name: str, limit: int) -> bytes:
    with _opened(path) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise _too_large("read", name, limit)
    return data


@contextlib.contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    """Open a regular file; closing it waits for a thread that reads it."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a named pipe would wait for its writer
    try:
        _require_regular(os.fstat(fd))
        with os.fdopen(fd, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(fd)


def _too_large(verb: str, name: str, limit: int) -> TransportError:
    return TransportError(
        f"cannot {verb} {name}: it is longer than {limit} bytes; raise max_bytes",
        code="file_too_large",
        details={"path": name, "max_bytes": limit},
    )


async def _store(path: str, name: str, limit: int, call: TransportCall) -> JsonObject:
    with _opened(path) as file:
        if os.fstat(file.fileno()).st_size > limit:
            raise _too_large("store", name, limit)
        stored = await call.store(_chunks(file, name, limit))
    return {"stored": {"id": stored.id, "size": stored.size}}


async def _chunks(file: BinaryIO, name: str, limit: int) -> AsyncGenerator[bytes, None]:
    """Read a file to its end, which may move while it is read."""
    left = limit
    while chunk := await asyncio.to_thread(file.read, MAX_CHUNK_BYTES):
        left -= len(chunk)
        if left < 0:
            raise _too_large("store", name, limit)
        yield chunk


def _require_regular(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Write:
    """One checked write request."""

    path: str
    content: bytes | None = field(repr=False)
    artifact: str  # what is written if there is no content
    mode: int | None
    parents: bool


def _write_of(fields: Fields, path: str) -> _Write:
    content = fields.payload("content")
    if (content is None) is not ("artifact" in fields):
        raise fields.refuse("content is missing" if content is None else "content and artifact exclude each other; give one")
    artifact = "" if content is not None else fields.text("artifact")
    if content is None and not _ARTIFACT_ID.fullmatch(artifact):
        raise fields.refuse("artifact must be 64 hex digits")
    mode = fields.integer("mode", 0, 0, 0o777) if "mode" in fields else None
    return _Write(path=path, content=content, artifact=artifact, mode=mode, parents=fields.flag("parents", default=True))


async def _write(write: _Write, call: TransportCall) -> JsonObject:
    if write.content is None:
        async with contextlib.aclosing(call.stored(write.artifact)) as chunks:
            return await _replace_in_thread(write, _pulled(chunks, asyncio.get_running_loop()))
    if len(write.content) <= _INLINE_BYTES:
        return _replace(write, (write.content,), threading.Event())
    return await _replace_in_thread(write, (write.content,))


async def _replace_in_thread(write: _Write, content: Iterable[bytes]) -> JsonObject:
    abandoned = threading.Event()
    thread = asyncio.ensure_future(asyncio.to_thread(_replace, write, content, abandoned))
    thread.add_done_callback(lambda done: done.cancelled() or done.exception())  # a cancelled call does not look at it
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        # A thread left alone could put its bytes over those of a later write.
        abandoned.set()
        await asyncio.wait({thread})
        raise


def _pulled(chunks: AsyncGenerator[bytes, None], loop: asyncio.AbstractEventLoop) -> Iterator[bytes]:
    """Take what comes on the loop into a thread, one piece at a time."""

    async def following() -> bytes:
        return await anext(chunks, b"")

    while chunk := asyncio.run_coroutine_threadsafe(following(), loop).result():
        yield chunk


def _replace(write: _Write, content: Iterable[bytes], abandoned: threading.Event) -> JsonObject:
    if write.path.endswith(os.sep):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    target = Path(os.path.realpath(write.path))  # Path.resolve raises RuntimeError for a loop of links
    try:
        old: os.stat_result | None = target.lstat()
    except FileNotFoundError:
        old = None
    if old is not None:
        _require_regular(old)
    elif write.parents:
        _make_directories(target.parent)
    mode = stat.S_IMODE(old.st_mode) if write.mode is None and old is not None else write.mode
    with _synced(target.parent):
        return _swap_in(target, content, mode, old, abandoned)


def _swap_in(
    target: Path, content: Iterable[bytes], mode: int | None, old: os.stat_result | None, abandoned: threading.Event
) -> JsonObject:
    """Write a file beside ``target``, then put it in its place."""
    temporary = target.parent / f".durum-{secrets.token_hex(8)}.tmp"
    # Private until it has its mode: nobody else may open it in between.
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666 if mode is None else 0o600)
    try:
        try:
            written = _write_all(fd, content, abandoned)
            _adopt(fd, mode, old)
            os.fsync(fd)
        finally:
            os.close(fd)
        _check_wanted(abandoned)
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    return written


def _write_all(fd: int, content: Iterable[bytes], abandoned: threading.Event) -> JsonObject:
    """Write every piece and return what was written."""
    size, digest = 0, hashlib.sha256()
    for chunk in content:
        _check_wanted(abandoned)
        left = memoryview(chunk)
        while left:
            left = left[os.write(fd, left) :]
        size += len(chunk)
        digest.update(chunk)
    return {"bytes": size, "sha256": digest.hexdigest()}


def _check_wanted(abandoned: threading.Event) -> None:
    if abandoned.is_set():
        raise InterruptedError(errno.EINTR, os.strerror(errno.EINTR))


def _adopt(fd: int, mode: int | None, old: os.stat_result | None) -> None:
    """Give the new file the old one's owner, where that is allowed, and its mode."""
    if old is not None and (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
        with contextlib.suppress(PermissionError):
            os.fchown(fd, old.st_uid, old.st_gid)
    if mode is not None:
        os.fchmod(fd, mode)


def _make_directories(directory: Path) -> None:
    """Create ``directory`` and its parents, each durably."""
    if directory.is_dir():
        return
    _make_directories(directory.parent)
    with _synced(directory.parent), contextlib.suppress(FileExistsError):
        directory.mkdir()


@contextlib.contextmanager
def _synced(directory: Path) -> Iterator[None]:
    """Make what is renamed or created within durable; a directory that cannot be synced is refused before anything changes."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield
        _sync(fd)
    finally:
        os.close(fd)


def _sync(fd: int) -> None:
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems sync directories by themselves
            raise
