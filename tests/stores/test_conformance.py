"""One suite over every store: memory and SQLite."""

from __future__ import annotations

import sqlite3
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from durum.stores.memory import MemoryBackend, MemoryStore
from durum.stores.sqlite import SqliteStore
from durum.testing.conformance import StoreConformance

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from durum.engine.engine import Store


class TestMemoryStore(StoreConformance):
    """Two handles on one backend."""

    backend: MemoryBackend

    @asynccontextmanager
    async def handles(self) -> AsyncIterator[Sequence[Store]]:
        """Open two workers in one process."""
        self.backend = MemoryBackend()
        yield MemoryStore(self.backend), MemoryStore(self.backend)

    async def damage(self, artifact_id: str) -> bool:
        """Change the bytes in the dict."""
        self.backend.artifacts[artifact_id] += b"!"
        return True


class TestSqliteStore(StoreConformance):
    """Two handles on one file."""

    path: Path

    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        """Give the file its own folder."""
        self.path = tmp_path / "durum.db"

    @asynccontextmanager
    async def handles(self) -> AsyncIterator[Sequence[Store]]:
        """Open the file twice."""
        handles = SqliteStore(self.path), SqliteStore(self.path)
        yield handles
        for handle in handles:
            await handle.close()

    async def damage(self, artifact_id: str) -> bool:
        """Change the bytes in their row, or in their file."""
        digest = bytes.fromhex(artifact_id)
        connection = sqlite3.connect(self.path)
        with connection:
            (data,) = connection.execute("SELECT data FROM artifacts WHERE digest = ?", (digest,)).fetchone()
            if data is not None:
                connection.execute("UPDATE artifacts SET data = 'text' WHERE digest = ?", (digest,))
            else:
                file = self.path.with_name("durum.db.artifacts") / artifact_id[:2] / artifact_id[2:]
                file.write_bytes(file.read_bytes()[:-1])
        connection.close()
        return True
