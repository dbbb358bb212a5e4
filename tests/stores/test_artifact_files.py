"""Files of large artifacts: whole or not there, durable under their name, never in the way."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import pytest

from durum.errors import CorruptionError, StoreUnavailableError
from durum.ports import MAX_CHUNK_BYTES
from durum.stores.artifact_files import INLINE_BYTES, ArtifactFiles
from durum.stores.sqlite import SqliteStore
from durum.testing.conformance.contract import named
from durum.testing.conformance.streams import breaking_off, pieces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LARGE = named(bytes(INLINE_BYTES + 1))
STREAMED = named(b"s" * (2 * MAX_CHUNK_BYTES + 7))


def files_in(folder: Path) -> list[str]:
    """Return the names of all files in a folder and below it."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


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


def anonymous(journal: Journal) -> list[tuple[str, str]]:
    """Return what a journal holds without the chance in its names."""
    return [(kind, "incoming" if step.startswith(".") else step) for kind, step in journal.steps]


@pytest.mark.skipif(sys.platform != "linux", reason="the name of an open file is read from /proc")
def test_an_artifact_is_durable_before_and_under_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes are synced, then named, then the names of file and folders are synced; the second time only the name is."""
    journal = Journal(monkeypatch)
    files = ArtifactFiles(tmp_path / "artifacts")
    files.put(LARGE.id, LARGE.data)
    folder, name = LARGE.id[:2], LARGE.id[2:]
    assert anonymous(journal) == [
        ("sync", tmp_path.name),
        ("sync", "incoming"),
        ("sync", "artifacts"),
        ("name", name),
        ("sync", folder),
    ]
    journal.steps.clear()
    files.put(LARGE.id, LARGE.data)
    assert journal.steps == [("sync", folder)]
    assert files.get(LARGE.id) == LARGE.data
    assert [file.name for file in files.path(LARGE.id).parent.iterdir()] == [name]


@pytest.mark.skipif(sys.platform != "linux", reason="the name of an open file is read from /proc")
def test_a_stream_is_durable_before_and_under_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes are synced once they are all there, then named, then the names are synced; only then there is a row."""

    async def scenario() -> None:
        store = SqliteStore(tmp_path / "durum.db")
        journal = Journal(monkeypatch)
        await store.put_stream("other", pieces(STREAMED.data))
        folder, name = STREAMED.id[:2], STREAMED.id[2:]
        steps = anonymous(journal)
        assert steps == [
            ("sync", tmp_path.name),
            ("sync", "incoming"),
            ("sync", "durum.db.artifacts"),
            ("name", name),
            ("sync", folder),
        ]
        assert ArtifactFiles(tmp_path / "durum.db.artifacts").get(STREAMED.id) == STREAMED.data
        await store.close()

    asyncio.run(scenario())


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
            with pytest.raises(StoreUnavailableError, match="No space left"):
                await store.put_stream("other", pieces(LARGE.data))
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
        (tmp_path / "durum.db.artifacts" / ".incoming-0badcafe").write_bytes(b"half")
        assert not await store.exists(LARGE.id)
        path.write_bytes(LARGE.data)
        assert not await store.exists(LARGE.id)
        await store.put(LARGE)
        assert await store.get(LARGE.id) == LARGE.data
        await store.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("streamed", [False, True])
def test_what_killed_writers_left_is_removed_and_what_living_ones_write_is_not(tmp_path: Path, *, streamed: bool) -> None:
    """The next large artifact cleans up, whoever writes it: what nobody holds any more, and nothing else."""

    async def scenario() -> None:
        folder = tmp_path / "durum.db.artifacts"
        folder.mkdir()
        (folder / ".incoming-0badcafe").write_bytes(b"half")
        (folder / "notes.txt").write_bytes(b"a person's")
        with ArtifactFiles(folder).incoming() as living:
            living.write(LARGE.data)
            other = SqliteStore(tmp_path / "durum.db")
            await (other.put_stream("other", pieces(STREAMED.data)) if streamed else other.put(STREAMED))
            assert files_in(folder) == sorted([STREAMED.id[2:], "notes.txt", living.path.name])
            living.name(ArtifactFiles(folder).path(LARGE.id))
        assert files_in(folder) == sorted([STREAMED.id[2:], "notes.txt", LARGE.id[2:]])
        assert ArtifactFiles(folder).get(LARGE.id) == LARGE.data
        await other.close()

    asyncio.run(scenario())


def test_a_file_that_is_taken_for_left_behind_before_it_is_locked_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the making of a file and its lock someone may clean up: the writer notices and goes on with another."""
    lock = fcntl.flock
    removed: list[Path] = []

    def late(file: BinaryIO, operation: int) -> None:
        if not removed:
            removed.extend(tmp_path.glob(".incoming-*"))
            removed[0].unlink()
        lock(file, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with ArtifactFiles(tmp_path).incoming() as incoming:
        incoming.write(LARGE.data)
        incoming.name(ArtifactFiles(tmp_path).path(LARGE.id))
        assert incoming.path != removed[0]
    assert ArtifactFiles(tmp_path).get(LARGE.id) == LARGE.data
    assert files_in(tmp_path) == [LARGE.id[2:]]


@pytest.mark.parametrize("size", [MAX_CHUNK_BYTES - 1, 3 * MAX_CHUNK_BYTES])
def test_a_stream_that_breaks_off_or_is_cancelled_leaves_no_file(tmp_path: Path, size: int) -> None:
    """Neither a name nor half a file stays, whether or not a part was written already."""

    async def scenario() -> None:
        store = SqliteStore(tmp_path / "durum.db")
        folder = tmp_path / "durum.db.artifacts"
        with pytest.raises(ZeroDivisionError):
            await store.put_stream("other", breaking_off(bytes(size), ZeroDivisionError()))
        waits = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            async for piece in pieces(bytes(size)):
                yield piece
            waits.set()
            await asyncio.get_running_loop().create_future()

        stream = asyncio.create_task(store.put_stream("other", endless()))
        await waits.wait()
        assert len(files_in(folder)) == (size > MAX_CHUNK_BYTES)
        stream.cancel()
        await asyncio.wait({stream})
        assert stream.cancelled()
        assert files_in(folder) == []
        await store.close()

    asyncio.run(scenario())


def test_a_stream_that_is_cancelled_while_the_disk_is_busy_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cancelled call does not wait for the disk, and what the thread does after it is in vain."""
    busy, free = threading.Event(), threading.Event()

    def slow(file: int) -> None:
        del file
        busy.set()
        free.wait()

    async def scenario() -> None:
        store = SqliteStore(tmp_path / "durum.db")
        (tmp_path / "durum.db.artifacts").mkdir()
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", slow)
            stream = asyncio.create_task(store.put_stream("other", pieces(STREAMED.data)))
            await asyncio.to_thread(busy.wait)
            stream.cancel()
            await asyncio.wait({stream})
            assert stream.cancelled()
            free.set()
            await asyncio.get_running_loop().shutdown_default_executor()
        assert not await store.exists(STREAMED.id)
        await store.close()

    asyncio.run(scenario())
    assert files_in(tmp_path / "durum.db.artifacts") == []


def test_a_damaged_file_is_made_good_by_streaming_its_bytes_again(tmp_path: Path) -> None:
    """The bytes that come replace what lies there: they were just hashed, the others were not."""

    async def scenario() -> None:
        store = SqliteStore(tmp_path / "durum.db")
        await store.put(LARGE)
        ArtifactFiles(tmp_path / "durum.db.artifacts").path(LARGE.id).write_bytes(b"damaged")
        with pytest.raises(CorruptionError):
            await store.get(LARGE.id)
        await store.put_stream("other", pieces(LARGE.data))
        assert await store.get(LARGE.id) == LARGE.data
        await store.close()

    asyncio.run(scenario())


def test_a_file_that_cannot_be_read_is_no_damage(tmp_path: Path) -> None:
    """A link that leads to itself: the store is away, which may pass. No file in its place, or a folder, is damage."""

    async def scenario() -> None:
        store = SqliteStore(tmp_path / "durum.db")
        await store.put(LARGE)
        path = ArtifactFiles(tmp_path / "durum.db.artifacts").path(LARGE.id)
        path.unlink()
        path.symlink_to(path)
        with pytest.raises(StoreUnavailableError, match=path.name):
            await store.get(LARGE.id)
        with pytest.raises(StoreUnavailableError, match=path.name):
            await anext(store.chunks(LARGE.id))
        path.unlink()
        with pytest.raises(CorruptionError, match="gone"):
            await anext(store.chunks(LARGE.id))
        path.mkdir()
        with pytest.raises(CorruptionError):
            await store.get(LARGE.id)
        await store.close()

    asyncio.run(scenario())


def test_small_artifacts_need_no_file(tmp_path: Path) -> None:
    """Up to 64 KiB they lie in the database, above in files."""

    async def scenario() -> None:
        store = SqliteStore(tmp_path / "durum.db")
        await store.put(named(bytes(INLINE_BYTES)))
        await store.put_stream("other", pieces(bytes(INLINE_BYTES)))
        await store.put_stream("other", pieces(bytes(INLINE_BYTES - 1)))
        assert not (tmp_path / "durum.db.artifacts").exists()
        await store.put(LARGE)
        assert (tmp_path / "durum.db.artifacts" / LARGE.id[:2] / LARGE.id[2:]).read_bytes() == LARGE.data
        await store.close()

    asyncio.run(scenario())
