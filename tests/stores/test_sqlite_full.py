"""A disk that is full, or cannot be written: the error is clear, nothing acknowledged is lost, and with room all goes on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

import durum
from durum import DurumError, Io, Workflow
from durum.engine import recorder
from durum.errors import StoreUnavailableError
from durum.stores.sqlite import SqliteStore
from durum.testing.conformance.contract import RUN, begun, chained, named, present
from durum.testing.conformance.streams import pieces
from tests.engine.small_run import Drive, Outside
from tests.engine.test_recorder_faults import EFFECTS, check

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DISK_BYTES = 2 * 1024 * 1024
BALLAST = "ballast"
FULL = "full|No space left"


def command(*words: str) -> bool:
    """Run a command of the system and tell whether it could be done."""
    try:
        return subprocess.run(words, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of 2 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    if not command("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place)):
        pytest.skip("a small file system can be mounted by root only")
    try:
        yield place
    finally:
        command("umount", "-l", str(place))


def fill(disk: Path, spare: int) -> None:
    """Leave so many bytes free."""
    free = shutil.disk_usage(disk).free
    assert free > spare
    (disk / BALLAST).write_bytes(bytes(free - spare))


def make_room(disk: Path) -> None:
    """Free what was filled."""
    (disk / BALLAST).unlink()


@pytest.mark.parametrize("size", [10_000, 100_000])
def test_nothing_acknowledged_is_lost_on_a_full_disk(disk: Path, size: int) -> None:
    """Appends with small and large artifacts until no more fit: all that were acknowledged read back, then and later."""

    async def scenario() -> None:
        store = SqliteStore(disk / "durum.db")
        await begun(store)
        fill(disk, 600_000)
        kept: list[str] = []

        async def append_on() -> None:
            while True:
                now = await present(store)
                artifact = named(now.seq.to_bytes(2, "big") * (size // 2))
                await store.append(RUN, now.seq, now.epoch, chained(now.hash, now.seq + 1, bytes(5_000)), [artifact])
                kept.append(artifact.id)

        with pytest.raises(StoreUnavailableError, match=FULL):
            await append_on()
        assert kept
        head = await present(store)
        for handle in (store, SqliteStore(disk / "durum.db")):
            assert await handle.head(RUN) == head
            assert len(await handle.read_range(RUN)) == len(kept)
            for artifact_id in kept:
                await handle.get(artifact_id)
        await handle.close()
        make_room(disk)
        assert await store.append(RUN, head.seq, head.epoch, chained(head.hash, head.seq + 1, b"x")) == head.seq + 1
        await store.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("size", [100_000, DISK_BYTES, 4 * DISK_BYTES])
def test_a_stream_that_does_not_fit_leaves_nothing(disk: Path, size: int) -> None:
    """The error is clear, nothing of it has a name or takes room, and with room the same bytes are stored."""

    async def scenario() -> None:
        store = SqliteStore(disk / "durum.db")
        head = await begun(store, b"1")
        fill(disk, 90_000)
        free = shutil.disk_usage(disk).free
        with pytest.raises(StoreUnavailableError, match=FULL):
            await store.put_stream("other", pieces(bytes(size)))
        assert not await store.exists(named(bytes(size)).id)
        assert [path for path in (disk / "durum.db.artifacts").rglob("*") if path.is_file()] == []
        assert shutil.disk_usage(disk).free > free - 20_000  # folders
        assert await store.append(RUN, 1, head.epoch, chained(head.hash, 2, b"2")) == 2
        make_room(disk)
        if size < DISK_BYTES:
            stored = await store.put_stream("other", pieces(bytes(size)))
            assert await store.get(stored.id) == bytes(size)
        await store.close()

    asyncio.run(scenario())


def test_a_step_whose_file_does_not_fit_waits_for_room(disk: Path, tmp_path: Path) -> None:
    """Whatever the step makes of it, that is no outcome of the run: it stops, the store is whole, and with room it goes on."""
    (tmp_path / "file").write_bytes(bytes(DISK_BYTES // 2))
    flow, run_id = Workflow("full"), "01890a5d-ac96-774b-bcce-b302099a8057"

    @flow.step
    async def told(io: Io) -> int:
        for _ in range(3):
            with contextlib.suppress(DurumError):
                return (await io.store_file(tmp_path / "file")).size
        return 0

    with durum.open(f"sqlite:///{disk}/durum.db") as service:
        fill(disk, DISK_BYTES // 4)
        with pytest.raises(StoreUnavailableError, match=FULL):
            service.start(flow, run_id=run_id)
        assert service.verify(run_id).first_bad is None
        assert [path for path in (disk / "durum.db.artifacts").rglob("*") if path.is_file()] == []
        make_room(disk)
        service.resume(run_id, flow)
        assert service.context(run_id, "told") == DISK_BYTES // 2
        assert service.replay(run_id, "reproduce", flow).divergence is None


def test_a_store_is_not_half_made_on_a_full_disk(disk: Path) -> None:
    """Making one fails with a clear error and leaves nothing; with room it is made."""
    fill(disk, 8_192)
    with pytest.raises(StoreUnavailableError, match=FULL):
        SqliteStore(disk / "durum.db")
    assert [path.name for path in disk.iterdir()] == [BALLAST]
    make_room(disk)
    asyncio.run(SqliteStore(disk / "durum.db").close())


@pytest.mark.parametrize("spare", range(0, 600_000, 30_000))
def test_a_run_that_met_a_full_disk_goes_on_once_there_is_room(disk: Path, spare: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much room there was: it ends, or stops with the store's error and the same handle drives it to the same end."""
    monkeypatch.setattr(recorder, "_RETRY_SECONDS", 0)

    async def scenario() -> None:
        store = SqliteStore(disk / "durum.db")
        fill(disk, spare)
        outside = Outside()
        drives = [Drive(store, outside)]
        try:
            state = await drives[0].start()
        except StoreUnavailableError as error:
            assert "full" in str(error) or "No space left" in str(error)  # noqa: PT017 - it may also end
            make_room(disk)
            drives.append(Drive(store, outside))
            state = await (drives[1].resume() if await store.read_range(RUN) else drives[1].start())
        await check(store, state, drives)
        assert sorted(set(outside.applied), key=str) == EFFECTS
        await store.close()

    asyncio.run(scenario())


def test_a_read_only_place_is_told(disk: Path) -> None:
    """A store on it cannot be opened or made, nor written through a handle that was open before; with leave again it can."""

    def remount(how: str) -> None:
        if not command("mount", "-o", f"remount,{how}", str(disk)):
            pytest.skip("this system does not remount")

    async def scenario() -> None:
        store = SqliteStore(disk / "durum.db")
        head = await begun(store, b"1")
        store._database.let_go()
        store._ownership.lock.release()
        store._ownership._lock = None  # nothing is open, as when it was idle
        remount("ro")
        with pytest.raises(StoreUnavailableError):
            await store.append(RUN, 1, head.epoch, chained(head.hash, 2, b"2"))
        with pytest.raises(StoreUnavailableError, match="choose another"):
            SqliteStore(disk / "durum.db")
        with pytest.raises(StoreUnavailableError, match=r"another\.db"):
            SqliteStore(disk / "another.db")
        remount("rw")
        again = await store.claim(RUN)
        assert await store.append(RUN, 1, again.epoch, chained(head.hash, 2, b"2")) == 2
        await store.close()

    asyncio.run(scenario())
    assert [path.name for path in disk.iterdir() if path.is_file()] == ["durum.db"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_told(tmp_path: Path) -> None:
    """The error says what to do, and nothing is left in the folder."""
    (tmp_path / "closed").mkdir(mode=0o555)
    with pytest.raises(StoreUnavailableError, match="choose another"):
        SqliteStore(tmp_path / "closed" / "durum.db")
    assert list((tmp_path / "closed").iterdir()) == []
