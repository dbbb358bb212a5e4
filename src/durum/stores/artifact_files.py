"""Artifacts too large for the database, one file each beside it: written and fsynced before any event names them."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

INLINE_BYTES = 64 * 1024
"""Largest artifact that travels inside the append's own transaction."""


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
        if not path.exists():
            self._write(path, data)
        sync_folder(path.parent)  # whoever wrote it may not have come so far

    @staticmethod
    def _write(path: Path, data: bytes) -> None:
        make_folder(path.parent)
        partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            with partial.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

    def get(self, artifact_id: str) -> bytes:
        """Return the bytes; ``FileNotFoundError`` if the file is gone."""
        return self.path(artifact_id).read_bytes()


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
