"""``worker`` and ``run --detach`` in real processes: what they print, how they end, and what others see of them."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.cli.command_line import ended, wait_for
from tests.cli.flows import NOTES, SLOW

if TYPE_CHECKING:
    from tests.cli.command_line import CommandLine

POISON = """
import os
from durum import Workflow

poison = Workflow("poison")

@poison.step
def kills() -> int:
    os._exit(9)
"""


def test_a_run_is_handed_in_and_a_worker_drives_it(durum: CommandLine) -> None:
    """Its id alone stands on stdout, and it is pending; the worker says what it did, a line each, and ends when all is done."""
    durum.write("notes.py", NOTES)
    handed = durum("run", "notes.py", "--input", "words=4", "--detach")
    run_id = handed.out.strip()
    assert handed.err == "a worker drives it: durum worker notes.py\n"
    assert durum("show", run_id, "--json").json["status"] == "pending"
    ran = durum("worker", "notes.py", "--until-idle")
    assert [line.split() for line in ran.out.splitlines()] == [["claimed", run_id, "notes"], ["completed", run_id, "notes"]]
    assert durum("show", run_id, "--json").json["status"] == "completed"
    assert durum("worker", "notes.py", "--until-idle").out == ""


def test_lines_of_json_for_machines(durum: CommandLine) -> None:
    """One object an event; what a step prints does not come between them."""
    durum.write(
        "flow.py", 'from durum import Workflow\nflow = Workflow("flow")\n\n@flow.step\ndef one():\n    print("hello")\n'
    )
    run = durum("run", "flow.py", "--detach", "--json").json
    assert (run["status"], run["driven"]) == ("pending", False)
    ran = durum("worker", "--json", "--until-idle", "flow.py")
    assert ran.lines == [
        {"event": "claimed", "run_id": run["run_id"], "op_id": "flow"},
        {"event": "over", "run_id": run["run_id"], "op_id": "flow", "status": "completed"},
    ]
    assert "hello" in ran.err


def test_a_key_hands_in_one_run(durum: CommandLine) -> None:
    """The second time it is found, whoever drives it."""
    durum.write("notes.py", NOTES)
    call = ("run", "notes.py", "--input", "words=4", "--detach", "--key", "k")
    first, again = durum(*call), durum(*call)
    assert first.out == again.out
    assert "attached: this key started the run before" in again.err
    assert len(durum("ls", "--json").lines) == 1


def test_wrong_calls_are_told_what_is_wrong(durum: CommandLine) -> None:
    """No code, no such file, no room, no such lease: exit 2, and nothing is driven."""
    assert "no code was named to drive runs with; name its files: durum worker FILE.py" in durum("worker", code=2).err
    assert "there is no such file" in durum("worker", "nowhere.py", code=2).err
    durum.write("notes.py", NOTES)
    assert "at least one run at a time" in durum("worker", "notes.py", "--concurrency", "0", code=2).err
    for text in ("soon", "0", "-5", "inf", "nan", "86400"):
        assert f"DURUM_LEASE_SECONDS={text!r} is no number of seconds" in durum("ls", code=2, DURUM_LEASE_SECONDS=text).err


def test_the_configured_workflows_are_driven_and_others_left_alone(durum: CommandLine) -> None:
    """What ``pyproject.toml`` names counts if nothing else was named; the rest is said once, on stderr."""
    durum.write("notes.py", NOTES)
    durum.write("slow.py", SLOW)
    durum.write("pyproject.toml", '[tool.durum]\nworkflows = ["notes.py"]\n')
    for _ in range(2):
        durum("run", "slow.py", "--detach")
    durum("run", "notes.py", "--input", "words=4", "--detach")
    ran = durum("worker", "--until-idle")
    assert "runs of slow are left alone, for none of the targets holds it" in ran.err
    assert ran.err.count("left alone") == 1
    assert sorted(row["status"] for row in durum("ls", "--json").lines) == ["completed", "pending", "pending"]


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_worker_told_to_stop_lets_go_and_ends_well(stop: signal.Signals, durum: CommandLine) -> None:
    """Exit 0: it did as it was told; the next one finishes what it left."""
    durum.write("slow.py", SLOW)
    durum("run", "slow.py", "--detach")
    process = durum.begin("worker", "slow.py", DURUM_DRAIN_SECONDS="0.1")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("claimed")
    process.send_signal(stop)
    stopped = ended(process)
    assert stopped.code == 0, stopped
    assert durum("ls", "--json").json["status"] in {"interrupted", "pending"}
    durum.write("go", "")
    assert "completed" in durum("worker", "slow.py", "--until-idle").out


def test_a_second_signal_ends_it_at_once(durum: CommandLine) -> None:
    """Whatever is under way; the run is an orphan then, and adopted."""
    durum.write("slow.py", SLOW)
    durum("run", "slow.py", "--detach")
    process = durum.begin("worker", "slow.py")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("claimed")
    process.send_signal(signal.SIGTERM)
    wait_for(process, "once more to exit at once")
    process.send_signal(signal.SIGTERM)
    assert ended(process).code == 3
    durum.write("go", "")
    assert durum("worker", "slow.py", "--until-idle").out.startswith("adopted")


def test_doctor_and_ls_show_who_works_who_hangs_and_what_is_quarantined(durum: CommandLine) -> None:
    """A run that killed five workers is shown with why and how to go on; a hung worker with how long it has been silent."""
    durum.write("poison.py", POISON)
    durum.write("slow.py", SLOW)
    run_id = durum("run", "poison.py", "--detach").out.strip()
    for _ in range(5):
        durum("worker", "poison.py", "--until-idle", code=9)
    assert "removed what 1 worker left behind as it died" in durum("doctor").out
    assert durum("worker", "poison.py", "--until-idle").out.splitlines()[-1].split() == ["quarantined", run_id, "poison"]
    assert "quarantined" in durum("ls").out
    assert "quarantined: the process that drove it died 5 times in a row, in poison.kills.main" in durum("show", run_id).err
    healed = f"; once that is mended: durum resume {run_id} --with FILE.py"
    assert healed in durum("doctor").out

    durum("run", "slow.py", "--detach")
    process = durum.begin("worker", "slow.py", DURUM_LEASE_SECONDS="1")
    assert process.stdout is not None
    process.stdout.readline()
    assert f"1 worker at work: process {process.pid} on " in durum("doctor").out
    process.send_signal(signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)
    for _ in range(30):
        found = durum("doctor", "--json").json["checks"]
        if any(check["name"] == "workers" and check["result"] == "warning" for check in found):
            break
    said = [check["detail"] for check in found if check["name"] == "workers"]
    assert said[0] == "0 workers at work"
    assert said[1].startswith(f"process {process.pid} on ")
    assert "shows no sign of life for " in said[1]
