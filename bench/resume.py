"""Resume of a run with 10,000 completed states whose process was killed, to the first new state.

    python -m bench.resume [--quick]

In process: from opening the store to the handler of the next state. Whole process: from the start of a Python that imports
Durum, makes the plan and resumes, to the same handler. Each round resumes a copy of the same killed run.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import durum
from bench.figures import Figure, at_most, report, spread
from bench.plans import CONTEXT, PassAlong, sequence

if TYPE_CHECKING:
    from durum.core.state import DynContext

RUN = "01993b10-7a3c-7d4e-9f00-5b1c2d3e4f50"
KILL, TELL = "kill", "tell"


class Last(PassAlong):
    """The first state that is new after the kill."""

    word = TELL
    entered = 0.0  # by the clock that all processes share

    def change(self, ctx: DynContext) -> None:
        """Die in it, or note when it began."""
        if self.word == KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        Last.entered = time.monotonic()
        super().change(ctx)


def plan_of(states: int) -> durum.ExecutionPlan:
    """Return the plan: one state more than are completed before the kill."""
    return sequence("resumed", states + 1, lambda place: (Last if place == states else PassAlong)(place))


def killed(path: Path, states: int) -> None:
    """Make a store with a run that was killed after so many states."""
    done = subprocess.run([sys.executable, "-m", "bench.resume", KILL, str(path), str(states)], check=False)
    assert done.returncode == -signal.SIGKILL, done.returncode


def resume(path: Path, plan: durum.ExecutionPlan) -> float:
    """Resume the run and drive it to its end; return the seconds to its first new state."""
    begun = time.monotonic()
    with durum.open(f"sqlite:///{path}") as store:
        result = store.resume(RUN, plan)
        assert result["status"] == "completed", result
    return Last.entered - begun


def measure(*, quick: bool) -> list[Figure]:
    """Return the figures."""
    states, rounds = (100, 1) if quick else (10_000, 5)
    plan, inside, whole = plan_of(states), [], []
    with tempfile.TemporaryDirectory(prefix="durum-bench-") as folder:
        killed(Path(folder, "killed", "runs.db"), states)
        for place in range(rounds):
            shutil.copytree(Path(folder, "killed"), Path(folder, f"in{place}"))
            inside.append(resume(Path(folder, f"in{place}", "runs.db"), plan))
            shutil.copytree(Path(folder, "killed"), Path(folder, f"out{place}"))
            begun = time.monotonic()
            command = [sys.executable, "-m", "bench.resume", TELL, str(Path(folder, f"out{place}", "runs.db")), str(states)]
            entered = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            whole.append(float(entered) - begun)
    name = f"resume of a run with {states:,} completed states, to the first new state"
    note = f"{spread(inside).median / states * 1e6:.1f} us a completed state"
    return [
        Figure(name, spread(inside), at_most(0.5, 0.1), "s", note),
        Figure(f"{name}, whole process", spread(whole), None, "s", "with importing Durum and making the plan"),
    ]


def child(word: str, path: str, states: int) -> None:
    """Be the process that is killed, or the one that resumes."""
    Last.word = word
    plan = plan_of(states)
    if word == KILL:
        with durum.open(f"sqlite:///{path}") as store:
            store.start(plan, CONTEXT, run_id=RUN)
    resume(Path(path), plan)
    print(Last.entered)


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1] in {KILL, TELL}:
        child(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    else:
        report(measure, __doc__)
