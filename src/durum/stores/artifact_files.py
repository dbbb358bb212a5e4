"""Artifacts too large for the database, one file each beside it: written and fsynced before any event names them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from hashlib import sha256
from typing import TYPE_CHECKING, BinaryIO

from durum.ports import MAX_CHUNK_BYTES

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

INLINE_BYTES = 64 * 1024
"""Largest artifact that travels inside the append's own transaction."""

_INCOMING = ".incoming-"


class ArtifactFiles:
    """A folder of immutable files named by their SHA-256; an orphan left by a crash is harmless."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, artifact_id: str) -> Path:
        """Return where an artifact lies."""
        return self._folder / artifact_id[:2] / artifact_id[2:]

    def put(self, artifact_id: str, data: bytes) -> None:
        """Store bytes durably; a file that is there already is complete, for it got its name last."""
        path = self.path(artifact_id)
        if path.exists():
            sync_folder(path.parent)  # whoever wrote it may not have come so far
            return
        with self.incoming() as incoming:
            incoming.write(data)
            incoming.name(path)

    def get(self, artifact_id: str) -> bytes:
        """Return the bytes; ``FileNotFoundError`` if the file is gone."""
        return self.path(artifact_id).read_bytes()

    def open(self, artifact_id: str) -> BinaryIO:
        """Return the file to be read piece by piece; ``FileNotFoundError`` if it is gone."""
        return self.path(artifact_id).open("rb")

    def incoming(self) -> Incoming:
        """Begin a file whose name is not known yet, and clean up after writers that were killed."""
        make_folder(self._folder)
        for left in self._folder.glob(f"{_INCOMING}*"):
            _remove_if_left(left)
        return Incoming(self._folder)


class Incoming:
    """A file on its way into the folder, locked for as long as it is written: one that nobody locks was left by a crash.

    A thread may be in ``write`` or ``name`` when ``close`` is called: a buffered file's own lock makes that wait for the write.
    """

    def __init__(self, folder: Path) -> None:
        while True:
            self.path = folder / f"{_INCOMING}{secrets.token_hex(8)}"
            self._file = self.path.open("xb")
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX)
                if os.fstat(self._file.fileno()).st_nlink:
                    return
            except BaseException:
                self.close()
                raise
            self._file.close()  # someone who cleans up came between its making and its lock

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, data: bytes | bytearray) -> None:
        """Add bytes."""
        self._file.write(data)

    def name(self, path: Path) -> None:
        """Make the bytes durable, then give them their name, durably too."""
        self._file.flush()
        os.fsync(self._file.fileno())
        make_folder(path.parent)
        self.path.replace(path)
        sync_folder(path.parent)

    def close(self) -> None:
        """Let go of the file; without a name it is gone."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # what a full disk did not take is tried once more here
            self._file.close()


class Arrival:
    """Bytes that come piece by piece: held in memory up to ``INLINE_BYTES``, beyond that in a file, written by the stretch."""

    def __init__(self, files: ArtifactFiles) -> None:
        self._files = files
        self._incoming: Incoming | None = None
        self._held = bytearray()
        self._digest = sha256()
        self.size = 0

    def take(self, data: bytes) -> bool:
        """Hold a piece, and tell whether ``write`` is due."""
        self._held += data
        self.size += len(data)
        return len(self._held) >= MAX_CHUNK_BYTES

    def begin(self) -> bool:
        """Begin the file if one is needed, and tell whether it is: a thread that is left behind must not begin one."""
        if self._incoming is None and self.size > INLINE_BYTES:
            self._incoming = self._files.incoming()
        return self._incoming is not None

    def write(self) -> None:
        """Write what is held to the file."""
        assert self._incoming is not None
        held, self._held = self._held, bytearray()
        self._digest.update(held)
        self._incoming.write(held)

    def end(self) -> bytes:
        """Write the rest, give the file its name, and return the digest."""
        self.write()
        assert self._incoming is not None
        self._incoming.name(self._files.path(self._digest.hexdigest()))
        return self._digest.digest()

    @property
    def held(self) -> bytes:
        """What is not in a file; all there is, if none was begun."""
        return bytes(self._held)

    def close(self) -> None:
        """Let go of the file; without a name it is gone."""
        if self._incoming is not None:
            self._incoming.close()


def _remove_if_left(path: Path) -> None:
    """Remove a file that was on its way unless its writer lives."""
    with contextlib.suppress(OSError):  # it lives, another process was faster, or it is not ours to remove
        probe = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
        finally:
            os.close(probe)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing, durably."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
