"""Commits that wait for no disk: nothing is acknowledged, and nothing goes outside, that a power cut could still take."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
from typing import TYPE_CHECKING

import pytest

from durum.stores.sqlite import SqliteStore
from durum.testing.conformance.contract import OTHER_RUN
from tests.faults import behind_a_hole
from tests.faults.lossy_disk import ALL, SAID, LossyDisk, check_kept, ended, events_of
from tests.faults.machine import OK
from tests.workflows.journal import lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STEADY = "tests.workflows.steady:flow"


@pytest.fixture(scope="module")
def undisturbed(library: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    """Give what the run comes to, all of which is on the disk."""
    disk = LossyDisk(library, tmp_path_factory.mktemp("undisturbed"), STEADY, watched=False)
    whole = disk.drive()
    assert whole.code == OK
    assert whole.said == "11 behind\n"
    assert len(whole.told) > 30
    assert whole.told == events_of(disk.after_a_power_cut("cut"))
    return ended(disk.root / "durum.db", disk.folder, STEADY)


@contextlib.contextmanager
def looked_at(store: Path, how: str) -> Iterator[None]:
    """Let somebody else have the store open meanwhile, so that its log stays: idly, or in the middle of a look."""
    with contextlib.closing(sqlite3.connect(store, isolation_level=None)) as other:
        if how == "idly":
            other.execute("SELECT count(*) FROM events").fetchone()
        elif how == "reading":
            other.execute("BEGIN")
            other.execute("SELECT count(*) FROM events").fetchone()
        yield


@pytest.mark.parametrize("other", ["nobody", "idly", "reading"])
@pytest.mark.parametrize("length", [1, ALL])
@pytest.mark.parametrize("first", range(2, 24, 3))
def test_what_was_acknowledged_survives_a_sync_that_failed_behind(
    first: int, length: int, other: str, library: Path, tmp_path: Path, undisturbed: tuple[object, ...]
) -> None:
    """Whichever failed: on the disk as it is and as a power cut leaves it, the run comes to the same end, its effect once."""
    disk = LossyDisk(library, tmp_path, STEADY, watched=False)
    with contextlib.ExitStack() as looks:
        if other != "nobody":
            looks.enter_context(looked_at(disk.root / "durum.db", other))
        one = disk.drive(first, first + length - 1)
        assert one.code == OK or all(word in one.said for word in SAID), one.said
        check_kept(one.told, disk.after_a_power_cut("first"))
        two = disk.drive()
        assert two.code == OK, two.said
        check_kept(one.told | two.told, disk.after_a_power_cut("second"))
    assert ended(disk.root / "durum.db", tmp_path, STEADY) == undisturbed
    assert len(lines_of(tmp_path)) == 1


@pytest.mark.parametrize("told", range(1, 34, 3))
def test_a_power_cut_at_any_moment_takes_nothing_that_was_acknowledged(
    told: int, library: Path, tmp_path: Path, undisturbed: tuple[object, ...]
) -> None:
    """What is not on the disk then is done again, but for effects: these were intended on the disk before they happened."""
    disk = LossyDisk(library, tmp_path, STEADY, watched=False)
    one = disk.drive(most_told=told)
    assert one.code == -signal.SIGKILL
    left = disk.after_a_power_cut("cut")
    check_kept(one.told, left)
    assert ended(left, tmp_path, STEADY) == undisturbed
    assert len(lines_of(tmp_path)) == 1


@pytest.mark.parametrize("early", [False, True])
def test_each_who_writes_is_told_of_a_sync_that_failed(library: Path, tmp_path: Path, *, early: bool) -> None:
    """Before the one whose sync failed knows of it, another commits behind that hole: what it was acknowledged is kept."""
    disk = LossyDisk(library, tmp_path)
    ended = disk.call(behind_a_hole.__file__, str(disk.root / "durum.db"), variables={"LOSING_EARLY": "1"} if early else {})
    assert (ended.code, len(ended.told)) == (OK, behind_a_hole.EVENTS), ended.said
    assert ended.said == ("told\n" if early else "")
    left = SqliteStore(disk.after_a_power_cut("cut"), create=False)
    kept = asyncio.run(left.read_range(OTHER_RUN))
    assert ended.told <= {(OTHER_RUN, event.seq, event.hash.hex()) for event in kept}
    asyncio.run(left.close())
