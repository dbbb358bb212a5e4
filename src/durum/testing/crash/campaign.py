"""A whole crash test: undisturbed runs to compare with, then runs that are killed, several side by side."""

from __future__ import annotations

import itertools
import random
import shutil
import tempfile
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

import msgspec

from durum.core.canonical import normalized
from durum.errors import ConfigError
from durum.testing.crash.judge import Fault, agreed, differences
from durum.testing.crash.nursery import Nursery
from durum.testing.crash.plans import Pace, Plan, at_random, each_of, in_order, interruptions
from durum.testing.crash.report import Boundary, CrashReport
from durum.testing.crash.round import Round
from durum.testing.crash.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from durum.testing.crash.judge import Came
    from durum.testing.crash.plans import NextKill

    Watch = Callable[[int, int, int], None]

_SLOWER = 20  # times an undisturbed run's time, and a process hangs
_TRIES = 3  # for a crossing that does not come in every run
_MOST_FAULTY = 3  # rounds; more of them would say nothing new


def crash_test(  # noqa: PLR0913 - what a test is asked for, each by keyword
    target: str,
    inputs: Mapping[str, object] | None = None,
    *,
    kills: int = 0,
    every_boundary: bool = False,
    seed: int = 0,
    texts: bool = False,
    scratch: str | Path | None = None,
    keep: str | Path | None = None,
    jobs: int = 1,
    harness: Sequence[str] = ("durum.testing.crash",),
    watch: Watch | None = None,
) -> CrashReport:
    """Kill runs of a workflow with SIGKILL and resume them; report what was lost, done twice or came out different.

    Commands, requests and file writes of the workflow are really performed, once a run at least. Runs are kept in stores of
    their own in a temporary folder; steps work in this process's working directory, or each run in its own copy of ``scratch``.

    Args:
        target: ``file.py``, ``file.py:name`` or ``package.module:name``.
        inputs: of every run.
        kills: how many, at random moments.
        every_boundary: in place of that, one at each boundary of an undisturbed run, and at those that only a resumed one has.
            States then run one after another, for the boundaries to be the same in every run.
        seed: draws the moments.
        texts: the inputs were typed, convert them.
        scratch: a folder that each run works in a copy of.
        keep: a new folder for the stores of all rounds; without it those that found something are kept.
        jobs: runs side by side; several only if they do not disturb each other.
        harness: a module, and arguments for it, that is run by ``python -m`` to make the processes; see ``Harness``.
        watch: told how much is done, of how much, and how many faults there are.

    Raises:
        ConfigError: neither or both of ``kills`` and ``every_boundary``, or a folder or harness that cannot be used.
    """
    _check(kills, jobs, scratch, every_boundary=every_boundary)
    given = {name: normalized(value) for name, value in (inputs or {}).items()}
    task = Task("start", "", str(Path.cwd()), "", _place(target), given, texts, 1 if every_boundary else 8)
    return _Campaign(CrashReport(target, seed), task, keep, scratch).run(harness, jobs, kills, watch)


def _check(kills: int, jobs: int, scratch: str | Path | None, *, every_boundary: bool) -> None:
    if (kills > 0) == every_boundary or kills < 0:
        raise ConfigError("a crash test takes either a number of kills, from 1 on, or every boundary")
    if jobs < 1:
        raise ConfigError("a crash test takes at least one job")
    if scratch is not None and not Path(scratch).is_dir():
        raise ConfigError(f"{scratch} is no folder; name one that each run may work in a copy of")


def _place(target: str) -> str:
    """Return a target that means the same in another folder."""
    is_file = target.endswith(".py") or target.rpartition(":")[0].endswith(".py")
    return str(Path(target).absolute()) if is_file else target


class _Campaign:
    """The rounds of a crash test and what they share."""

    def __init__(self, report: CrashReport, task: Task, keep: str | Path | None, scratch: str | Path | None) -> None:
        self.report = report
        self._task = task
        self._keep = keep is not None
        self._base = _folder(keep)
        self._scratch = None if scratch is None else Path(scratch).absolute()
        self._numbers = itertools.count(1)
        self._free: SimpleQueue[Nursery] = SimpleQueue()
        self._nurseries: list[Nursery] = []
        self._lock = threading.Lock()
        self._alive: list[Round] = []
        self._faulty = 0
        self._came_to: list[Came] = []
        self._pace = Pace(0.0, ())

    def run(self, harness: Sequence[str], jobs: int, kills: int, watch: Watch | None) -> CrashReport:
        """Kill so often, or at every boundary if that is 0; return what came of it."""
        begun, finished = time.monotonic(), False
        try:
            self.open(harness, jobs)
            if self.look_at_undisturbed():
                if kills:
                    self.kill_at_random(kills, watch)
                else:
                    self.kill_everywhere(watch)
            finished = True
        finally:
            self.close(finished=finished)
        self.report.seconds = time.monotonic() - begun
        return self.report

    def open(self, harness: Sequence[str], jobs: int) -> None:
        """Begin the processes that others are forked from."""
        for _ in range(jobs):
            self._nurseries.append(Nursery(harness))
            self._free.put(self._nurseries[-1])

    def close(self, *, finished: bool) -> None:
        """End every process, and remove what nobody wants to look at."""
        self._end_processes()
        if self._keep or (finished and self._faulty):
            self.report.kept = str(self._base)
        else:
            shutil.rmtree(self._base, ignore_errors=True)

    # --- rounds -------------------------------------------------------------------------------------------------------

    def _live(self, next_kill: NextKill, name: str = "") -> Round:
        """Have a run lived through by a nursery that is free, and add what came of it to the report."""
        number = f"{next(self._numbers):04}"
        folder = self._base / number
        folder.mkdir()
        desk = Path(self._task.desk)
        if self._scratch is not None:
            desk = folder / "desk"
            shutil.copytree(self._scratch, desk, symlinks=True)
        task = msgspec.structs.replace(self._task, folder=str(folder), desk=str(desk), run_id=str(uuid.uuid4()))
        nursery = self._free.get()
        living = Round(name or number, nursery, task, folder)
        try:
            with self._lock:
                self._alive.append(living)
            living.live(next_kill)
        finally:
            self._free.put(nursery)
            self._add(living, folder)
        return living

    def _add(self, living: Round, folder: Path) -> None:
        report = self.report
        with self._lock:
            self._alive.remove(living)
            if report.compared and living.came_to and not living.faults:
                text = "; ".join(differences(living.came_to, self._came_to, report.compared))
                living.faults += [Fault("differs", text, living.name, tuple(living.killed))] if text else []
            report.rounds += 1
            report.kills += len(living.killed)
            report.met += living.met
            report.answers += living.answers
            report.faults += living.faults
            self._faulty += bool(living.faults)
            if not (self._keep or living.faults):
                shutil.rmtree(folder, ignore_errors=True)

    def look_at_undisturbed(self) -> bool:
        """Live two runs nobody disturbs, and tell whether it makes sense to disturb others."""
        first = self._live(lambda _: None, "undisturbed")
        if first.faults:
            return False
        second = self._live(lambda _: None, "undisturbed again")
        if second.faults:
            return False
        self.report.status = first.came_to[0].status
        self._came_to = first.came_to
        self.report.compared = agreed(first.came_to, second.came_to)
        seconds = max(*first.seconds, *second.seconds)
        self._pace = Pace(min(first.seconds[0], second.seconds[0]), first.crossings[0])
        self._task = msgspec.structs.replace(self._task, patience_seconds=max(self._task.patience_seconds, _SLOWER * seconds))
        self.report.rounds = 0
        return True

    # --- kills --------------------------------------------------------------------------------------------------------

    def kill_at_random(self, kills: int, watch: Watch | None) -> None:
        """Live one run after another until so many processes were killed; side by side a few more may die."""

        def landed() -> int:
            with self._lock:
                return self.report.kills + sum(len(living.killed) for living in self._alive)

        def while_due(draw: NextKill) -> NextKill:
            return lambda verb: draw(verb) if landed() < kills else None

        draws = itertools.count()

        def some() -> None:
            while landed() < kills and self._faulty < _MOST_FAULTY:
                chance = random.Random(f"{self.report.seed}/{next(draws)}")  # noqa: S311 - to be repeatable is what it is for
                self._live(while_due(at_random(chance, self._pace)))
                if watch is not None:
                    watch(min(kills, landed()), kills, len(self.report.faults))

        self._side_by_side([some] * len(self._nurseries))

    def kill_everywhere(self, watch: Watch | None) -> None:
        """Live a run for each boundary that an undisturbed run crosses, and for each that only an interrupted one comes to."""
        known = list(self._pace.crossings)
        self.report.held = sum(crossing.held for crossing in known)
        plans = list(each_of(known))
        for interruption in interruptions(known):
            probe = self._live(in_order((interruption,)), "interrupted")
            for place, crossings in enumerate(probe.crossings[1:]):
                plans += each_of(crossings, (interruption, *(None for _ in range(place))), known)
                known += crossings
        done = itertools.count(1)

        def one(plan: Plan) -> None:
            if self._faulty < _MOST_FAULTY:
                self._kill_as_planned(plan)
            if watch is not None:
                watch(next(done), len(plans), len(self.report.faults))

        self._side_by_side([partial(one, plan) for plan in plans])

    def _kill_as_planned(self, plan: Plan) -> None:
        met = any(len(self._live(in_order(plan.kills), str(plan.crossing)).killed) >= plan.wanted for _ in range(_TRIES))
        kill = plan.kills[-1]
        assert kill is not None
        with self._lock:
            self.report.boundaries.append(Boundary(len(plan.kills) - 1, kill.crossing or 0, plan.crossing, met))

    def _side_by_side(self, work: Sequence[Callable[[], None]]) -> None:
        """Do all of it; once something goes wrong, or Ctrl-C is pressed, nothing more is begun and what is under way ends."""
        pool = ThreadPoolExecutor(len(self._nurseries))
        try:
            for future in [pool.submit(each) for each in work]:
                future.result()
        except BaseException:
            self._end_processes()
            raise
        finally:
            pool.shutdown(cancel_futures=True)

    def _end_processes(self) -> None:
        while self._nurseries:
            self._nurseries.pop().close()


def _folder(keep: str | Path | None) -> Path:
    """Return the folder of all rounds: a temporary one, or a new one of that name."""
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="durum-crash-"))
    folder = Path(keep).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ConfigError(f"{keep} is not empty; name a new folder to keep the stores in")
    except OSError as error:
        raise ConfigError(f"{keep} cannot be used to keep the stores in: {error.strerror}") from error
    return folder
