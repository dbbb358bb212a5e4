"""The front door: help, versions, and what a wrong call is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from durum.cli.main import main

if TYPE_CHECKING:
    from tests.cli.command_line import CommandLine

VERBS = {
    "Drive": ["run", "resume"],
    "Steer": ["gates", "answer", "cancel", "pause"],
    "Look": ["ls", "show", "events", "context", "facts", "artifact", "graph"],
    "Prove": ["replay", "verify", "crash-test"],
    "Operate": ["doctor"],
}


def test_help_lists_every_verb_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever asks for help sees what there is."""
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    words = [line.split()[0].rstrip(":") for line in said.partition("Options:")[2].splitlines() if line.strip()]
    assert [word for word in words if word in VERBS or any(word in verbs for verbs in VERBS.values())] == [
        word for heading, verbs in VERBS.items() for word in (heading, *verbs)
    ]
    assert "Exit codes:" in said


@pytest.mark.parametrize("verb", [verb for verbs in VERBS.values() for verb in verbs])
def test_every_verb_has_help_and_the_shared_options(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """``--store``, ``--json`` and ``--debug`` are taken by each."""
    assert main([verb, "-h"]) == 0
    said = capsys.readouterr().out
    assert all(option in said for option in ("--store", "--json", "--debug"))


def test_no_verb_is_wrong_usage_and_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    """A bare ``durum`` is met with help, and is no success."""
    assert main([]) == 2
    assert "Usage: durum" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """``--version`` names the program and its version."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("durum ")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (["shwo"], "No such command 'shwo'"),
        (["ls", "--nope"], "No such option: --nope"),
        (["run"], "Missing argument 'TARGET'"),
        (["run", "x.py", "--max-concurrency", "many"], "'--max-concurrency'"),
        (["replay", "x", "--mode", "guess"], "'--mode'"),
        (["events", "x", "--from", "0"], "'--from'"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_2(call: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The line names what is wrong and where the help is."""
    assert main(call) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert says in said.err
    assert said.err.endswith("--help\n")
    assert said.err.count("\n") == 1


def test_a_wrong_call_with_json_says_so_in_json_too(durum: CommandLine) -> None:
    """A program that reads stdout finds the error there."""
    ran = durum("shwo", "--json", code=2)
    assert ran.json["error"]["code"] == "usage"
    assert "shwo" in ran.json["error"]["message"]
    assert ran.err.startswith("error: ")


def test_the_shared_options_may_stand_before_the_verb(durum: CommandLine) -> None:
    """``durum --json --store URL VERB`` is the same call."""
    before = durum("--json", "--store", "sqlite:///none.db", "ls", code=2)
    after = durum("ls", "--json", "--store", "sqlite:///none.db", code=2)
    assert before == after
    assert before.json["error"]["code"] == "not_found"


def test_debug_shows_the_traceback(durum: CommandLine) -> None:
    """Without ``--debug`` nobody meets one."""
    assert "Traceback" in durum("ls", "--debug", code=2).err
    assert "Traceback" not in durum("ls", code=2).err


def test_the_installed_command_is_this_one() -> None:
    """``durum`` on PATH is the same as ``python -m durum``."""
    script = Path(sys.executable).with_name("durum")
    said = subprocess.run([script, "--version"], capture_output=True, text=True, check=True).stdout
    assert said.startswith("durum ")


def test_help_loads_nothing_heavy() -> None:
    """Help must come at once: no rich, no pydantic, no HTTP client."""
    probe = (
        "import sys; from durum.cli.main import main; main(['--help']); print([m for m in sys.argv[1:] if m in sys.modules])"
    )
    heavy = ["rich.console", "pydantic", "httpx", "sqlite3"]
    said = subprocess.run([sys.executable, "-c", probe, *heavy], capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1] == "[]"
