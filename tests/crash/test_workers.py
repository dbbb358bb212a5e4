"""Workers in real processes on one store: killed, hung, racing; each effect is done once and every run ends."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import durum
from tests.workflows import fleet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parent.parent.parent
PYTHONPATH = os.pathsep.join([str(ROOT), str(ROOT / "src")])
FLOWS = ROOT / "tests" / "workflows" / "fleet.py"
PATIENCE_SECONDS = 60
FOREVER_SECONDS = "3600"
RUNS, WORKERS, ROUNDS, BLOWS = 60, 4, 4, 12


class Fleet:
    """Worker processes in one folder, on one store."""

    def __init__(self, folder: Path, lease_seconds: str) -> None:
        self.folder = folder
        self.url = f"sqlite:///{folder / 'durum.db'}"
        self._environment = os.environ | {"PYTHONPATH": PYTHONPATH, "DURUM_LEASE_SECONDS": lease_seconds}
        self.processes: list[subprocess.Popen[str]] = []

    def begin(self, *options: str) -> subprocess.Popen[str]:
        """Start a worker."""
        command = [sys.executable, "-m", "durum", "worker", str(FLOWS), "--store", self.url, "--json", *options]
        process = subprocess.Popen(
            command, cwd=self.folder, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.processes.append(process)
        return process

    def kill(self, process: subprocess.Popen[str]) -> tuple[str, str]:
        """End a worker as ``kill -9`` does and return what it said."""
        process.kill()
        self.processes.remove(process)
        said, notes = process.communicate(timeout=PATIENCE_SECONDS)
        assert "unexpected" not in notes + said
        assert "Traceback" not in notes
        return said, notes

    def hang(self, process: subprocess.Popen[str]) -> None:
        """Halt a worker, and wait until it is halted."""
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)

    def lines(self, name: str) -> list[str]:
        """Return the lines of a file in the folder."""
        file = self.folder / name
        return file.read_text(encoding="utf-8").splitlines() if file.exists() else []

    def journal(self) -> Counter[str]:
        """Return how often each effect was done."""
        return Counter(json.loads(line)["key"] for line in self.lines("journal"))

    def statuses(self) -> Counter[str]:
        """Return how many runs stand how."""
        with durum.open(self.url, create=False) as service:
            return Counter(str(row["status"]) for row in service.runs())

    def wait_for(self, come: Callable[[], bool]) -> None:
        """Wait until something has come."""
        until = time.monotonic() + PATIENCE_SECONDS
        while not come():
            assert time.monotonic() < until, [process.poll() for process in self.processes]
            time.sleep(0.02)


@contextmanager
def opened(folder: Path, lease_seconds: str) -> Iterator[Fleet]:
    """Have a fleet; whatever it started ends with it."""
    started = Fleet(folder, lease_seconds)
    try:
        yield started
    finally:
        for process in [*started.processes]:
            started.kill(process)


def hand_in(started: Fleet, flow: durum.Workflow, count: int = 1) -> list[str]:
    """Leave runs for the workers."""
    with durum.open(started.url) as service:
        return [str(service.start(flow, detach=True)["run_id"]) for _ in range(count)]


def claimed(said: str, run_id: str) -> list[bool]:
    """Return of each claim of a run whether it was an adoption, by what a worker said."""
    reports = [json.loads(line) for line in said.splitlines()]
    return [report.get("adopted", False) for report in reports if report["event"] == "claimed" and report["run_id"] == run_id]


@pytest.mark.slow
def test_the_runs_of_a_killed_worker_are_adopted_at_once(tmp_path: Path) -> None:
    """However long leases are: the kernel frees the lock."""
    with opened(tmp_path, FOREVER_SECONDS) as started:
        (run_id,) = hand_in(started, fleet.late)
        first = started.begin()
        started.wait_for(lambda: len(started.lines("driven")) == 1)
        second = started.begin()
        assert claimed(started.kill(first)[0], run_id) == [False]
        started.wait_for(lambda: len(started.lines("driven")) == 2)
        (tmp_path / "go").touch()
        started.wait_for(lambda: started.statuses() == {"completed": 1})
        assert started.lines("driven") == [str(first.pid), str(second.pid)]
        assert set(started.journal().values()) == {1}


@pytest.mark.slow
def test_a_worker_that_hung_finds_its_run_taken_over_and_does_nothing_more(tmp_path: Path) -> None:
    """Another one drives the run to its end; what the zombie wants to do then is refused, and it goes on with other runs."""
    with opened(tmp_path, "1") as started:
        (run_id,) = hand_in(started, fleet.late)
        zombie = started.begin()
        started.wait_for(lambda: len(started.lines("driven")) == 1)
        started.hang(zombie)
        heir = started.begin()
        started.wait_for(lambda: len(started.lines("driven")) == 2)
        (tmp_path / "go").touch()
        started.wait_for(lambda: started.statuses() == {"completed": 1})
        assert claimed(started.kill(heir)[0], run_id) == [True]
        zombie.send_signal(signal.SIGCONT)
        hand_in(started, fleet.fleet)
        started.wait_for(lambda: started.statuses() == {"completed": 2})
        zombie.send_signal(signal.SIGTERM)
        said, notes = zombie.communicate(timeout=PATIENCE_SECONDS)
        assert zombie.returncode == 0, notes
        assert [json.loads(line)["run_id"] for line in said.splitlines() if json.loads(line)["event"] == "lost"] == [run_id]
        assert "another worker took it over" in notes
        assert set(started.journal().values()) == {1}
        sound(started)


@pytest.mark.slow
def test_of_workers_that_begin_at_once_one_adopts_an_orphan(tmp_path: Path) -> None:
    """The others find it owned and have nothing to do."""
    with opened(tmp_path, FOREVER_SECONDS) as started:
        hand_in(started, fleet.late)
        dying = started.begin()
        started.wait_for(lambda: len(started.lines("driven")) == 1)
        started.kill(dying)
        (tmp_path / "go").touch()
        heirs = [started.begin("--until-idle") for _ in range(3)]
        for process in heirs:
            assert process.wait(timeout=PATIENCE_SECONDS) == 0
        started.wait_for(lambda: started.statuses() == {"completed": 1})
        assert len(started.lines("driven")) == 2
        sound(started)


@pytest.mark.slow
def test_a_run_that_kills_every_worker_is_stopped_after_five(tmp_path: Path) -> None:
    """The next one quarantines it and drives the others; a person may try again, and five more die of it."""
    with opened(tmp_path, FOREVER_SECONDS) as started:
        (poisoned,) = hand_in(started, fleet.poison)
        hand_in(started, fleet.fleet, 8)
        codes = [started.begin("--until-idle").wait(timeout=PATIENCE_SECONDS) for _ in range(7)]
        assert codes == [9, 9, 9, 9, 9, 0, 0]
        assert len(started.lines("tried")) == 5
        answer_all(started)
        assert started.begin("--until-idle").wait(timeout=PATIENCE_SECONDS) == 0
        assert started.statuses() == {"quarantined": 1, "completed": 8}
        resume = [sys.executable, "-m", "durum", "resume", poisoned, "--with", f"{FLOWS}:poison", "--store", started.url]
        assert subprocess.run(resume, cwd=tmp_path, env=started._environment, check=False, capture_output=True).returncode == 9
        codes = [started.begin("--until-idle").wait(timeout=PATIENCE_SECONDS) for _ in range(6)]
        assert codes == [9, 9, 9, 9, 0, 0]
        assert started.statuses() == {"quarantined": 1, "completed": 8}
        sound(started)


@pytest.mark.slow
def test_a_fleet_that_is_killed_and_hung_at_random_does_every_effect_once(tmp_path: Path) -> None:
    """Four workers, sixty runs: nothing is lost, no log has a gap, no effect is done twice, and all runs end."""
    chance = random.Random(20)
    with opened(tmp_path, "1") as started:
        hand_in(started, fleet.fleet, RUNS)
        blows: Counter[str] = Counter()
        for _ in range(ROUNDS):
            storm(started, chance, blows)
            answer_all(started)
        while started.statuses() != {"completed": RUNS}:
            assert started.begin("--until-idle").wait(timeout=PATIENCE_SECONDS) == 0
            answer_all(started)
        assert set(started.journal().values()) == {1}
        assert len(started.journal()) == RUNS
        assert min(blows["kill"], blows["hang"]) > 0, blows
        sound(started)


def storm(started: Fleet, chance: random.Random, blows: Counter[str]) -> None:
    """Let workers drive while they are struck, and end them all: from then on the journal says what happened."""
    hung: list[subprocess.Popen[str]] = []
    while len(started.processes) < WORKERS:
        started.begin()
    for _ in range(BLOWS):
        time.sleep(chance.uniform(0.05, 0.4))
        struck = chance.choice(started.processes)
        blow = chance.choice(["kill", "hang"])
        if struck in hung:
            hung.remove(struck)
            struck.send_signal(signal.SIGCONT)
            continue
        blows[blow] += 1
        if blow == "kill":
            started.kill(struck)
            started.begin()
        else:
            started.hang(struck)
            hung.append(struck)
    for process in hung:
        process.send_signal(signal.SIGCONT)
    time.sleep(chance.uniform(0, 0.5))  # zombies get their chance
    for process in [*started.processes]:
        started.kill(process)


def answer_all(started: Fleet) -> None:
    """Answer every open question by what the journal says."""
    done = {json.loads(line)["key"]: json.loads(line)["answer"] for line in started.lines("journal")}
    with durum.open(started.url) as service:
        for gate in service.gates():
            key = str(gate["subject"])
            fields: dict[str, Any] = {"happened": True, "result": done[key]} if key in done else {"happened": False}
            service.answer(str(gate["run_id"]), str(gate["gate"]), fields, actor="journal")


def sound(started: Fleet) -> None:
    """See that every log is whole, and that no epoch of a run has two writers."""
    with durum.open(started.url) as service:
        for row in service.runs():
            run_id = str(row["run_id"])
            assert service.verify(run_id).first_bad is None
            envelopes = [dict(envelope) for envelope in service.events(run_id)]
            assert [envelope["seq"] for envelope in envelopes] == list(range(1, len(envelopes) + 1))
            writers = {(envelope["epoch"], envelope["writer"]) for envelope in envelopes}
            assert len(writers) == len({epoch for epoch, _ in writers})
            epochs = [int(str(envelope["epoch"])) for envelope in envelopes]
            assert epochs == sorted(epochs)
