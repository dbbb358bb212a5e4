"""Verbs that look: shapes of their JSON, what people see, and that nothing is ever made by looking."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.cli.command_line import ended, wait_for
from tests.cli.flows import NOTES, SLOW

if TYPE_CHECKING:
    from tests.cli.command_line import CommandLine
    from tests.cli.conftest import Shelf

UNKNOWN = "01890a5d-ac96-774b-bcce-b302099a8057"


def test_events_are_envelopes_a_line(shelf: Shelf) -> None:
    """Contiguous and chained; ``--from`` leaves out the beginning."""
    log = shelf.durum("events", shelf.completed, "--json").lines
    assert [envelope["seq"] for envelope in log] == list(range(1, len(log) + 1))
    assert all(envelope.keys() >= {"run_id", "seq", "ts_millis", "hash", "prev_hash", "event"} for envelope in log)
    assert [later["prev_hash"] for later in log[1:]] == [envelope["hash"] for envelope in log[:-1]]
    assert shelf.durum("events", shelf.completed, "--from", "3", "--json").lines == log[2:]


def test_events_read_as_lines_for_people(shelf: Shelf) -> None:
    """One line an event: number, time, kind, step, what matters."""
    lines = [line.split() for line in shelf.durum("events", shelf.completed).out.splitlines()]
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d\.\d\d\d", words[1]) for words in lines)
    told = {words[2]: words[3:] for words in lines}
    assert told["run.started"] == ["notes"]
    assert told["fact.recorded"][:3] == ["publish", "file", "success"]
    assert told["domain"] == ["said", "heard", '{"text":"hello\\n"}']
    assert told["state.completed"] == ["publish", "writes", "publish"]
    assert told["run.completed"] == ["completed"]


def test_a_reader_that_has_seen_enough_ends_it_quietly(shelf: Shelf) -> None:
    """``durum events RUN | head`` says nothing on stderr, and is no failure."""
    for verb in ("events", "artifact"):
        what = shelf.completed if verb == "events" else shelf.durum("facts", shelf.completed, "--json").lines[0]["payload_id"]
        command = f"{sys.executable} -m durum {verb} {what} | true"
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command], cwd=shelf.durum.folder, capture_output=True, check=True
        )
        assert done.stderr == b""


def test_a_full_disk_is_told(shelf: Shelf) -> None:
    """Data that could not be written is no success."""
    command = f"{sys.executable} -m durum show {shelf.completed} > /dev/full"
    done = subprocess.run(["bash", "-c", command], cwd=shelf.durum.folder, capture_output=True, check=False, text=True)
    assert done.returncode == 1
    assert done.stderr == "error: output: No space left on device\n"


def test_follow_goes_on_until_the_run_is_over(durum: CommandLine) -> None:
    """Every event once, the last one too; Ctrl-C before that is no failure."""
    durum.write("slow.py", SLOW)
    run = durum.begin("run", "slow.py")
    wait_for(run, "second: started")
    run_id = durum("ls", "--json").lines[0]["run_id"]
    stopped = durum.begin("events", run_id, "--follow")
    follower = durum.begin("events", run_id, "--follow", "--json")
    assert stopped.stdout is not None
    assert "run.started" in stopped.stdout.readline()
    time.sleep(0.2)  # it polls by now
    stopped.send_signal(signal.SIGINT)
    assert ended(stopped)[::2] == (0, "")
    durum.write("go", "")
    ended(run)
    seen = ended(follower)
    assert seen.code == 0
    assert seen.out == durum("events", run_id, "--json").out


def test_context_now_then_and_by_key(shelf: Shelf) -> None:
    """Pretty for people, one line for programs."""
    now = shelf.durum("context", shelf.completed, "--json").json
    assert now == {"words": 4, "said": "hello" * 4, "length": 20, "publish": "out.txt"}
    assert '\n  "length": 20,\n' in shelf.durum("context", shelf.completed).out
    assert shelf.durum("context", shelf.completed, "--at", "1", "--json").json == {"words": 4}
    assert shelf.durum("context", shelf.completed, "length").out == "20\n"


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (["show", UNKNOWN], f"no run {UNKNOWN}"),
        (["show", "nonsense"], "no run nonsense"),
        (["context", "COMPLETED", "nothing"], "no context key nothing; there are: "),
        (["context", "COMPLETED", "--at", "999"], "no event 999"),
        (["artifact", "abc"], "invalid artifact_id: 'abc'"),
        (["artifact", "0" * 64], "0" * 64),
        (["graph", "none.py"], "there is no such file"),
    ],
)
def test_what_is_not_there_is_one_line_and_exit_2(call: list[str], says: str, shelf: Shelf) -> None:
    """In words, and with ``--json`` as an object too."""
    call = [word.replace("COMPLETED", shelf.completed) for word in call]
    ran = shelf.durum(*call, "--json", code=2)
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    assert says in ran.err
    assert says in ran.json["error"]["message"]


def test_looking_makes_no_store(durum: CommandLine) -> None:
    """A mistyped --store creates neither file nor folder."""
    for call in (["ls"], ["events", UNKNOWN], ["resume", UNKNOWN], ["replay", UNKNOWN]):
        durum(*call, "--store", "sqlite:///typo/runs.db", code=2)
    durum("doctor", "--store", "sqlite:///typo/runs.db")
    assert "other.db" in durum("ls", code=2, DURUM_STORE="sqlite:///other.db").err
    assert list(durum.folder.iterdir()) == []


def test_facts_name_the_call_and_its_artifacts(shelf: Shelf) -> None:
    """What a fact names can be read."""
    rows = shelf.durum("facts", shelf.completed, "--json").lines
    assert [(row["namespace"], row["outcome"]) for row in rows] == [("exec", "success"), ("file", "success")]
    assert "hello" in shelf.durum("artifact", rows[0]["payload_id"]).out
    request = shelf.durum("artifact", rows[0]["request_id"], "--json").json
    assert request["encoding"] == "utf-8"
    assert request["size"] == len(request["data"].encode())
    table = shelf.durum("facts", shelf.completed).out.splitlines()
    assert table[1].split() == [str(rows[0]["seq"]), "said", "1", "exec", "success", rows[0]["payload_id"]]
    assert "no calls" in shelf.durum("facts", shelf.failed).err


def test_an_artifact_that_is_no_text_is_given_as_bytes(durum: CommandLine) -> None:
    """Raw on stdout, base64 in JSON."""
    durum.write(
        "raw.py",
        "from durum import Io, Workflow\nwf = Workflow('wf', exec=['printf'])\n@wf.step\nasync def s(io: Io) -> int:\n"
        "    await io.exec(['printf', '\\\\377'])\n    return 1\n",
    )
    run_id = durum("run", "raw.py").out.split()[0]
    names = {row["payload_id"] for row in durum("facts", run_id, "--json").lines}
    assert names
    for name in names:
        assert durum("artifact", name, "--json").json["artifact_id"] == name


def test_a_stored_file_is_streamed_out(durum: CommandLine) -> None:
    """As it is on stdout, whatever its size; as JSON only while that fits into memory. Damage ends it with exit code 4."""
    durum.write(
        "keep.py",
        "from durum import Io, StoredFile, Workflow\nwf = Workflow('wf')\n@wf.step\nasync def s(io: Io) -> StoredFile:\n"
        "    return await io.store_file('large')\n",
    )
    with durum.path("large").open("wb") as file:
        file.truncate(65 << 20)
        file.write(b"end")
    run_id = durum("run", "keep.py").out.split()[0]
    kept = durum("context", run_id, "s", "--json").json
    assert kept["size"] == 65 << 20
    out = durum("artifact", kept["id"]).out
    assert len(out) == 65 << 20
    assert out.startswith("end\0")
    assert "leave out --json" in durum("artifact", kept["id"], "--json", code=2).err
    (lies,) = durum.path(".durum").glob(f"durum.db.artifacts/*/{kept['id'][2:]}")
    with lies.open("r+b") as file:
        file.write(b"bad")
    assert "is damaged" in durum("artifact", kept["id"], code=4).err
    assert durum("verify", run_id, "--json", code=4).json["first_bad"]["seq"]


def test_a_terminal_gets_only_what_it_can_show(durum: CommandLine) -> None:
    """Text of a megabyte at most, cut through no letter; anything else is refused with what to type, and piped as ever."""
    durum.write(
        "keep.py",
        "from typing import TypedDict\nfrom durum import Io, StoredFile, Workflow\n"
        "class In(TypedDict):\n    name: str\nwf = Workflow('wf', inputs=In)\n"
        "@wf.step\nasync def s(name: str, io: Io) -> StoredFile:\n    return await io.store_file(name)\n",
    )
    contents = {
        "text": ("a" + "é" * 70_000).encode(),
        "zero": b"a\0b" + b"x" * 70_000,
        "latin": b"caf\xe9",
        "long": b"x" * (1 << 20) + b"y",
    }
    said = {}
    for name, data in contents.items():
        durum.path(name).write_bytes(data)
        run_id = durum("run", "keep.py", "--input", f"name={name}").out.split()[0]
        kept = durum("context", run_id, "s", "--json").json["id"]
        said[name] = durum.on_terminal("artifact", kept, columns=200)
        refusal = f"write it to a file: durum artifact {kept} > file\n"
        assert (durum.last_code, said[name].endswith(refusal)) == ((0, False) if name == "text" else (2, True))
    assert said["text"] == contents["text"].decode()
    assert "this artifact is no text" in said["zero"] + said["latin"]
    assert "this artifact is longer than 1 MiB" in said["long"]
    assert len(durum("artifact", kept).out) == len(contents["long"])


def test_graph_of_a_target_and_of_a_run(shelf: Shelf) -> None:
    """The same waves; a run adds where each state stands. A target needs no store."""
    plan = shelf.durum("graph", "notes.py", "--store", "sqlite:///none.db")
    assert plan.out.splitlines() == [
        "notes  3 states in 3 waves",
        "wave 0",
        "└─ said     reads  #fetch",
        "wave 1",
        "└─ length   ← said",
        "wave 2",
        "└─ publish  ← length  applies an effect",
    ]
    assert "└─ ✓ said" in shelf.durum("graph", shelf.completed).out
    waves = shelf.durum("graph", shelf.completed, "--json").json["waves"]
    assert [wave["wave"] for wave in waves] == [0, 1, 2]
    assert waves[1]["states"][0]["state_id"] == "notes.length.main"
    assert waves[1]["states"][0]["status"] == "completed"


def test_a_damaged_run_does_not_hide_the_others(durum: CommandLine) -> None:
    """It is listed as damaged; showing it is exit 4."""
    durum.write("notes.py", NOTES)
    good, bad = (durum("run", "notes.py", "--input", "words=1").out.split()[0] for _ in range(2))
    damage(durum, bad)
    assert {row["run_id"]: row["status"] for row in durum("ls", "--json").lines} == {good: "completed", bad: "damaged"}
    assert "✗ damaged" in durum("ls").out
    assert durum("replay", bad, code=4).out.startswith("diverged at event 4")
    for verb in ("show", "graph"):
        ran = durum(verb, bad, code=4)
        assert ran.err.startswith("error: event 4 of run")
    assert durum("show", bad, "--json", code=4).json["error"]["code"] == "corruption"


def damage(durum: CommandLine, run_id: str) -> None:
    """Change one word of an event, as someone with an SQL prompt would."""
    import sqlite3

    connection = sqlite3.connect(durum.path(".durum/durum.db"))
    with connection:
        (number,) = connection.execute("SELECT run_no FROM runs WHERE run_id = ?", (run_id,)).fetchone()
        place = (number << 32) + 4
        connection.execute(
            "UPDATE events SET body = CAST(replace(CAST(body AS TEXT), 'said', 'sung') AS BLOB) WHERE position = ?", (place,)
        )
    connection.close()
