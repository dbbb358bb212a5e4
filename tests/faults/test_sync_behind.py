"""Commits that wait for no disk: nothing is acknowledged, and nothing goes outside, that a power cut could still take."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.faults.lossy_disk import ALL, SAID, LossyDisk, check_kept, ended, events_of
from tests.faults.machine import OK
from tests.workflows.journal import lines_of

if TYPE_CHECKING:
    from pathlib import Path

STEADY = "tests.workflows.steady:flow"


@pytest.fixture(scope="module")
def undisturbed(library: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    """Give what the run comes to, all of which is on the disk."""
    disk = LossyDisk(library, tmp_path_factory.mktemp("undisturbed"), STEADY, watched=False)
    whole = disk.drive()
    assert whole.code == OK
    assert len(whole.told) > 20
    assert whole.told == events_of(disk.after_a_power_cut("cut"))
    return ended(disk.root / "durum.db", disk.folder, STEADY)


@pytest.mark.parametrize("length", [1, ALL])
@pytest.mark.parametrize("first", range(2, 16))
def test_what_was_acknowledged_survives_a_sync_that_failed_behind(
    first: int, length: int, library: Path, tmp_path: Path, undisturbed: tuple[object, ...]
) -> None:
    """Whichever failed: on the disk as it is and as a power cut leaves it, the run comes to the same end, its effect once."""
    disk = LossyDisk(library, tmp_path, STEADY, watched=False)
    one = disk.drive(first, first + length - 1)
    assert one.code == OK or all(word in one.said for word in SAID), one.said
    left = disk.after_a_power_cut("first")
    check_kept(one.told, left)
    two = disk.drive()
    assert two.code == OK, two.said
    check_kept(one.told | two.told, disk.after_a_power_cut("second"))
    assert ended(disk.root / "durum.db", tmp_path, STEADY) == undisturbed
    assert len(lines_of(tmp_path)) == 1


@pytest.mark.parametrize("told", range(1, 24, 3))
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
