"""Full, shut, gone, locked, short of files: the run parks with a sentence, loses nothing, and ends as if nothing had been."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.machine import FAILED, FOUND, OK, PARKED, RUN, SECONDS, Machine, Said, fill, said, system

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Undisturbed = Callable[[tuple[int, int]], tuple[Any, ...]]

LIGHT, ROWS, FILES = (4, 1000), (12, 1000), (4, 500_000)
LOCK = """
import sqlite3, sys
held = sqlite3.connect(sys.argv[1], isolation_level=None)
held.execute("PRAGMA journal_mode").fetchone()
held.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


def check_parked(parked: Said, *words: str) -> None:
    """Check that a call says in one sentence what is the matter and how the run goes on, and that it is not over."""
    assert parked.code == PARKED, parked
    (error,) = parked.errors
    assert all(word in error for word in words), error
    assert RUN in parked.resume


def check_looks(looks: dict[str, Said], *words: str) -> None:
    """Check that every other call either does what it is for or says what is the matter; ``doctor`` names it in any case."""
    for verb, look in looks.items():
        assert look.code in {OK, FAILED, 2} or verb == "doctor", (verb, look)
        if look.code == FAILED:
            assert all(word in look.errors[0] for word in words), (verb, look)
    assert looks["doctor"].code == FOUND
    assert all(word in looks["doctor"].out for word in words), looks["doctor"].out


@pytest.mark.parametrize(("weight", "spare"), [(ROWS, 250_000), (ROWS, 700_000), (FILES, 450_000), (FILES, 120_000)])
def test_a_full_disk_parks_the_run_until_there_is_room(
    weight: tuple[int, int], spare: int, disk: Path, tmp_path: Path, undisturbed: Undisturbed
) -> None:
    """By the database's pages or by files beside it: resuming while it is full parks again, with room it ends the same."""
    machine = Machine(tmp_path / "work", disk, weight)
    ballast = fill(disk, spare)
    parked = machine(*machine.run_arguments())
    check_parked(parked, str(disk), "full", "free some space")
    again = machine(*parked.resume)
    assert again.code == PARKED, again
    assert machine("verify", RUN).code in {OK, FAILED}
    ballast.unlink()
    assert machine.ended(*parked.resume) == undisturbed(weight)


def test_on_a_full_disk_every_verb_says_so(disk: Path, tmp_path: Path, undisturbed: Undisturbed) -> None:
    """No traceback, no wrong answer, no silence; not even the first run is half begun."""
    machine = Machine(tmp_path / "work", disk, LIGHT)
    ballast = fill(disk, 0)
    refused = machine(*machine.run_arguments())
    assert (refused.code, "the disk is full" in refused.errors[0]) == (FAILED, True)
    assert [path.name for path in disk.iterdir()] == ["ballast"]
    ballast.unlink()
    (machine.folder / "hold").touch()
    process = machine.begin(*machine.run_arguments())
    wait_for(machine.folder / "waiting", process)
    process.terminate()
    assert said(process).code == PARKED
    ballast = fill(disk, 0)
    check_looks(machine.looks(), "the disk is full", "free some space")
    parked = machine("resume", RUN, "--with", machine.run_arguments()[1])
    check_parked(parked, "the disk is full")
    ballast.unlink()
    (machine.folder / "hold").unlink()
    assert machine.ended(*parked.resume) == undisturbed(LIGHT)


def test_a_read_only_disk_is_said(disk: Path, tmp_path: Path, undisturbed: Undisturbed) -> None:
    """Every verb names it, and with leave to write the run goes on."""
    machine = Machine(tmp_path / "work", disk, LIGHT)
    (machine.folder / "hold").touch()
    process = machine.begin(*machine.run_arguments())
    wait_for(machine.folder / "waiting", process)
    process.terminate()
    assert said(process).code == PARKED
    if not system("mount", "-o", "remount,ro", str(disk)):
        pytest.skip("this system does not remount")
    check_looks(machine.looks(), "read-only", "mount it for writing")
    parked = machine("resume", RUN, "--with", machine.run_arguments()[1])
    check_parked(parked, str(disk), "read-only", "mount it for writing")
    assert system("mount", "-o", "remount,rw", str(disk))
    (machine.folder / "hold").unlink()
    assert machine.ended(*parked.resume) == undisturbed(LIGHT)


def test_a_store_that_is_moved_away_under_a_run_is_missed(tmp_path: Path, undisturbed: Undisturbed) -> None:
    """What is written to a file that nobody finds any more is not taken for stored; put back, the run goes on."""
    machine = Machine(tmp_path / "work", tmp_path / "store", LIGHT)
    (machine.folder / "hold").touch()
    process = machine.begin(*machine.run_arguments())
    wait_for(machine.folder / "waiting", process)
    (tmp_path / "store").rename(tmp_path / "elsewhere")
    (machine.folder / "hold").unlink()
    parked = said(process)
    check_parked(parked, str(machine.store), "moved", "put it back")
    (tmp_path / "elsewhere").rename(tmp_path / "store")
    assert machine.ended(*parked.resume) == undisturbed(LIGHT)


def test_a_store_that_another_process_keeps_locked_is_said(tmp_path: Path, undisturbed: Undisturbed) -> None:
    """Reading goes on; a run under way parks and says which process it is, and goes on when that has ended."""
    machine = Machine(tmp_path / "work", tmp_path / "store", LIGHT)
    (machine.folder / "hold").touch()
    process = machine.begin(*machine.run_arguments(), patience=0.3)
    wait_for(machine.folder / "waiting", process)
    command = [sys.executable, "-c", LOCK, str(machine.store)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as locker:
        assert locker.stdout is not None
        assert locker.stdout.readline() == b"held\n"
        (machine.folder / "hold").unlink()
        parked = said(process)
        who = f"process {locker.pid}" if sys.platform == "linux" else "another process"
        check_parked(parked, str(machine.store), f"{who} keeps it locked", "end it")
        looks = machine.looks()
        check_looks(looks, f"{who} keeps it locked")
        assert {verb for verb, look in looks.items() if look.code == FAILED} == {"cancel", "pause"}
        locker.communicate(timeout=SECONDS)
    assert machine.ended(*parked.resume) == undisturbed(LIGHT)


@pytest.mark.skipif(sys.platform != "linux", reason="it counts its files in /proc")
@pytest.mark.parametrize("spare", [0, 1, 2, pytest.param(4, marks=pytest.mark.slow), pytest.param(7, marks=pytest.mark.slow)])
def test_a_run_that_comes_to_be_short_of_files_parks(spare: int, tmp_path: Path, undisturbed: Undisturbed) -> None:
    """Whatever wants a file first, a process or the store: the run is not failed for it, and ends with enough of them."""
    machine = Machine(tmp_path / "work", tmp_path / "store", LIGHT)
    parked = machine(*machine.run_arguments(), SPARE_FILES=str(spare))
    check_parked(parked, "more files", "ulimit -n")
    assert machine.ended(*parked.resume) == undisturbed(LIGHT)


@pytest.mark.skipif(sys.platform != "linux", reason="how many files an interpreter needs is another number elsewhere")
@pytest.mark.slow
@pytest.mark.parametrize("most", range(5, 16, 2))
def test_a_process_with_few_files_says_so(most: int, tmp_path: Path, undisturbed: Undisturbed) -> None:
    """From its first moment: it begins nothing, or parks what it began, and says which limit to raise."""
    machine = Machine(tmp_path / "work", tmp_path / "store", LIGHT)
    command = ["bash", "-c", f'ulimit -n {most}; exec "$@"', "bash", sys.executable, "-m", "durum", *machine.run_arguments()]
    few = said(machine.start([*command, "--store", machine.url]))
    if few.code != OK:
        assert few.code in {FAILED, PARKED}, few
        assert "more files" in few.errors[0], few.errors
        assert "ulimit -n" in few.errors[0]
    drive = few.resume if few.code == PARKED else machine.run_arguments()
    assert (machine.came() if few.code == OK else machine.ended(*drive)) == undisturbed(LIGHT)


def wait_for(file: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until a file is there, or the process that makes it is over."""
    until = time.monotonic() + SECONDS
    while not file.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)


def test_the_lock_of_another_process_is_one(tmp_path: Path) -> None:
    """A check of the checker: while it is held nobody else can write."""
    with contextlib.closing(sqlite3.connect(tmp_path / "x.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    with subprocess.Popen(
        [sys.executable, "-c", LOCK, str(tmp_path / "x.db")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as locker:
        assert locker.stdout is not None
        locker.stdout.readline()
        connection = sqlite3.connect(tmp_path / "x.db", timeout=0.1, isolation_level=None)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            connection.execute("BEGIN IMMEDIATE")
        connection.close()
        locker.communicate(timeout=SECONDS)
