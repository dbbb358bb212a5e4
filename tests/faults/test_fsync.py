"""An fsync that fails: nothing is acknowledged that a power cut could still take, then or by whoever drives the run on."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
from typing import TYPE_CHECKING

import pytest

from durum.stores.sqlite import SqliteStore
from durum.testing.conformance.contract import RUN
from tests.faults import moving_a_log
from tests.faults.lossy_disk import ALL, SAID, LossyDisk, check_kept, ended, events_of
from tests.faults.machine import OK, PARKED

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def undisturbed(library: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    """Give what the run comes to; on this disk, too, all that is acknowledged is there after a power cut."""
    disk = LossyDisk(library, tmp_path_factory.mktemp("undisturbed"))
    whole = disk.drive()
    assert whole.code == OK
    assert whole.told <= events_of(disk.after_a_power_cut("cut"))
    return ended(disk.root / "durum.db", disk.folder)


@pytest.mark.slow
@pytest.mark.parametrize("length", [1, 2, 40])
@pytest.mark.parametrize("first", [1, 4, 7, 11, 16, 26])
def test_what_was_acknowledged_survives_a_failed_sync_and_a_power_cut(
    first: int, length: int, library: Path, tmp_path: Path, undisturbed: tuple[object, ...]
) -> None:
    """Once or in a row, also when another process went on in between; on either disk the run comes to the same end."""
    disk = LossyDisk(library, tmp_path)
    one = disk.drive(first, first + length - 1)
    assert one.code == OK or all(word in one.said for word in SAID), one.said
    check_kept(one.told, disk.after_a_power_cut("first"))
    two = disk.drive()
    assert two.code == OK, two.said
    check_kept(one.told | two.told, disk.after_a_power_cut("second"))
    assert ended(disk.root / "durum.db", tmp_path) == undisturbed
    left = disk.after_a_power_cut("third")
    assert ended(left, tmp_path) == undisturbed


@pytest.mark.parametrize("told", [1, 3, 6])
@pytest.mark.parametrize("first", [3, 7, 12])
def test_whoever_goes_on_after_a_failed_sync_relies_on_nothing_that_is_not_on_the_disk(
    first: int, told: int, library: Path, tmp_path: Path, undisturbed: tuple[object, ...]
) -> None:
    """A process whose every sync failed leaves commits that read well: the next one makes them durable before its own."""
    disk = LossyDisk(library, tmp_path)
    one = disk.drive(first, ALL)
    assert one.code == PARKED
    two = disk.drive(most_told=told)
    assert two.code == -signal.SIGKILL
    left = disk.after_a_power_cut("cut")
    check_kept(one.told | two.told, left)
    assert ended(left, tmp_path) == undisturbed


@pytest.mark.parametrize("mended", ["at once", "later"])
@pytest.mark.parametrize("goes_on", ["the same", "another"])
def test_what_was_moved_from_the_log_survives_a_failed_sync_of_the_file(
    goes_on: str, mended: str, library: Path, tmp_path: Path
) -> None:
    """Though a part of it was moved without one, beside somebody who read; whoever writes is told, and goes on."""
    disk = LossyDisk(library, tmp_path)
    ended = disk.call(moving_a_log.__file__, str(disk.root / "durum.db"), goes_on, mended, variables={})
    assert (ended.code, ended.said, len(ended.told)) == (OK, "told\n", moving_a_log.EVENTS)
    left = disk.after_a_power_cut("cut")
    with contextlib.closing(sqlite3.connect(left)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    store = SqliteStore(left, create=False)
    assert len(asyncio.run(store.read_range(RUN))) == moving_a_log.EVENTS
    asyncio.run(store.close())
