"""Files of large artifacts: whole or not there, durable under their name, never in the way."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from durum.errors import StoreUnavailableError
from durum.stores.artifact_files import INLINE_BYTES, ArtifactFiles
from durum.stores.sqlite import SqliteStore
from durum.testing.conformance.contract import named

LARGE = named(bytes(INLINE_BYTES + 1))


class Journal:
    """What is written, synced and renamed, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: list[tuple[str, str]] = []
        sync, rename = os.fsync, Path.replace

        def fsync(file: int) -> None:
            self.steps.append(("sync", Path(f"/proc/self/fd/{file}").readlink().name))
            sync(file)

        def replace(path: Path, target: Path) -> Path:
            self.steps.append(("name", target.name))
            return rename(path, target)

        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(Path, "replace", replace)


@pytest.mark.skipif(sys.platform != "linux", reason="the name of an open file is read from /proc")
def test_an_artifact_is_durable_before_and_under_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes are synced, then named, then the names of file and folders are synced; the second time only the name is."""
    journal = Journal(monkeypatch)
    files = ArtifactFiles(tmp_path / "artifacts")
    files.put(LARGE.id, LARGE.data)
    folder, name = LARGE.id[:2], LARGE.id[2:]
    steps = [(kind, "partial" if step.startswith(".") else step) for kind, step in journal.steps]
    assert steps == [("sync", tmp_path.name), ("sync", "artifacts"), ("sync", "partial"), ("name", name), ("sync", folder)]
    journal.steps.clear()
    files.put(LARGE.id, LARGE.data)
    assert journal.steps == [("sync", folder)]
    assert files.get(LARGE.id) == LARGE.data
    assert [file.name for file in files.path(LARGE.id).parent.iterdir()] == [name]


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Neither the name nor a half-written file stays, the error says why, and a later try succeeds."""

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    async def scenario() -> None:
        store = SqliteStore(tmp_path / "durum.db")
        await store.put(named(bytes(INLINE_BYTES)))
        with monkeypatch.context() as patch:
            patch.setattr(*{"fsync": (os, "fsync", fail), "replace": (Path, "replace", fail)}[where])
            with pytest.raises(StoreUnavailableError, match="No space left"):
                await store.put(LARGE)
        assert not await store.exists(LARGE.id)
        assert [path for path in (tmp_path / "durum.db.artifacts").rglob("*") if path.is_file()] == []
        await store.put(LARGE)
        assert await store.get(LARGE.id) == LARGE.data
        await store.close()

    asyncio.run(scenario())


def test_what_a_killed_writer_left_is_no_artifact(tmp_path: Path) -> None:
    """A half-written file has another name, and a file without a row is not listed; both are harmless."""

    async def scenario() -> None:
        store = SqliteStore(tmp_path / "durum.db")
        path = ArtifactFiles(tmp_path / "durum.db.artifacts").path(LARGE.id)
        path.parent.mkdir(parents=True)
        path.with_name(f".{path.name}.0badcafe").write_bytes(b"half")
        assert not await store.exists(LARGE.id)
        path.write_bytes(LARGE.data)
        assert not await store.exists(LARGE.id)
        await store.put(LARGE)
        assert await store.get(LARGE.id) == LARGE.data
        await store.close()

    asyncio.run(scenario())


def test_a_file_that_cannot_be_read_is_no_damage(tmp_path: Path) -> None:
    """A folder in its place: the store is away, which may pass; it is not said to be corrupt."""

    async def scenario() -> None:
        store = SqliteStore(tmp_path / "durum.db")
        await store.put(LARGE)
        path = ArtifactFiles(tmp_path / "durum.db.artifacts").path(LARGE.id)
        path.unlink()
        path.mkdir()
        with pytest.raises(StoreUnavailableError, match=path.name):
            await store.get(LARGE.id)
        await store.close()

    asyncio.run(scenario())


def test_small_artifacts_need_no_file(tmp_path: Path) -> None:
    """Up to 64 KiB they lie in the database, above in files."""

    async def scenario() -> None:
        store = SqliteStore(tmp_path / "durum.db")
        await store.put(named(bytes(INLINE_BYTES)))
        assert not (tmp_path / "durum.db.artifacts").exists()
        await store.put(LARGE)
        assert (tmp_path / "durum.db.artifacts" / LARGE.id[:2] / LARGE.id[2:]).read_bytes() == LARGE.data
        await store.close()

    asyncio.run(scenario())
