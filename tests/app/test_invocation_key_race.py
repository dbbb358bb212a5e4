"""Many processes with one key, and starters killed at any moment: never two runs, never a key that is lost."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

import durum
from durum import Workflow
from durum.testing.faulty import FaultyStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROCESSES = 8
THREADS = 8
SECONDS = 120  # until a test that hangs is given up

STARTER = """
import json, os, sys, threading
import durum

url, log, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
together = threading.Barrier(threads)
flow = durum.Workflow("flow")

def say(**words):
    os.write(1, (json.dumps(words) + "\\n").encode())  # short: whole, whoever else writes

@flow.step(blocking=True)
def once() -> int:
    with open(log, "a") as lines:
        lines.write("driven\\n")
    say(driven=True)
    sys.stdin.readline()  # the others must come while it is under way
    return 1

def start():
    together.wait()
    try:
        with durum.open(url) as service:
            found = service.start(flow, key="job")
        say(run=found["run_id"], attached=found.get("attached", False), status=found["status"])
    except BaseException as error:
        say(error=repr(error))

say(ready=True)
sys.stdin.readline()
for thread in [threading.Thread(target=start) for _ in range(threads)]:
    thread.start()
"""


class Starters:
    """Processes that speak to the test through one pipe; all end with the test."""

    def __init__(self, folder: Path, script: str, *, count: int, threads: int) -> None:
        self.url = f"sqlite:///{folder}/deep/x.db"
        self.log = folder / "log"
        self.errors = folder / "errors"
        read, write = os.pipe()
        with self.errors.open("wb") as errors:
            command = [sys.executable, "-c", script, self.url, str(self.log), str(threads)]
            self.processes = [
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=write, stderr=errors, text=True) for _ in range(count)
            ]
        os.close(write)
        self._said = os.fdopen(read, encoding="utf-8")
        self._patience = threading.Timer(SECONDS, self._kill)
        self._patience.start()

    def line(self) -> str:
        """Return what one of them says next, "" once all are gone."""
        return self._said.readline().strip()

    def rows(self, count: int) -> list[dict[str, Any]]:
        """Return the next things they say."""
        return [json.loads(self.line() or '{"error": "all are gone"}') for _ in range(count)]

    def tell(self) -> None:
        """Let every process go on."""
        for process in self.processes:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write("\n")
                process.stdin.flush()

    def _kill(self) -> None:
        for process in self.processes:
            process.kill()

    def end(self) -> None:
        """Leave nothing behind."""
        self._patience.cancel()
        self._kill()
        for process in self.processes:
            process.communicate()
        self._said.close()


@pytest.fixture
def starters(tmp_path: Path) -> Iterator[Starters]:
    """Processes that start the same job when told to; there is no store yet."""
    made = Starters(tmp_path, STARTER, count=PROCESSES, threads=THREADS)
    yield made
    made.end()


@pytest.mark.slow
def test_of_64_starts_at_once_one_drives_and_63_attach(starters: Starters) -> None:
    """While the one run is under way, in a store that the first of them makes; none of them meets an error."""
    assert starters.rows(PROCESSES) == [{"ready": True}] * PROCESSES
    starters.tell()
    early = starters.rows(PROCESSES * THREADS)  # one that drives, and all that found it meanwhile
    assert [row for row in early if "error" in row] == []
    assert Counter(str({"driven", "attached"} & row.keys()) for row in early) == {"{'driven'}": 1, "{'attached'}": 63}
    starters.tell()
    (driver,) = starters.rows(1)
    found = [row for row in early if "run" in row]
    assert {row["run"] for row in found} == {driver["run"]}
    assert {(row["attached"], row["status"]) for row in found} == {(True, "running")}
    assert (driver["attached"], driver["status"]) == (False, "completed")
    assert [process.wait(SECONDS) for process in starters.processes] == [0] * PROCESSES
    assert starters.errors.read_text() == ""
    assert starters.log.read_text() == "driven\n"
    with durum.open(starters.url) as service:
        assert [row["run_id"] for row in service.runs()] == [driver["run"]]
        assert service.verify(driver["run"]).first_bad is None


# --- killed starters ------------------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
import durum
from durum.app.service import Durum
from durum.engine.system import SystemClock

class Fatal(SystemClock):
    calls = 0
    def now_ms(self):
        self.calls += 1
        if self.calls == 2:  # the first is the claim's, the second the first event's
            print("claimed", flush=True)
            sys.stdin.readline()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().now_ms()

flow = durum.Workflow("flow")

@flow.step
def once() -> int:
    print("begun", flush=True)
    sys.stdin.readline()
    os.kill(os.getpid(), signal.SIGKILL)

Durum(sys.argv[1], clock=Fatal() if sys.argv[3] == "1" else None).start(flow, key="job")
"""
BEFORE, LATER = 1, 0


def flow(log: Path) -> Workflow:
    """Return the job as it goes in this process."""
    made = Workflow("flow")

    @made.step
    def once() -> int:
        with log.open("a") as lines:
            lines.write("driven\n")
        return 1

    return made


@pytest.fixture
def killed(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Starters]:
    """A process that begins the job and is killed by ``kill -9`` when told to."""
    made = Starters(tmp_path, KILLED, count=1, threads=request.param)
    yield made
    made.end()


def kill(killed: Starters) -> None:
    """Let it die."""
    killed.tell()
    assert killed.processes[0].wait(SECONDS) == -9


@pytest.mark.parametrize("killed", [BEFORE], indirect=True)
def test_a_starter_killed_before_its_first_event_leaves_the_key_usable(killed: Starters) -> None:
    """There is no run to find; the next call begins it."""
    assert killed.line() == "claimed"
    kill(killed)
    with durum.open(killed.url) as service:
        assert service.runs() == []
        first = service.start(flow(killed.log), key="job")
        assert (first["status"], first.get("attached")) == ("completed", None)
        assert service.start(flow(killed.log), key="job") == {**first, "attached": True}
    assert killed.log.read_text() == "driven\n"


@pytest.mark.parametrize("killed", [BEFORE], indirect=True)
def test_a_starter_killed_while_others_wait_for_it_is_followed_by_one_of_them(killed: Starters) -> None:
    """They neither report a run that is not there nor give up."""
    assert killed.line() == "claimed"
    waiting = threading.Semaphore(0)
    found: list[Any] = []

    def start() -> None:
        with durum.open(killed.url) as service:
            service._store = FaultyStore(service._store, lambda method, number: waiting_at(method, number, waiting))
            found.append(service.start(flow(killed.log), key="job"))

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert waiting.acquire(timeout=SECONDS)
    kill(killed)
    for thread in threads:
        thread.join(SECONDS)
    assert Counter(row.get("attached", False) for row in found) == {True: 3, False: 1}
    assert len({row["run_id"] for row in found}) == 1
    assert killed.log.read_text() == "driven\n"


def waiting_at(method: str, number: int, waiting: threading.Semaphore) -> None:
    """Say so when a start waits for another: it asked how the run stands before it tried, and twice since."""
    if (method, number) == ("head", 3):
        waiting.release()


@pytest.mark.parametrize("killed", [LATER], indirect=True)
def test_a_starter_killed_later_leaves_a_run_the_key_finds_and_resume_ends(killed: Starters) -> None:
    """Attaching does not drive it on: whether it may go on is for whoever resumes it."""
    assert killed.line() == "begun"
    kill(killed)
    with durum.open(killed.url) as service:
        left = service.start(flow(killed.log), key="job")
        assert (left["status"], left["attached"]) == ("interrupted", True)
        assert not killed.log.exists()
        done = service.resume(str(left["run_id"]), flow(killed.log))
        assert done["status"] == "completed"
        assert service.start(flow(killed.log), key="job") == {**done, "attached": True}
        assert len(service.runs()) == 1
    assert killed.log.read_text() == "driven\n"
