"""Files are read whole and written whole, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from durum.core.payload import encode_payload
from durum.errors import TransportError
from durum.transports.file import FileTransport
from tests.transports.no_store import NoStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from durum.core.canonical import JsonObject

MIB = 1024 * 1024
SIZES = [0, 1, MIB, MIB + 1, 5 * MIB]  # above 1 MiB a thread writes


class Call(NoStore):
    """A call with an effect key and no secrets."""

    effect_key: str | None = "key"

    def secret(self, name: str) -> str:
        """Know no secret."""
        raise KeyError(name)


def run(request: JsonObject, base: Path | None = None) -> Any:
    """Perform one call on a fresh loop."""
    return asyncio.run(FileTransport(base).call(request, Call()))


def read(path: Path | str, base: Path | None = None, **more: Any) -> Any:
    """Read a file."""
    return run({"op": "read", "path": str(path), **more}, base)


def write(path: Path | str, content: bytes = b"new", base: Path | None = None, **more: Any) -> Any:
    """Write a file."""
    return run({"op": "write", "path": str(path), "content": encode_payload(content), **more}, base)


@contextlib.contextmanager
def failing(code: str, mentions: str = "") -> Iterator[None]:
    """Expect a failure with this code whose sentence holds ``mentions``; nothing here is worth a retry."""
    with pytest.raises(TransportError) as caught:
        yield
    assert caught.value.transport_code == code
    assert mentions in str(caught.value)
    assert not caught.value.retryable


@contextlib.contextmanager
def powerless(directory: Path) -> Iterator[None]:
    """Be a user who may enter ``directory`` and owns nothing; root may do everything."""
    if os.geteuid() != 0:
        yield
        return
    closed = {parent: parent.stat().st_mode for parent in directory.parents if not parent.stat().st_mode & 0o001}
    for parent in closed:
        parent.chmod(0o755)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        for parent, mode in closed.items():
            parent.chmod(mode)


def names(directory: Path) -> list[str]:
    """Return what a directory holds, temporary files included."""
    return sorted(entry.name for entry in directory.iterdir())


# --- round trips --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_what_is_written_is_read(tmp_path: Path, size: int) -> None:
    """Any size comes back byte for byte, with its length and hash, and nothing else is left in the directory."""
    content = os.urandom(size)
    outcome = write(tmp_path / "a", content)
    assert outcome == {"bytes": size, "sha256": hashlib.sha256(content).hexdigest()}
    assert (tmp_path / "a").read_bytes() == content
    assert read(tmp_path / "a") == {"content": encode_payload(content)}
    assert names(tmp_path) == ["a"]


def test_text_is_read_as_text(tmp_path: Path) -> None:
    """A text file's outcome is legible, line ends as they are."""
    (tmp_path / "a").write_bytes("größer\r\n".encode())
    assert read(tmp_path / "a") == {"content": {"text": "größer\r\n"}}


def test_relative_paths_are_below_the_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The base is fixed when the transport is made; an absolute path is itself."""
    write("a", base=tmp_path)
    assert read(tmp_path / "a", base=Path("/"))["content"] == {"text": "new"}
    monkeypatch.chdir(tmp_path)
    transport = FileTransport()
    monkeypatch.chdir("/")
    assert asyncio.run(transport.call({"op": "read", "path": "a"}, Call())) == {"content": {"text": "new"}}


# --- what a write leaves ------------------------------------------------------------------------------------------------


def test_directories_are_made_unless_told_not_to(tmp_path: Path) -> None:
    """Missing parents are created; with ``parents`` false they are an error and nothing is created."""
    write(tmp_path / "x/y/z")
    assert (tmp_path / "x/y/z").read_text() == "new"
    with failing("file_not_found", str(tmp_path / "p/q")):
        write(tmp_path / "p/q", parents=False)
    assert names(tmp_path) == ["x"]


@pytest.mark.parametrize("old_mode", [0o600, 0o640, 0o755])
def test_an_old_file_keeps_its_mode(tmp_path: Path, old_mode: int) -> None:
    """Replacing the bytes of a file leaves who may open it as it was."""
    (tmp_path / "a").touch()
    (tmp_path / "a").chmod(old_mode)
    write(tmp_path / "a")
    assert (tmp_path / "a").stat().st_mode & 0o7777 == old_mode


def test_a_new_file_has_the_mode_asked_for(tmp_path: Path) -> None:
    """A mode is taken exactly, on new and on old files; without one the umask decides."""
    mask = os.umask(0o027)
    try:
        write(tmp_path / "a", mode=0o666)
        write(tmp_path / "b")
        write(tmp_path / "b2", b"x" * (MIB + 1))
    finally:
        os.umask(mask)
    write(tmp_path / "c", mode=0o600)
    write(tmp_path / "c", mode=0o444)
    modes = {name: (tmp_path / name).stat().st_mode & 0o7777 for name in names(tmp_path)}
    assert modes == {"a": 0o666, "b": 0o640, "b2": 0o640, "c": 0o444}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_an_old_file_keeps_its_owner(tmp_path: Path) -> None:
    """Root who writes another user's file does not take it over."""
    (tmp_path / "a").touch()
    os.chown(tmp_path / "a", 1234, 2345)
    write(tmp_path / "a")
    status = (tmp_path / "a").stat()
    assert (status.st_uid, status.st_gid) == (1234, 2345)


def test_a_link_stays_and_its_target_is_written(tmp_path: Path) -> None:
    """Writing through links, relative, chained or dangling, changes the file at the end."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d/real").write_text("old")
    (tmp_path / "inner").symlink_to("d/real")
    (tmp_path / "outer").symlink_to(tmp_path / "inner")
    (tmp_path / "dangling").symlink_to("d/fresh")
    write(tmp_path / "outer")
    write(tmp_path / "dangling")
    assert (tmp_path / "d/real").read_text() == "new"
    assert (tmp_path / "d/fresh").read_text() == "new"
    assert all((tmp_path / name).is_symlink() for name in ("inner", "outer", "dangling"))
    assert names(tmp_path / "d") == ["fresh", "real"]


def test_a_reader_sees_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    """While a file is rewritten over and over, every read gives one whole version."""
    path = tmp_path / "a"
    versions = [bytes([digit]) * (3 * MIB) for digit in b"01"]
    write(path, versions[0])
    done = threading.Event()
    seen: set[bytes] = set()

    def watch() -> None:
        while not done.is_set():
            seen.add(path.read_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    for number in range(20):
        write(path, versions[number % 2])
    done.set()
    watcher.join()
    assert seen <= set(versions)


def test_a_cancelled_write_leaves_no_trace_or_a_whole_file(tmp_path: Path) -> None:
    """When the cancellation is delivered no thread writes any more, and no temporary file is left."""
    path = tmp_path / "a"
    path.write_text("old")
    content = b"x" * (32 * MIB)

    async def scenario() -> bytes:
        request: JsonObject = {"op": "write", "path": str(path), "content": encode_payload(content)}
        task = asyncio.create_task(FileTransport().call(request, Call()))
        while not any(name.startswith(".durum-") for name in names(tmp_path)):  # noqa: ASYNC110 - a file is no event
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return path.read_bytes()

    assert asyncio.run(scenario()) == b"old"
    assert path.read_bytes() == b"old"  # now that the loop has joined its threads
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("size", [1, MIB + 1])
def test_a_write_is_durable_before_it_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """The file, the directory that names it, and every directory that names a new one are synced."""
    synced: set[int] = set()
    sync = os.fsync

    def noting(fd: int) -> None:
        synced.add(os.fstat(fd).st_ino)
        sync(fd)

    monkeypatch.setattr(os, "fsync", noting)
    write(tmp_path / "x/y/a", b"x" * size)
    assert synced == {path.stat().st_ino for path in (tmp_path, tmp_path / "x", tmp_path / "x/y", tmp_path / "x/y/a")}


# --- failures -----------------------------------------------------------------------------------------------------------


def test_a_missing_file(tmp_path: Path) -> None:
    """The error names the path as it was asked for."""
    with failing("file_not_found", "cannot read nothing/here: no such file"):
        read("nothing/here", base=tmp_path)


@pytest.mark.parametrize("path", [".", "d", "d/", "new/", ".."])
def test_a_directory_is_no_file(tmp_path: Path, path: str) -> None:
    """Directories, and paths that say they are one, are refused and stay."""
    (tmp_path / "d").mkdir()
    with failing("file_is_directory"):
        write(path, base=tmp_path)
    assert names(tmp_path) == ["d"]
    if path != "new/":
        with failing("file_is_directory"):
            read(path, base=tmp_path)


def test_missing_rights(tmp_path: Path) -> None:
    """A file or directory one has no rights to is reported as that; the old file is unharmed."""
    (tmp_path / "a").write_text("old")
    (tmp_path / "a").chmod(0o000)
    tmp_path.chmod(0o555)
    with powerless(tmp_path):
        with failing("file_permission", "cannot read a: permission denied"):
            read("a", base=tmp_path)
        with failing("file_permission", "cannot write a: permission denied"):
            write("a", base=tmp_path)
    tmp_path.chmod(0o755)
    (tmp_path / "a").chmod(0o644)
    assert (tmp_path / "a").read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_reading_is_bounded(tmp_path: Path) -> None:
    """A file may be as long as the limit, and a file that claims no length is bounded too."""
    (tmp_path / "a").write_bytes(b"12345")
    assert read(tmp_path / "a", max_bytes=5)["content"] == {"text": "12345"}
    with failing("file_too_large", "longer than 4 bytes"):
        read(tmp_path / "a", max_bytes=4)
    if sys.platform == "linux":
        with failing("file_too_large"):
            read("/proc/self/status", max_bytes=10)


def test_what_is_no_file_is_left_alone(tmp_path: Path) -> None:
    """Pipes, sockets and loops of links are refused at once and never replaced; a device is not read."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for name in ("fifo", "loop", "socket"):
            kind = (tmp_path / name).lstat().st_mode
            with failing("file_error", name):
                read(name, base=tmp_path)
            with failing("file_error", name):
                write(name, base=tmp_path)
            assert (tmp_path / name).lstat().st_mode == kind
    assert names(tmp_path) == ["fifo", "loop", "socket"]
    with failing("file_error", "no regular file"):
        read("/dev/zero")


def test_a_file_in_the_place_of_a_directory(tmp_path: Path) -> None:
    """A path through a file is an error with the system's reason, and so is a name that is too long."""
    (tmp_path / "a").touch()
    with failing("file_error", "Not a directory"):
        write(tmp_path / "a/b")
    with failing("file_error", "File name too long"):
        write(tmp_path / ("x" * 300))
    assert names(tmp_path) == ["a"]


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounts a small file system")
@pytest.mark.parametrize("size", [MIB, 5 * MIB])
def test_a_full_disk(tmp_path: Path, size: int) -> None:
    """A write that does not fit says so, keeps the old file and gives its space back."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(tmp_path)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("may not mount")
    try:
        write(tmp_path / "a", b"old")
        with failing("disk_full", "cannot write a: the disk is full"):
            write("a", b"x" * size, base=tmp_path)
        assert names(tmp_path) == ["a"]
        write(tmp_path / "a", b"x" * 400_000)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_failing_sync_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write the disk did not take is never called done, and nothing of it stays."""
    (tmp_path / "a").write_text("old")

    def broken(_fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", broken)
    with failing("file_error", "Input/output error"):
        write(tmp_path / "a")
    assert (tmp_path / "a").read_text() == "old"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"op": "delete", "path": "a"},
        {"op": ["read"], "path": "a"},
        {"op": "read"},
        {"op": "read", "path": ""},
        {"op": "read", "path": "a\0b"},
        {"op": "read", "path": "\ud800"},
        {"op": "read", "path": "a", "content": {"text": ""}},
        {"op": "read", "path": "a", "max_bytes": -1},
        {"op": "write", "path": "a"},
        {"op": "write", "path": "a", "content": "text"},
        {"op": "write", "path": "a", "content": {"text": ""}, "mode": 0o4755},
        {"op": "write", "path": "a", "content": {"text": ""}, "mode": None},
        {"op": "write", "path": "a", "content": {"text": ""}, "parents": 1},
        {"op": "write", "path": "a", "content": {"text": ""}, "max_bytes": 1},
    ],
)
def test_wrong_requests_are_refused(tmp_path: Path, request_: JsonObject) -> None:
    """A request that is wrong in any field touches nothing."""
    with failing("invalid_request"):
        run(request_, tmp_path)
    assert names(tmp_path) == []
