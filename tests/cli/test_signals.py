"""Ctrl-C and SIGTERM while a run is driven, in real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from durum.cli.signals import drain_seconds
from durum.errors import ConfigError
from tests.cli.command_line import ended, wait_for
from tests.cli.flows import BLOCKING, SLOW

if TYPE_CHECKING:
    from tests.cli.command_line import CommandLine

SWALLOWS = """
import asyncio
from durum import Workflow

swallows = Workflow("swallows")

@swallows.step
async def second() -> int:
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            print("not me", flush=True)
"""
CLEANS_UP = """
import asyncio
from pathlib import Path
from durum import Workflow

slow = Workflow("slow")

@slow.step
async def second() -> int:
    try:
        await asyncio.sleep(0 if Path("clean").exists() else 60)
    finally:
        Path("clean").write_text("yes")
    return 1
"""


def run_id_of(process: subprocess.Popen[str]) -> str:
    """Return the id a run printed first."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_parks_the_run_and_the_printed_command_resumes_it(stop: signal.Signals, durum: CommandLine) -> None:
    """Exit 3, the whole command, and the same run completes under its old id."""
    durum.write("slow.py", SLOW)
    store = ("--store", "sqlite:///my runs.db")
    process = durum.begin("run", "slow.py", *store, DURUM_DRAIN_SECONDS="0.1")
    wait_for(process, "second: started")
    process.send_signal(stop)
    parked = ended(process)
    assert parked.code == 3, parked
    run_id, status, *lines = parked.out.splitlines()
    assert status == "interrupted, 1 of 2 states completed"
    assert f"resume   durum resume {run_id} --with slow.py --store 'sqlite:///my runs.db'" in [line.strip() for line in lines]
    assert durum("show", run_id, "--json", *store).json["status"] == "interrupted"
    durum.write("go", "")
    resumed = durum("resume", run_id, "--with", "slow.py", "--json", *store)
    assert resumed.json["run_id"] == run_id
    assert resumed.json["status"] == "completed"
    assert "first" not in resumed.err


def test_ctrl_c_cancels_a_step_so_that_it_can_clean_up(durum: CommandLine) -> None:
    """The attempt does not count: the resumed run goes through."""
    durum.write("slow.py", CLEANS_UP)
    process = durum.begin("run", "slow.py")
    wait_for(process, "second: started")
    process.send_signal(signal.SIGINT)
    parked = ended(process)
    assert parked.code == 3, parked
    assert "letting go of the run; once more to exit at once\n" in parked.err
    assert durum.path("clean").exists()
    assert durum("resume", parked.out.split()[0], "--with", "slow.py", "--json").json["status"] == "completed"


def test_sigterm_lets_what_is_under_way_come_to_its_end(durum: CommandLine) -> None:
    """Nothing more is entered, and the run is parked."""
    durum.write("slow.py", SLOW + "\n@slow.step\ndef third(second: int) -> int:\n    return 3\n")
    process = durum.begin("run", "slow.py")
    wait_for(process, "second: started")
    process.send_signal(signal.SIGTERM)
    wait_for(process, "waiting 10 s at most for what is under way")
    durum.write("go", "")
    parked = ended(process)
    assert parked.code == 3, parked
    assert "interrupted, 2 of 3 states completed" in parked.out
    assert "third" not in parked.err


@pytest.mark.parametrize("code", [BLOCKING, SWALLOWS, SLOW], ids=["blocks", "swallows", "waits"])
@pytest.mark.parametrize(
    "signals",
    [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT)],
    ids=lambda signals: "-".join(number.name for number in signals),
)
def test_a_second_signal_ends_it_at_once(code: str, signals: tuple[signal.Signals, ...], durum: CommandLine) -> None:
    """Whatever the step does with its thread or with cancellation; the run can be resumed."""
    durum.write("flow.py", code)
    process = durum.begin("run", "flow.py")
    run_id = run_id_of(process)
    wait_for(process, "holding" if code is BLOCKING else "second: started")
    process.send_signal(signals[0])
    wait_for(process, "once more to exit at once")
    process.send_signal(signals[1])
    gone = ended(process)
    assert gone.code == 3, gone
    assert gone.err.endswith("exiting at once; the run stays as its log has it and can be resumed\n")
    assert durum("show", run_id, "--json").json["status"] == "interrupted"


WHILE_HANDLING = """
import signal
from durum.cli.signals import Signals
from durum.cli.streams import Streams

class Notes:
    def fileno(self):
        if not asked:
            asked.append(True)
            signal.raise_signal(signal.SIGINT)
        return 2

asked = []
streams = Streams()
streams.notes = Notes()
with Signals(streams) as signals:
    signals.armed = True
    signal.raise_signal(signal.SIGTERM)
print("went on")
"""


def test_a_second_signal_counts_while_the_first_is_being_handled() -> None:
    """It ends the process there and then."""
    done = subprocess.run([sys.executable, "-c", WHILE_HANDLING], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, ""), done
    assert done.stderr.startswith("exiting at once")


def test_a_background_job_of_a_shell_stops_at_sigterm_too(durum: CommandLine) -> None:
    """Such a job starts with SIGINT ignored, and goes on ignoring it; the way to go on is in its JSON."""
    durum.write("slow.py", SLOW)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = durum.begin("run", "slow.py", "--json", DURUM_DRAIN_SECONDS="0")
    finally:
        signal.signal(signal.SIGINT, before)
    wait_for(process, "second: started")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    parked = ended(process)
    assert parked.code == 3, parked
    assert parked.json["status"] == "interrupted"
    assert parked.json["resume"].startswith("durum resume ")
    assert f"resume: {parked.json['resume']}\n" in parked.err


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf", "86401", " "])
def test_a_time_that_is_none_is_refused_before_anything_is_made(text: str, durum: CommandLine) -> None:
    """A mistyped setting is not found out when it is needed."""
    durum.write("slow.py", SLOW)
    line = durum("run", "slow.py", code=2, DURUM_DRAIN_SECONDS=text).err
    assert line.startswith(f"error: DURUM_DRAIN_SECONDS={text!r} is no number of seconds")
    assert line.count("\n") == 1
    assert not durum.path(".durum").exists()


@pytest.mark.parametrize(("text", "seconds"), [("", 10.0), ("0", 0.0), ("2.5", 2.5)])
def test_the_time_is_a_number_of_seconds(text: str, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset is ten."""
    monkeypatch.setitem(os.environ, "DURUM_DRAIN_SECONDS", text)
    assert drain_seconds() == seconds
    monkeypatch.setitem(os.environ, "DURUM_DRAIN_SECONDS", "x")
    with pytest.raises(ConfigError):
        drain_seconds()
