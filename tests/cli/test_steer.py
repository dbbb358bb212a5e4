"""Verbs that steer: gates and their answers, cancelling and pausing, from another process and with nobody driving."""

from __future__ import annotations

import shlex
import signal
from typing import TYPE_CHECKING

import pytest

from tests.cli.command_line import ended, wait_for
from tests.cli.flows import FAMILY, MAIL, NOTES, PAY, SLOW

if TYPE_CHECKING:
    import subprocess

    from tests.cli.command_line import CommandLine, Ran


def refused(ran: Ran) -> str:
    """Return the one line that a refused call says."""
    assert ran.out == ""
    assert ran.err.count("\n") == 1
    assert ran.err.startswith("error: ")
    return ran.err


def commands(page: str, label: str) -> list[list[str]]:
    """Return the commands a page prints behind a label, without ``durum``."""
    lines = [line.strip() for line in page.splitlines()]
    return [shlex.split(line.partition(" durum ")[2]) for line in lines if line.startswith(label)]


def parked(durum: CommandLine) -> tuple[str, str]:
    """Bring a run to its gate; return its id and the gate's address."""
    durum.write("mail.py", MAIL)
    durum("run", "mail.py", code=-signal.SIGKILL)
    run_id = str(durum("ls", "--json").lines[0]["run_id"])
    durum("resume", run_id, "--with", "mail.py", code=3)
    (gate,) = durum("gates", "--json").lines
    assert gate["run_id"] == run_id
    return run_id, str(gate["gate"])


def started(durum: CommandLine) -> tuple[subprocess.Popen[str], str]:
    """Start a run that is driven until a file lies there; return its process and its id."""
    durum.write("slow.py", SLOW)
    process = durum.begin("run", "slow.py")
    wait_for(process, "second: started")
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


# --- gates and answers --------------------------------------------------------------------------------------------------


def test_a_gate_is_answered_with_the_commands_that_are_printed(durum: CommandLine) -> None:
    """It did not happen: it is done again. Every page prints the same commands, and a resume without an answer parks again."""
    run_id, gate = parked(durum)
    page = durum("resume", run_id, "--with", "mail.py", code=3).out
    assert "paused, 0 of 1 state completed" in page
    assert "look whether it happened" in page
    table = durum("gates")
    assert table.out.splitlines()[0].split() == ["run", "gate", "step", "asks"]
    assert table.out.splitlines()[1].startswith(f"{run_id}  {gate}  send  exec sh -c 'echo mail >> outbox; ")
    assert table.out.splitlines()[1].endswith(f"look whether it happened; effect {run_id}/mail.send.main")
    assert "send  ? awaiting answer  2 of 1" not in durum("show", run_id).out
    narrow = durum.on_terminal("gates", columns=80, NO_COLOR="1")
    assert "  exec sh -c 'echo mail >> outbox;" in narrow.splitlines()[1]
    assert (
        "exec sh -c 'echo mail >> outbox;" in durum.on_terminal("show", run_id, columns=80, NO_COLOR="1").split("waits for")[0]
    )
    (no,) = commands(page, "it did not")
    assert commands(table.out, "it did not") == [no]
    assert f"it did not: durum {shlex.join(no)}\n" in durum("show", run_id).err
    answered = durum(*no, "--as", "anna", "--reason", "I looked")
    assert answered.out.splitlines()[0] == f"{gate} is answered"
    assert f"  resume   durum resume {run_id} --with FILE.py" in answered.out.splitlines()
    assert "by anna: I looked" in durum("events", run_id).out
    assert durum("gates").err == "nothing waits for an answer\n"
    (resume,) = commands(page, "then resume")
    assert durum(*resume, "--json").json["status"] == "completed"
    assert durum.path("outbox").read_text() == "mail\nmail\n"
    assert durum("gates", "--json").out == ""


def test_what_happened_is_not_done_again(durum: CommandLine) -> None:
    """The printed command does as it stands; ``--json`` gives the summary and the way on, which is the configured code."""
    run_id, _ = parked(durum)
    durum.write("pyproject.toml", '[tool.durum]\nworkflows = ["mail.py"]\n')
    (yes,) = commands(durum("gates", run_id).out, "it happened")
    ran = durum(*yes, "--json")
    assert ran.json["run_id"] == run_id
    assert ran.json["gates"] == []
    assert ran.json["resume"] == f"durum resume {run_id}"
    assert durum(*shlex.split(ran.json["resume"])[1:], "--json").json["status"] == "completed"
    assert durum.path("outbox").read_text() == "mail\n"


def test_gates_as_json_say_what_they_ask(durum: CommandLine) -> None:
    """One a line, of one run or of all."""
    run_id, gate = parked(durum)
    (row,) = durum("gates", run_id[:13], "--json").lines
    assert row == durum("gates", "--json").lines[0]
    assert (row["gate"], row["kind"], row["state_id"]) == (gate, "unknown_effect", "mail.send.main")
    assert [(field["name"], field["type"], field["required"]) for field in row["fields"]] == [
        ("happened", "boolean", True),
        ("result", "json", False),
    ]
    assert (row["namespace"], row["request"]["argv"][:2]) == ("exec", ["sh", "-c"])


def test_an_answer_that_does_not_fit_is_refused_and_changes_nothing(durum: CommandLine) -> None:
    """Each with what to type; then the first that fits counts, and no other after it."""
    run_id, gate = parked(durum)
    call = ("answer", run_id, gate)
    mistakes = {
        ("--field", "happened=yes"): "true or false, not 'yes'",
        ("--field", "happened=true", "--field", "happened=true"): "given twice",
        ("--field", "happened=true", "--field", "what=1"): "no field 'what'; its fields are happened, result",
        ("--field", "happened=true", "--field", "result=fine"): "a text stands in double quotes",
        ("--field", "happened"): "not name=value",
        (): "field happened is missing",
    }
    before = durum("show", run_id, "--json").json["head_seq"]
    for arguments, says in mistakes.items():
        assert says in refused(durum(*call, *arguments, code=2))
    yes = ("--field", "happened=true")
    assert f"then answer {gate}" in refused(durum("answer", run_id, "send", *yes, code=2))
    assert f"shown as {gate} last" in refused(durum("answer", run_id, "send@00000000", *yes, code=2))
    assert f"shown as {gate} last" in refused(durum("answer", run_id, gate[:-1], *yes, code=2))
    assert f"open are: {gate}" in refused(durum("answer", run_id, "other@00000000", *yes, code=2))
    assert durum("show", run_id, "--json").json["head_seq"] == before
    durum(*call, *yes, "--as", "anna")
    assert "answered before, by anna; the first answer counts" in refused(durum(*call, *yes, code=2))
    durum("cancel", run_id)
    assert "is over (cancelled)" in refused(durum("answer", run_id, "send@00000000", *yes, code=2))


@pytest.mark.parametrize("typed", ["n\n", "\n", "yes\n", "Y\n", "\x04"])
def test_on_a_terminal_a_bare_name_shows_the_gate_and_only_y_is_yes(typed: str, durum: CommandLine) -> None:
    """What was asked of the world stands there whole; anything else answers nothing."""
    run_id, gate = parked(durum)
    call = ("answer", run_id, "send", "--field", "happened=false")
    shown = durum.on_terminal(*call, columns=200, typed=typed)
    for words in (gate, "look whether it happened", f"{run_id}/mail.send.main", '"argv": [', "echo mail >> outbox"):
        assert words in shown
    assert "field result" in shown
    assert "nothing was answered" in shown
    assert durum.last_code == 2
    assert len(durum("gates", "--json").lines) == 1
    assert f"{gate} is answered" in durum.on_terminal(*call, columns=200, typed="y\n")
    assert durum("gates", "--json").lines == []


def test_on_a_terminal_what_is_missing_is_said_below_the_gate(durum: CommandLine) -> None:
    """Nobody is asked to confirm half an answer."""
    run_id, _ = parked(durum)
    shown = durum.on_terminal("answer", run_id, "send", "--field", "result=1", columns=200, typed="y\n")
    assert "echo mail >> outbox" in shown
    assert "field happened is missing; give --field happened=VALUE" in shown
    assert "type y" not in shown


def test_on_a_terminal_the_fields_are_asked_for(durum: CommandLine) -> None:
    """One by one below the gate; leaving out what is needed answers nothing, and its name is enough."""
    run_id, gate = parked(durum)
    left_out = durum.on_terminal("answer", run_id, gate, columns=200, typed="\n")
    assert ("nothing was answered" in left_out, "type y for yes" in left_out, durum.last_code) == (True, False, 2)
    assert len(durum("gates", "--json").lines) == 1
    shown = durum.on_terminal("answer", run_id, "send", columns=200, typed='y\nnope\n{"exit_code": 0}\ny\n')
    assert "field result is no JSON" in shown
    assert 'answer it with happened=true result={"exit_code": 0}? type y for yes: ' in shown
    assert (f"{gate} is answered" in shown, durum.last_code) == (True, 0)
    assert durum("resume", run_id, "--with", "mail.py", "--json").json["status"] == "completed"


def test_a_step_that_is_the_effect_itself_needs_its_result(durum: CommandLine) -> None:
    """The printed command has a blank for it, and the answer is the step's value."""
    durum.write("pay.py", PAY)
    durum("run", "pay.py", code=-signal.SIGKILL)
    run_id = str(durum("ls", "--json").lines[0]["run_id"])
    (yes,) = commands(durum("resume", run_id, "--with", "pay.py", code=3).out, "it happened")
    assert yes[-1] == "result=JSON"
    assert "field result is missing" in refused(durum(*yes[:-2], code=2))
    durum(*yes[:-1], "result=7")
    assert durum("resume", run_id, "--with", "pay.py", "--json").json["status"] == "completed"
    assert durum("context", run_id, "paid").out == "7\n"


def test_states_go_by_what_the_run_does(durum: CommandLine) -> None:
    """Interrupted where nobody drives it, without an old question once that was answered, cancelled with the run."""
    durum.write("mail.py", MAIL)
    durum("run", "mail.py", code=-signal.SIGKILL)
    run_id = str(durum("ls", "--json").lines[0]["run_id"])

    def row() -> tuple[str, bool]:
        (found,) = durum("show", run_id, "--json").json["state_rows"]
        return found["status"], found["error"] is not None

    assert row() == ("interrupted", False)
    durum("resume", run_id, "--with", "mail.py", code=3)
    (gate,) = durum("gates", "--json").lines
    assert row() == ("awaiting_answer", True)
    durum("answer", run_id, gate["gate"], "--field", "happened=false")
    assert row() == ("ready", False)
    durum("cancel", run_id)
    assert row()[0] == "cancelled"
    assert durum("show", run_id, "--json").json["states"] == {"cancelled": 1}
    assert durum("graph", run_id, "--json").json["waves"][0]["states"][0]["status"] == "cancelled"


def test_the_gate_of_a_child_is_answered_and_its_parent_resumed(durum: CommandLine) -> None:
    """Both know what to type, as it stands."""
    durum.write("family.py", FAMILY)
    parent = durum("run", "family.py:top", "--json", code=-signal.SIGKILL).err.split()[0]
    parked = durum("resume", parent, "--with", "family.py", code=3)
    page = parked.out
    assert f"mail > send: waits for an answer: durum gates {parent}\n" in parked.err
    (gate,) = durum("gates", parent, "--json").lines
    assert gate["run_id"] != parent
    assert "  mail > send: exec sh -c 'echo mail >> outbox;" in page
    assert "exec sh -c 'echo mail" in durum("show", gate["run_id"]).out.splitlines()[-1]
    (yes,) = commands(page, "it happened")
    answered = durum(*yes)
    assert f"  resume   durum resume {parent} --with FILE.py" in answered.out.splitlines()
    (resume,) = commands(page, "then resume")
    assert resume == ["resume", parent, "--with", "family.py"]
    ran = durum(*resume)
    assert "completed in " in ran.out
    assert f"mail: child run {gate['run_id']} completed\n" in ran.err
    assert durum("context", parent, "done").out == '"hello!"\n'


# --- cancel and pause ---------------------------------------------------------------------------------------------------


def test_a_driven_run_is_cancelled_by_another_process(durum: CommandLine) -> None:
    """What is under way is given up and the driving process fails; the second time it is said so."""
    process, run_id = started(durum)
    asked = durum("cancel", run_id, "--reason", "enough", "--as", "anna")
    assert asked.out.splitlines()[0] in {"asked to cancel: the process that drives it ends it at once", "cancelled"}
    ran = ended(process)
    assert ran.code == 1, ran
    assert ran.out.startswith("cancelled in ")
    assert "run: cancelled by anna: enough\n" in ran.err
    assert "second: cancelled\n" in ran.err
    assert durum("cancel", run_id).out.splitlines()[0] == "cancelled already"
    assert "is over (cancelled)" in refused(durum("pause", run_id, code=2))
    assert durum("show", run_id, "--json").json["status"] == "cancelled"


def test_a_driven_run_pauses_once_what_is_under_way_is_over(durum: CommandLine) -> None:
    """It parks, whatever is ready stays so, and the printed command goes on."""
    durum.write("slow.py", SLOW + "\n@slow.step\ndef third(second: int) -> int:\n    return 3\n")
    process = durum.begin("run", "slow.py")
    wait_for(process, "second: started")
    run_id = durum("ls", "--json").lines[0]["run_id"]
    asked = durum("pause", run_id, "--as", "anna", "--reason", "lunch")
    assert asked.out.splitlines()[0] == "asked to pause: what is under way comes to its end first"
    assert "durum resume" not in asked.out
    wait_for(process, "run: paused by anna: lunch")
    assert durum("pause", run_id).out.splitlines()[0] == "paused already"
    durum.write("go", "")
    ran = ended(process)
    assert ran.code == 3, ran
    assert "paused, 2 of 3 states completed" in ran.out
    assert "paused by anna: lunch" in ran.out
    assert "third" not in ran.err
    (resume,) = commands(ran.out, "resume")
    again = durum(*resume, "--as", "bert")
    assert "run: resumed by bert\n" in again.err
    assert "completed in " in again.out
    assert "is over (completed)" in refused(durum("pause", run_id, code=2))


def test_a_run_nobody_drives_is_steered_without_its_code(durum: CommandLine) -> None:
    """At once; ``--json`` gives the summary, with the way on while there is one."""
    process, run_id = started(durum)
    process.kill()
    ended(process)
    durum.path("slow.py").unlink()
    paused = durum("pause", run_id, "--json")
    assert paused.json["status"] == "paused"
    assert paused.json["resume"] == f"durum resume {run_id} --with FILE.py"
    assert durum("pause", run_id).out.splitlines()[0] == "paused already"
    cancelled = durum("cancel", run_id, "--json")
    assert cancelled.json["status"] == "cancelled"
    assert "resume" not in cancelled.json


def test_pausing_twice_needs_one_resume(durum: CommandLine) -> None:
    """The second word is not kept for later."""
    process, run_id = started(durum)
    process.kill()
    ended(process)
    for _ in range(2):
        durum("pause", run_id)
    durum.write("go", "")
    assert durum("resume", run_id, "--with", "slow.py", "--json").json["status"] == "completed"


def test_a_run_that_is_over_or_unknown_is_not_steered(durum: CommandLine) -> None:
    """Exit 2, one line."""
    durum.write("notes.py", NOTES)
    run_id = durum("run", "notes.py", "--input", "words=1").out.split()[0]
    unknown = "01890a5d-ac96-774b-bcce-b302099a8057"
    for verb in ("cancel", "pause"):
        assert "is over (completed)" in refused(durum(verb, run_id, code=2))
        assert f"no run {unknown}" in refused(durum(verb, unknown, code=2))
    assert f"no run {unknown}" in refused(durum("gates", unknown, code=2))
