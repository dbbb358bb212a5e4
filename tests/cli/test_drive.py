"""``run`` and ``resume``: what they print, how they end, and what every mistake is told."""

from __future__ import annotations

import sqlite3
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.cli.command_line import SECONDS, ended, wait_for
from tests.cli.flows import FLAKY, NOTES, SLOW

if TYPE_CHECKING:
    from tests.cli.command_line import CommandLine, Ran

SUMMARY = {"run_id", "status", "op_id", "head_seq", "final_snapshot_id", "semantic_digest", "error"}
WF = "from durum import Workflow\nwf = Workflow('wf')\n"


def refused(ran: Ran) -> str:
    """Return the one line that a refused call says."""
    assert ran.out == ""
    assert "Traceback" not in ran.err
    *before, line = ran.err.splitlines()
    assert before == []
    assert line.startswith("error: ")
    return line


# --- a run that goes well -----------------------------------------------------------------------------------------------


def test_run_prints_the_id_first_and_ends_with_commands_to_look_on(durum: CommandLine) -> None:
    """Stdout holds data, stderr progress; every command printed works as it stands."""
    durum.write("notes.py", NOTES)
    ran = durum("run", "notes.py", "--input", "words=3")
    run_id, status, *lines = ran.out.splitlines()
    assert str(uuid.UUID(run_id)) == run_id
    assert status.startswith("completed in ")
    commands = {line.split()[0]: line.split()[2:] for line in lines if " durum " in line}
    assert commands.keys() == {"look", "replay", "verify"}
    for words in commands.values():
        durum(*words)
    assert durum.path("out.txt").read_text() == "15"
    assert "said: started" in ran.err
    assert "said: listening" in ran.err
    assert "length: completed in " in ran.err


def test_what_a_step_prints_goes_to_stderr(durum: CommandLine) -> None:
    """Prints, those of processes a step starts past Io, and those at import cannot spoil the data."""
    noisy = "print('at import')\nimport os, sys\n@wf.step\ndef loud() -> int:\n    print('loud'); os.system('echo louder')\n"
    durum.write("noisy.py", WF + noisy + "    print('loudest', file=sys.__stdout__)\n    return 1\n")
    ran = durum("run", "noisy.py", "--json")
    assert ran.json["status"] == "completed"
    said = ran.err.splitlines()
    assert all(word in said for word in ("at import", "loud", "louder", "loudest"))
    assert said.index("loud: started") < said.index("loud") < next(n for n, line in enumerate(said) if "completed in" in line)


def test_json_is_one_object_with_the_summary(durum: CommandLine) -> None:
    """``run``, ``show`` and ``resume`` give the same object; the id comes first on stderr."""
    durum.write("notes.py", NOTES)
    ran = durum("run", "notes.py", "--input", "words=1", "--json")
    assert ran.json.keys() >= SUMMARY
    assert ran.err.splitlines()[0] == ran.json["run_id"]
    shown = durum("show", ran.json["run_id"], "--json").json
    assert [row["state_id"] for row in shown.pop("state_rows")] == [
        "notes.said.main",
        "notes.length.main",
        "notes.publish.main",
    ]
    assert shown == ran.json
    assert durum("resume", ran.json["run_id"], "--with", "notes.py", "--json").json == ran.json


def test_a_failed_run_exits_1_and_says_why(durum: CommandLine) -> None:
    """The failure is told once as it happens and once in the summary; what it says cannot steer a terminal."""
    durum.write("flaky.py", FLAKY)
    ran = durum("run", "flaky.py", code=1)
    assert "failed in " in ran.out
    assert "fetch: the upstream is \\x1b[31mbusy now (busy)" in ran.out
    assert "fetch: attempt 1 of 2 failed" in ran.err
    assert "fetch: attempt 2 of 2 in 1 ms" in ran.err
    assert "count: skipped: fetch did not complete" in ran.err
    assert "\x1b" not in ran.out + ran.err


def test_a_step_that_raises_fails_the_run(durum: CommandLine) -> None:
    """Whatever it raises: the run fails, the command line does not."""
    for raised in ("ValueError('no')", "SystemExit(0)"):
        durum.write("bad.py", WF + f"@wf.step\ndef bad() -> int:\n    raise {raised}\n")
        ran = durum("run", "bad.py", "--json", code=1)
        assert raised.partition("(")[0] in ran.json["error"]["message"]


def test_a_step_that_returns_no_json_fails_the_run(durum: CommandLine) -> None:
    """The error names the key and the type."""
    durum.write("bad.py", WF + "@wf.step\ndef bad():\n    return object()\n")
    error = durum("run", "bad.py", "--json", code=1).json["error"]
    assert error["state_id"] == "wf.bad.main"
    assert "object" in error["message"]


# --- options ------------------------------------------------------------------------------------------------------------


def test_inputs_come_from_pairs_and_a_file(durum: CommandLine) -> None:
    """A value may hold ``=``; typed text is converted, JSON is taken as it is."""
    inputs = "from typing import TypedDict\nclass In(TypedDict):\n    a: str\n    b: list[int]\n    c: float\n"
    durum.write(
        "in.py",
        "from durum import Workflow\n" + inputs + "wf = Workflow('wf', inputs=In)\n@wf.step\ndef s() -> int:\n    return 1\n",
    )
    durum.write("in.json", '{"b": [1, 2]}')
    ran = durum("run", "in.py", "--input", "a=x=1", "--input", "c=0.5", "--input-file", "in.json", "--json")
    context = durum("context", ran.json["run_id"], "--json").json
    assert context == {"a": "x=1", "b": [1, 2], "c": 0.5, "s": 1}


def test_a_run_id_may_be_chosen_once(durum: CommandLine) -> None:
    """The second run of that id is refused with the command that resumes the first."""
    durum.write("notes.py", NOTES)
    identity = "01890a5d-ac96-774b-bcce-b302099a8057"
    call = ("run", "notes.py", "--input", "words=1", "--run-id", identity)
    assert durum(*call).out.splitlines()[0] == identity
    assert f"durum resume {identity}" in refused(durum(*call, code=2))


def test_a_key_starts_one_run(durum: CommandLine) -> None:
    """The second call finds what the first one started, says so and runs nothing."""
    durum.write("notes.py", NOTES)
    call = ("run", "notes.py", "--input", "words=1", "--key", "monday")
    first, second, third = durum(*call, "--json"), durum(*call, "--json"), durum(*call)
    assert second.json == {**first.json, "attached": True}
    assert third.out.splitlines()[0] == first.json["run_id"]
    for again in (second, third):
        assert "said" not in again.err
        assert "attached: this key started the run before; it is shown as it stands and was not driven" in again.err
    assert "attached" not in first.err


def test_a_key_is_not_used_for_something_else(durum: CommandLine) -> None:
    """The call is refused with the run and the names of what differs."""
    durum.write("notes.py", NOTES)
    run_id = durum("run", "notes.py", "--input", "words=1", "--key", "monday").out.splitlines()[0]
    line = refused(durum("run", "notes.py", "--input", "words=98765", "--key", "monday", "--fail-fast", code=2))
    assert f"run {run_id} with other inputs (words); other settings (fail_fast)" in line
    assert "98765" not in line
    assert len(durum("ls", "--json").lines) == 1


@pytest.mark.parametrize("key", ["", " monday", "mon\nday", "x" * 513])
def test_what_is_no_key_leaves_nothing_behind(durum: CommandLine, key: str) -> None:
    """It is refused before there is a store."""
    durum.write("notes.py", NOTES)
    assert "invocation key" in refused(durum("run", "notes.py", "--input", "words=1", "--key", key, code=2))
    assert not durum.path(".durum").exists()


def test_tags_can_be_skipped_and_failures_can_stop_the_run(durum: CommandLine) -> None:
    """``--skip-tag``, ``--fail-fast``, ``--events`` and ``--max-concurrency`` reach the run's manifest."""
    durum.write(
        "tags.py", WF + "@wf.step(tags=['slow'])\ndef one() -> int:\n    return 1\n@wf.step\ndef two() -> int:\n    return 2\n"
    )
    options = ("--skip-tag", "slow", "--fail-fast", "--events", "minimal", "--max-concurrency", "1")
    ran = durum("run", "tags.py", *options)
    assert "one: skipped: its tag was to be skipped" in ran.err
    log = durum("events", ran.out.splitlines()[0], "--json").lines
    manifest = durum("artifact", log[0]["event"]["manifest_id"]).out
    assert '"fail_fast":true' in manifest
    assert '"event_profile":"minimal"' in manifest
    assert '"max_concurrency":1' in manifest


# --- mistakes -----------------------------------------------------------------------------------------------------------

TYPED = "from typing import TypedDict\n" + WF.replace("\nwf", "\nclass In(TypedDict):\n    n: int\nwf").replace(
    "'wf'", "'wf', inputs=In"
)
USES_N = "@wf.step\ndef s(n: int) -> int:\n    return n\n"

MISTAKES: dict[str, tuple[str | None, list[str], str]] = {
    "no such file": (None, [], "there is no such file"),
    "no workflow": ("x = 1\n", [], "no Workflow"),
    "syntax error": ("def x(:\n", [], "syntax error in line 1"),
    "raises at import": ("1 / 0\n", [], "ZeroDivisionError"),
    "exits at import": ("raise SystemExit(0)\n", [], "SystemExit"),
    "empty": (WF, [], "no states"),
    "cycle": (
        WF + "@wf.step\ndef one(two: int) -> int:\n    return 1\n@wf.step\ndef two(one: int) -> int:\n    return 2\n",
        [],
        "has a cycle: wf.",
    ),
    "parameter nobody provides": (WF + "@wf.step\ndef one(nothing: int) -> int:\n    return 1\n", [], "'nothing'"),
    "missing input": (TYPED + USES_N, [], "n: field required; give inputs with --input"),
    "wrongly typed input": (TYPED + USES_N, ["--input", "n=many"], "given 'many'"),
    "unknown input": (TYPED + USES_N, ["--input", "m=1"], "m is not declared; declared are n"),
    "input without a value": (TYPED + USES_N, ["--input", "n"], "--input 'n' is not name=value"),
    "input given twice": (TYPED + USES_N, ["--input", "n=1", "--input", "n=2"], "input n is given twice"),
    "no input file": (TYPED + USES_N, ["--input-file", "none.json"], "none.json cannot be read"),
    "bad run id": (TYPED + USES_N, ["--input", "n=1", "--run-id", "monday"], "invalid run_id: 'monday'"),
    "run id and key": (TYPED + USES_N, ["--input", "n=1", "--run-id", "x", "--key", "y"], "give one of them"),
    "concurrency out of range": (TYPED + USES_N, ["--input", "n=1", "--max-concurrency", "0"], "at least 1"),
    "secret": (TYPED.replace("int", "str") + USES_N, ["--input", "n=sk-ant-api03-" + "a" * 90], "holds a secret"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_exit_2_and_leaves_nothing(mistake: str, durum: CommandLine) -> None:
    """Before anything is stored: the caller is told what is wrong and where."""
    code, arguments, says = MISTAKES[mistake]
    if code is not None:
        durum.write("flow.py", code)
    line = refused(durum("run", "flow.py", *arguments, code=2))
    assert says in line
    assert not durum.path(".durum").exists()


def test_a_target_that_cannot_be_loaded_is_told_in_json_too(durum: CommandLine) -> None:
    """With ``--json`` the same error is on stdout."""
    ran = durum("run", "none.py", "--json", code=2)
    assert ran.json["error"]["code"] == "invalid_target"
    assert "none.py" in ran.json["error"]["message"]


def test_a_store_that_cannot_be_written_names_its_path(durum: CommandLine) -> None:
    """Below a regular file nothing can be made."""
    durum.write("notes.py", NOTES)
    durum.write("file", "")
    line = refused(durum("run", "notes.py", "--input", "words=1", "--store", "sqlite:///file/x.db", code=1))
    assert "file/x.db" in line
    assert "--store" in line


def test_a_foreign_database_is_refused_and_not_touched(durum: CommandLine) -> None:
    """Neither a database of another program nor a file that is none."""
    durum.write("notes.py", NOTES)
    durum.write("text.db", "no database at all")
    connection = sqlite3.connect(durum.path("other.db"))
    connection.execute("CREATE TABLE t (a)")
    connection.close()
    for name in ("text.db", "other.db"):
        before = durum.path(name).read_bytes()
        for call in (("run", "notes.py", "--input", "words=1"), ("ls",)):
            assert name in refused(durum(*call, "--store", f"sqlite:///{name}", code=2))
        assert durum.path(name).read_bytes() == before


def test_a_newer_store_is_refused_and_a_corrupt_one_is_found(durum: CommandLine) -> None:
    """Of a later version: exit 2 and the way out. Overwritten with nonsense: exit 4."""
    durum.write("notes.py", NOTES)
    durum("run", "notes.py", "--input", "words=1")
    store = durum.path(".durum/durum.db")
    whole = store.read_bytes()
    connection = sqlite3.connect(store)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    for call in (("run", "notes.py", "--input", "words=1"), ("ls",)):
        assert "newer Durum (schema 99" in refused(durum(*call, code=2))
    store.write_bytes(whole[:100] + b"\xff" * (len(whole) - 100))
    for call in (("run", "notes.py", "--input", "words=1"), ("ls",)):
        assert "durum.db is damaged" in refused(durum(*call, code=4))


# --- parked and resumed -------------------------------------------------------------------------------------------------


def test_a_killed_run_is_resumed_with_configured_code(durum: CommandLine) -> None:
    """``kill -9`` leaves a run that ``[tool.durum] workflows`` finishes; while it lives nobody else may drive it."""
    durum.write("slow.py", SLOW)
    process = durum.begin("run", "slow.py")
    wait_for(process, "second: started")
    run_id = durum("ls", "--json").lines[0]["run_id"]
    assert "is being driven by" in refused(durum("resume", run_id, "--with", "slow.py", code=2))
    process.kill()
    ended(process)
    assert durum("show", run_id, "--json").json["status"] == "interrupted"
    assert f"resume: durum resume {run_id} --with FILE.py\n" in durum("show", run_id).err
    durum.write("go", "")
    durum.write("pyproject.toml", '[tool.durum]\nworkflows = ["slow.py"]\n')
    assert f"resume: durum resume {run_id}\n" in durum("show", run_id).err
    ran = durum("resume", run_id[:14])
    assert ran.out.splitlines()[0] == run_id
    assert "completed in " in ran.out


def test_resume_without_code_says_what_to_type(durum: CommandLine) -> None:
    """Code is never found through the store; the wrong code and an unknown run are refused as well."""
    durum.write("slow.py", SLOW)
    durum.write("notes.py", NOTES)
    process = durum.begin("run", "slow.py")
    wait_for(process, "second: started")
    process.kill()
    run_id = ended(process).out.split()[0]
    assert f"durum resume {run_id} --with FILE.py" in refused(durum("resume", run_id, code=2))
    assert "notes.py" in refused(durum("resume", run_id, "--with", "notes.py", code=2))
    unknown = "01890a5d-ac96-774b-bcce-b302099a8057"
    assert f"no run {unknown}" in refused(durum("resume", unknown, "--with", "slow.py", code=2))


def test_a_reader_that_went_away_does_not_stop_the_run(durum: CommandLine) -> None:
    """``durum run ... | head -1`` comes to its end, and its exit code tells which."""
    durum.write("slow.py", SLOW)
    process = durum.begin("run", "slow.py")
    wait_for(process, "second: started")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.stderr.close()
    durum.write("go", "and fail")
    assert process.wait(SECONDS) == 1
    assert durum("ls", "--json").lines[0]["status"] == "failed"
