"""Read and write whole files; a write is atomic and durable (namespace ``file``)."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import secrets
import stat
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from durum.core.payload import encode_payload
from durum.errors import TransportError
from durum.transports.request import MAX_PAYLOAD_BYTES, Fields

if TYPE_CHECKING:
    from collections.abc import Iterator

    from durum.core.canonical import JsonObject
    from durum.ports import TransportCall

_KNOWN = {
    "read": frozenset({"op", "path", "max_bytes"}),
    "write": frozenset({"op", "path", "content", "mode", "parents"}),
}
_DEFAULT_READ_BYTES = 64 * 1024 * 1024
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

    ``{"op": "read", "path": str, "max_bytes"?: int}`` gives ``{"content": payload}``. ``{"op": "write", "path": str, "content":
    payload, "mode"?: int, "parents"?: bool}`` gives ``{"bytes": int, "sha256": hex}``: readers see the old file or the new one,
    never a part; a symbolic link stays and its target is written; the mode is ``mode``, else the old file's, else the umask's.

    Error codes, none retryable: ``invalid_request``, ``file_not_found``, ``file_permission``, ``file_is_directory``,
    ``file_too_large``, ``disk_full``, ``file_error``.
    """

    def __init__(self, base: Path | None = None) -> None:
        self._base = Path.cwd() if base is None else base.absolute()

    async def call(self, request: JsonObject, call: TransportCall) -> JsonObject:  # noqa: ARG002 - no key, no secrets
        """Read or write one file; raise ``TransportError`` with the code of what went wrong."""
        op = request.get("op")
        if not isinstance(op, str) or op not in _KNOWN:
            raise TransportError('file request: op must be "read" or "write"', code="invalid_request")
        fields = Fields("file", request, _KNOWN[op])
        name = fields.text("path")
        path = self._path(fields, name)
        if op == "read":
            limit = fields.integer("max_bytes", _DEFAULT_READ_BYTES, 0, MAX_PAYLOAD_BYTES)
            with _explained("read", name):
                return {"content": encode_payload(_read(path, name, limit))}
        with _explained("write", name):
            return await _write(_write_of(fields, path))

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
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a named pipe would wait for its writer
    try:
        _require_regular(os.fstat(fd))
        with os.fdopen(fd, "rb", closefd=False) as file:
            data = file.read(limit + 1)
    finally:
        os.close(fd)
    if len(data) > limit:
        raise TransportError(
            f"cannot read {name}: it is longer than {limit} bytes; raise max_bytes",
            code="file_too_large",
            details={"path": name, "max_bytes": limit},
        )
    return data


def _require_regular(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Write:
    """One checked write request."""

    path: str
    content: bytes = field(repr=False)
    mode: int | None
    parents: bool


def _write_of(fields: Fields, path: str) -> _Write:
    content = fields.payload("content")
    if content is None:
        raise fields.refuse("content is missing")
    mode = fields.integer("mode", 0, 0, 0o777) if "mode" in fields else None
    return _Write(path=path, content=content, mode=mode, parents=fields.flag("parents", default=True))


async def _write(write: _Write) -> JsonObject:
    abandoned = threading.Event()
    if len(write.content) <= _INLINE_BYTES:
        return _replace(write, abandoned)
    thread = asyncio.ensure_future(asyncio.to_thread(_replace, write, abandoned))
    thread.add_done_callback(lambda done: done.cancelled() or done.exception())  # a cancelled call does not look at it
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        # A thread left alone could put its bytes over those of a later write.
        abandoned.set()
        await asyncio.wait({thread})
        raise


def _replace(write: _Write, abandoned: threading.Event) -> JsonObject:
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
    with _synced(target.parent):
        _swap_in(write, target, old, abandoned)
    return {"bytes": len(write.content), "sha256": hashlib.sha256(write.content).hexdigest()}


def _swap_in(write: _Write, target: Path, old: os.stat_result | None, abandoned: threading.Event) -> None:
    """Write a file beside ``target``, then put it in its place."""
    temporary = target.parent / f".durum-{secrets.token_hex(8)}.tmp"
    mode = stat.S_IMODE(old.st_mode) if write.mode is None and old is not None else write.mode
    # Private until it has its mode: nobody else may open it in between.
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666 if mode is None else 0o600)
    try:
        try:
            _write_all(fd, write.content)
            _adopt(fd, mode, old)
            os.fsync(fd)
        finally:
            os.close(fd)
        if abandoned.is_set():
            raise InterruptedError(errno.EINTR, os.strerror(errno.EINTR))
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _write_all(fd: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(fd, left) :]


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
