"""What a call cannot make run: each attempt would leave a marker if it did."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from durum.errors import TransportError
from durum.transports.exec import ExecTransport
from tests.transports.exec_children import PYTHON, Call

if TYPE_CHECKING:
    from pathlib import Path

    from durum.core.canonical import JsonObject

INVALID, UNDECLARED = "invalid_request", "command_not_allowed"


class Trap:
    """A folder full of programs and files that leave a marker when they are run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.marker = folder / "marker"
        self.touch = f"touch {self.marker}"
        for name in ("git", "printf", "sh", "git status", "helper", "git-helper", "rc"):
            self.put(name, f"#!/bin/sh\n{self.touch}\n")
        self.put("startup.py", f"open({str(self.marker)!r}, 'w')\n")
        self.put("sitecustomize.py", f"open({str(self.marker)!r}, 'w')\n")

    def put(self, name: str, text: str) -> None:
        """Write an executable file."""
        file = self.folder / name
        file.write_text(text)
        file.chmod(0o755)

    def __str__(self) -> str:
        return str(self.folder)

    def ran(self) -> bool:
        """Tell whether anything was run; the loader adds its process to the marker's name."""
        return any(self.folder.glob("marker*"))


@pytest.fixture
def trap(tmp_path: Path) -> Trap:
    """Give a trap that was not stepped into."""
    return Trap(tmp_path)


def attempt(argv: Any, env: JsonObject | None = None, cwd: object = None) -> JsonObject | TransportError:
    """Call with git, printf, two shells and Python declared; return the outcome or the refusal."""
    request: JsonObject = {"argv": argv, "env": env or {}}
    if cwd is not None:
        request["cwd"] = str(cwd)
    try:
        return asyncio.run(ExecTransport(["git", "printf", "sh", "bash", PYTHON]).call(request, Call()))
    except TransportError as error:
        return error


def refused(trap: Trap, code: str, argv: Any, env: JsonObject | None = None) -> str:
    """Check that a call is refused and left no marker; return the sentence."""
    answer = attempt(argv, env, trap)
    assert isinstance(answer, TransportError)
    assert (answer.transport_code, trap.ran()) == (code, False)
    return str(answer)


def test_the_trap_works(trap: Trap) -> None:
    """What the tests below look for is there when a program of the trap does run."""
    assert not trap.ran()
    attempt(["sh", "-c", f"{trap}/git"])
    assert trap.ran()


@pytest.mark.parametrize(
    "value",
    ["; {}", "$({})", "`{}`", "| {}", "&& {}", "& {}", "\n{}\n", "' ; {} ; '", '"; {}; "', "${{IFS}}{}", "x\r\n{}", "> {}"],
)
def test_shell_characters_are_text(trap: Trap, value: str) -> None:
    """No shell reads an argument: metacharacters and line breaks reach the program as they are."""
    text = value.format(trap.touch)
    assert attempt(["printf", "%s", text]) == {"exit_code": 0, "stdout": {"text": text}, "stderr": {"text": ""}}
    assert not trap.ran()


@pytest.mark.parametrize("value", ["--upload-pack={}", "-c{}", "--exec={}", "ext::sh -c {}", "-u{}"])
def test_what_follows_two_dashes_is_no_option(trap: Trap, value: str) -> None:
    """A user's value behind ``--`` is a name that git does not find, whatever it looks like."""
    answer = attempt(["git", "ls-remote", "--", value.format(trap.touch.replace(" ", "% " if "::" in value else " ")), "."])
    assert isinstance(answer, dict)
    assert answer["exit_code"] != 0
    assert not trap.ran()


@pytest.mark.parametrize(
    "command",
    [
        *("./git", "{}/git", "../{0.name}/git", "git/../git", "//git", "git status", "git ", " git", "git\n", "GIT"),
        *("git;{}/git", "git\n{}/git", "--exec-path={}", "-c", "*", "env", "/usr/bin/env", "/bin/sh", "xargs", "nice", ""),
    ],
)
def test_only_the_declared_text_is_a_command(trap: Trap, command: str) -> None:
    """A path to a declared name, words in a name, ``env`` and other programs that run programs are not declared by it."""
    named = command.replace("{0.name}", trap.folder.name).replace("{}", str(trap))
    refused(trap, UNDECLARED, [named, str(trap.marker), str(trap.folder / "git")])


@pytest.mark.parametrize(
    "argv", [[], None, "git; helper", ["git", "a\0b"], ["git", None], ["git", ["x"]], ["git", b"x"], [["git"]]], ids=repr
)
def test_what_is_no_argv_runs_nothing(trap: Trap, argv: Any) -> None:
    """Nothing, a single text, a NUL and what is no text are no list of arguments."""
    assert "argv" in refused(trap, INVALID, argv)


HIJACKS: dict[str, tuple[list[str], dict[str, str]]] = {
    "PATH": (["sh", "-c", "helper"], {"PATH": "{}"}),
    "git helpers": (["git", "helper"], {"GIT_EXEC_PATH": "{}"}),
    "loader": (["printf", "x"], {"LD_DEBUG": "all", "LD_DEBUG_OUTPUT": "{}/marker"}),
    "preload": (["printf", "x"], {"LD_PRELOAD": "{}/preload.so"}),
    "git ssh": (["git", "ls-remote", "ssh://127.0.0.1:1/x"], {"GIT_SSH_COMMAND": "{}/helper"}),
    "git settings": (
        ["git", "evil"],
        {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "alias.evil", "GIT_CONFIG_VALUE_0": "!{}/helper"},
    ),
    "git diff": (["git", "diff", "--no-index", "--ext-diff", "rc", "startup.py"], {"GIT_EXTERNAL_DIFF": "{}/helper"}),
    "editor": (["git", "config", "-f", "rc", "-e"], {"EDITOR": "{}/helper"}),
    "python startup": ([PYTHON, "-i"], {"PYTHONSTARTUP": "{}/startup.py"}),
    "python path": ([PYTHON, "-c", "0"], {"PYTHONPATH": "{}"}),
    "bash": (["bash", "-c", ":"], {"BASH_ENV": "{}/rc"}),
    "sh": (["sh", "-i"], {"ENV": "{}/rc"}),
    "bash function": (["bash", "-c", "printf x"], {"BASH_FUNC_printf%%": "() { {}/helper; }"}),
}


def filled(trap: Trap, env: dict[str, str]) -> dict[str, str]:
    """Return the variables with the trap's folder in place."""
    return {name: text.replace("{}", str(trap)) for name, text in env.items()}


@pytest.mark.parametrize("name", HIJACKS)
def test_variables_that_run_other_code_cannot_be_set(trap: Trap, name: str) -> None:
    """A call may not choose what else its command runs; the refusal names the variable, not its value."""
    argv, env = HIJACKS[name]
    sentence = refused(trap, INVALID, argv, dict(filled(trap, env)))
    assert any(variable in sentence for variable in env)
    assert str(trap) not in sentence


@pytest.mark.parametrize(
    "name",
    [
        *("PS4", "SHELLOPTS", "IFS", "LD_AUDIT", "DYLD_INSERT_LIBRARIES", "PYTHONHOME", "PERL5OPT", "RUBYOPT", "NODE_OPTIONS"),
        *("JAVA_TOOL_OPTIONS", "GIT_DIR", "GIT_ASKPASS", "GIT_PAGER", "PAGER", "VISUAL", "SSH_ASKPASS", "RSYNC_RSH"),
        *("TAR_OPTIONS", "LESSOPEN", "MAKEFLAGS", "npm_config_script_shell", "XDG_CONFIG_HOME"),
    ],
)
def test_their_like_cannot_be_set_either(trap: Trap, name: str) -> None:
    """Loaders, shells, interpreters and tools that take code from a variable are known by name."""
    assert f"env {name} can make" in refused(trap, INVALID, ["printf", "x"], {name: "x"})


@pytest.mark.parametrize("name", [name for name in HIJACKS if name != "PATH"])
def test_variables_that_run_other_code_are_not_inherited(trap: Trap, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever Durum itself was started with, a child does not see it."""
    argv, env = HIJACKS[name]
    for variable, text in filled(trap, env).items():
        monkeypatch.setenv(variable, text)
    answer = attempt(argv, cwd=trap)
    assert isinstance(answer, dict)
    assert "preload" not in str(answer["stderr"])
    assert not trap.ran()


@pytest.mark.parametrize("path", ["{}", ":{}", ".:{}", "./:{}", "{}:", "../{0.name}:{}"])
def test_no_program_is_taken_from_where_durum_stands(trap: Trap, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A same-named program in ``cwd`` or the working directory is passed over, by Durum and its child, whatever PATH says."""
    monkeypatch.setenv("PATH", path.replace("{0.name}", trap.folder.name).replace("{}", os.environ["PATH"]))
    monkeypatch.chdir(trap.folder)
    for argv in (["git", "--version"], ["sh", "-c", "printf x; command -v helper; :"]):
        answer = attempt(argv, cwd=trap)
        assert isinstance(answer, dict)
        assert answer["exit_code"] == 0
        assert "helper" not in str(answer["stdout"])
    assert not trap.ran()


def test_an_empty_path_is_the_systems(trap: Trap, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell takes an empty PATH for the current folder, so no child gets one."""
    monkeypatch.chdir(trap.folder)
    for path in ("", ":", "."):
        monkeypatch.setenv("PATH", path)
        answer = attempt(["sh", "-c", "echo $PATH; helper"])
        assert isinstance(answer, dict)
        assert answer["stdout"] == {"text": os.defpath + "\n"}
        assert not trap.ran()


@pytest.mark.parametrize(
    "name", ["PYTHONUNBUFFERED", "GIT_AUTHOR_NAME", "GIT_TERMINAL_PROMPT", "HOME", "LC_ALL", "TOKEN", "NODE_ENV", "_x1"]
)
def test_harmless_variables_can_be_set(name: str) -> None:
    """Names of one's own and the known harmless ones of a refused family reach the child, line breaks and all."""
    script = f"import os; print(repr(os.environ[{name!r}]))"
    answer = attempt([sys.executable, "-c", script], {name: "a\nb; $(c)"})
    assert isinstance(answer, dict)
    assert answer["stdout"] == {"text": "'a\\nb; $(c)'\n"}


@pytest.mark.parametrize("name", ["", "A=B", "1A", "A B", "A\n", "A-B", "BASH_FUNC_ls()", "\u00c4", "A\0", "\ud800"])
def test_names_that_are_no_names_are_refused(trap: Trap, name: str) -> None:
    """A variable has the name every shell would give it, or the call is refused."""
    assert "must be letters" in refused(trap, INVALID, ["printf", "x"], {name: "x"})
