"""An fsync that fails: nothing is acknowledged that a power cut could still take, then or by whoever drives the run on."""

from __future__ import annotations

import itertools
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

import durum
from durum.errors import DurumError
from tests.faults import driving_lossy
from tests.faults.machine import ENVIRONMENT, OK, PARKED, RUN, SECONDS, TARGET

if TYPE_CHECKING:
    from collections.abc import Sequence

ALL = 10**6
SAID = ("the disk reports an error", "check the disk")


class Ended(NamedTuple):
    """How a process ended, what it was told is durable, and what it said."""

    code: int
    told: set[tuple[str, int, str]]
    said: str


class LossyDisk:
    """A store on a disk that forgets what it could not sync; ``shadow`` is the disk after a power cut."""

    def __init__(self, library: Path, folder: Path) -> None:
        self._library = library
        self.folder = folder
        self.root, self.shadow = folder / "disk", folder / "shadow"
        self.root.mkdir(parents=True)
        (folder / "cargo").write_bytes(bytes(100_000))
        with durum.open(f"sqlite:///{self.root}/durum.db"):
            pass
        shutil.copytree(self.root, self.shadow)

    def drive(self, first: int = ALL, last: int = ALL, *, most_told: int = ALL) -> Ended:
        """Drive the run in a process whose fsyncs from first to last fail; it is killed when told of so many events."""
        lossy = {"LD_PRELOAD": str(self._library), "LOSING_ROOT": str(self.root), "LOSING_SHADOW": str(self.shadow)}
        process = subprocess.Popen(
            [sys.executable, driving_lossy.__file__, f"sqlite:///{self.root}/durum.db"],
            cwd=self.folder,
            env=ENVIRONMENT | lossy | {"LOSING_FIRST": str(first), "LOSING_LAST": str(last)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        told = list(itertools.islice(process.stdout, most_told))
        if len(told) == most_told:
            process.kill()
        more, error = process.communicate(timeout=SECONDS)
        lines = [line.split() for line in [*told, *more[: more.rfind(b"\n") + 1].splitlines()]]
        said = error.decode()
        assert process.returncode in {OK, PARKED, -signal.SIGKILL}, said
        return Ended(process.returncode, {(line[0].decode(), int(line[1]), line[2].decode()) for line in lines}, said)

    def after_a_power_cut(self, name: str) -> Path:
        """Return a copy of what the disk has now."""
        left = self.folder / name
        shutil.copytree(self.shadow, left)
        return left / "durum.db"


def events_of(store: Path) -> set[tuple[str, int, str]]:
    """Return every event of a store."""
    with durum.open(f"sqlite:///{store}") as service:
        return {
            (str(event["run_id"]), int(str(event["seq"])), str(event["hash"]))
            for run in service.runs()
            for event in service.events(str(run["run_id"]))
        }


def ended(store: Path, folder: Path) -> tuple[object, ...]:
    """Drive a run to its end with nothing the matter, and return what it comes to."""
    with pytest.MonkeyPatch.context() as patch, durum.open(f"sqlite:///{store}") as service:
        patch.chdir(folder)
        summary = service.resume(RUN, TARGET)
        for gate in service.gates(RUN):
            service.answer(RUN, str(gate["gate"]), {"happened": True, "result": {"taken": "3 rows, 100000 bytes"}})
            summary = service.resume(RUN, TARGET)
        assert service.verify(RUN).first_bad is None
        return summary["status"], summary["final_snapshot_id"], summary["semantic_digest"]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the library that makes a disk forget."""
    compiler = shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("a disk that forgets is made by gcc, on Linux")
    source, made = Path(__file__).with_name("losing_disk.c"), tmp_path_factory.mktemp("losing") / "losing.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(made), str(source), "-ldl", "-lpthread"], check=True)
    return made


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


def check_kept(told: Sequence[tuple[str, int, str]] | set[tuple[str, int, str]], left: Path) -> None:
    """Check that what was acknowledged is in what a power cut left."""
    try:
        gone = set(told) - events_of(left)
    except DurumError as error:
        raise AssertionError(f"a power cut leaves no store: {error}") from error
    assert gone == set(), f"acknowledged and gone: {sorted(gone)[:3]} of {len(told)}"
