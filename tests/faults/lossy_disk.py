"""A disk that forgets what it could not sync, a process that drives a run on it, and what a power cut leaves of it."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import signal
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest

import durum
from durum.errors import DurumError
from tests.faults import driving_lossy
from tests.faults.machine import ENVIRONMENT, OK, PARKED, RUN, SECONDS, TARGET
from tests.workflows.journal import lines_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

ALL = 10**6
SAID = ("the disk reports an error", "check the disk")


class Ended(NamedTuple):
    """How a process ended, what it was told is durable, and what it said."""

    code: int
    told: set[tuple[str, int, str]]
    said: str


class LossyDisk:
    """A store on a disk that forgets what it could not sync; ``shadow`` is the disk after a power cut.

    A run that is ``watched`` says of each event that it is durable as soon as it is; else the store is listened to.
    """

    def __init__(self, library: Path, folder: Path, target: str = TARGET, *, watched: bool = True) -> None:
        self._library = library
        self._target, self._watched = target, watched
        self.folder = folder
        self.root, self.shadow = folder / "disk", folder / "shadow"
        self.root.mkdir(parents=True)
        (folder / "cargo").write_bytes(bytes(100_000))
        with durum.open(f"sqlite:///{self.root}/durum.db"):
            pass
        shutil.copytree(self.root, self.shadow)

    def drive(self, first: int = ALL, last: int = ALL, *, most_told: int = ALL) -> Ended:
        """Drive the run in a process whose fsyncs from first to last fail; it is killed when told of so many events."""
        url = f"sqlite:///{self.root}/durum.db"
        fails = {"LOSING_FIRST": str(first), "LOSING_LAST": str(last)}
        return self.call(driving_lossy.__file__, url, self._target, str(self._watched), most_told=most_told, variables=fails)

    def call(self, *command: str, most_told: int = ALL, variables: Mapping[str, str]) -> Ended:
        """Run a Python program on this disk with these environment variables; it is killed when told of so many events."""
        lossy = {"LD_PRELOAD": str(self._library), "LOSING_ROOT": str(self.root), "LOSING_SHADOW": str(self.shadow)}
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=self.folder,
            env={**ENVIRONMENT, **lossy, **variables},
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


def ended(store: Path, folder: Path, target: str = TARGET) -> tuple[object, ...]:
    """Drive a run to its end with nothing the matter, and return what it comes to."""
    with pytest.MonkeyPatch.context() as patch, durum.open(f"sqlite:///{store}") as service:
        patch.chdir(folder)
        summary = service.resume(RUN, target)
        for gate in service.gates(RUN):
            lines = lines_of(folder)
            service.answer(RUN, str(gate["gate"]), {"happened": True, "result": lines[-1][1]} if lines else {"happened": False})
            summary = service.resume(RUN, target)
        assert service.verify(RUN).first_bad is None
        return summary["status"], summary["final_snapshot_id"], summary["semantic_digest"]


def check_kept(told: Sequence[tuple[str, int, str]] | set[tuple[str, int, str]], left: Path) -> None:
    """Check that what was acknowledged is in what a power cut left, and that this is a whole database."""
    try:
        gone = set(told) - events_of(left)
    except DurumError as error:
        raise AssertionError(f"a power cut leaves no store: {error}") from error
    with contextlib.closing(sqlite3.connect(left)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert gone == set(), f"acknowledged and gone: {sorted(gone)[:3]} of {len(told)}"
