"""The exec transport with real processes: outcomes, environment, what is refused."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from durum.errors import ConfigError, TransportError
from durum.transports.exec import ExecTransport
from tests.transports.exec_children import (
    MIB,
    PYTHON,
    TREES,
    Call,
    assert_dies,
    fails,
    open_descriptors,
    python,
    run,
    shell,
    transport,
)

if TYPE_CHECKING:
    from durum.core.canonical import JsonObject


def test_output_and_exit_code_are_the_outcome() -> None:
    """Both streams and a failing exit code come back; a death by signal is minus its number."""
    assert run(shell("echo out; echo err >&2; exit 3")) == {
        "exit_code": 3,
        "stdout": {"text": "out\n"},
        "stderr": {"text": "err\n"},
    }
    assert run(shell("kill -TERM $$"))["exit_code"] == -15


def test_arguments_are_not_seen_by_a_shell() -> None:
    """An argument reaches the program as it is."""
    script = "import sys; print(sys.argv[1:])"
    assert run({"argv": [PYTHON, "-c", script, "$(id); a b", "*", ""]})["stdout"] == {"text": "['$(id); a b', '*', '']\n"}


def test_binary_output_is_base64() -> None:
    """Bytes that are no text come back unharmed."""
    script = "import sys; sys.stdout.buffer.write(bytes([0, 255, 10]))"
    assert run(python(script))["stdout"] == {"base64": "AP8K"}


def test_large_output_of_both_streams() -> None:
    """Megabytes on both streams at once neither deadlock nor lose a byte."""
    script = f"import os; [os.write(fd, b'x' * {MIB}) for _ in range(4) for fd in (1, 2)]"
    outcome = run(python(script))
    assert [len(outcome[name]["text"]) for name in ("stdout", "stderr")] == [4 * MIB, 4 * MIB]


def test_stdin_reaches_the_child() -> None:
    """Text and bytes larger than a pipe arrive whole; without stdin the child reads the end of file."""
    count = "import sys, hashlib; data = sys.stdin.buffer.read(); print(len(data), data[:3])"
    assert run(python(count, stdin={"text": "ä" * MIB}))["stdout"] == {"text": f"{2 * MIB} b'\\xc3\\xa4\\xc3'\n"}
    assert run(python(count, stdin={"base64": "AP8K"}))["stdout"] == {"text": "3 b'\\x00\\xff\\n'\n"}
    assert run(python(count))["stdout"] == {"text": "0 b''\n"}


@pytest.mark.parametrize("script", ["exit 0", "exec <&-; sleep 0.05", "sleep 0.05"])
def test_stdin_nobody_reads(script: str) -> None:
    """A child that does not read, or closes its stdin, ends the call as usual."""
    assert run(shell(script, stdin={"text": "x" * (4 * MIB)}))["exit_code"] == 0


def test_stdin_and_output_flow_at_the_same_time() -> None:
    """A filter that answers while it reads does not deadlock."""
    script = "import sys\nfor line in sys.stdin: sys.stdout.write(line)"
    text = "line\n" * 400_000
    assert run(python(script, stdin={"text": text}))["stdout"] == {"text": text}


def environment(request_env: JsonObject, call: Call | None = None) -> dict[str, str]:
    """Return what the child sees as its environment."""
    script = "import json, os; print(json.dumps(dict(os.environ)))"
    return dict(json.loads(run(python(script, env=request_env), call)["stdout"]["text"]))


def test_the_environment_is_an_allow_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of Durum's own environment reaches the child but the named variables."""
    monkeypatch.setenv("DURUM_CANARY", "canary-2")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/canary")
    monkeypatch.setenv("TZ", "UTC")
    seen = environment({"GREETING": "hi", "HOME": "/elsewhere"})
    allowed = {"PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "USER", "LOGNAME", "SSL_CERT_FILE", "SSL_CERT_DIR"}
    assert set(seen) <= allowed | {"GREETING"}
    assert seen["TZ"] == "UTC"
    assert seen["HOME"] == "/elsewhere"
    assert seen["GREETING"] == "hi"


def test_a_secret_reaches_the_child_and_nothing_else() -> None:
    """A reference in ``env`` is resolved for the child only; a request keeps the reference."""
    request = python("import os; print(len(os.environ['KEY']))", env={"KEY": {"$secret": "TOKEN"}})
    assert run(request, Call(secrets={"TOKEN": "canary-3"}))["stdout"] == {"text": "8\n"}
    assert request["env"] == {"KEY": {"$secret": "TOKEN"}}


@pytest.mark.parametrize("value", ["canary-4\0", "canary-4\ud800"])
def test_a_secret_that_cannot_be_passed_is_not_shown(value: str) -> None:
    """The error names the variable, never the value, also not in the exceptions behind it."""
    error = fails("invalid_request", shell("true", env={"KEY": {"$secret": "TOKEN"}}), Call(secrets={"TOKEN": value}))
    assert "env KEY" in str(error)
    assert error.__context__ is None or error.__suppress_context__
    assert "canary" not in str(error) + repr(error.details)


def test_the_effect_key_is_handed_over() -> None:
    """An effect's key is in the child's environment; a read has none."""
    assert environment({}, Call(effect_key="run-1:pay"))["DURUM_IDEMPOTENCY_KEY"] == "run-1:pay"
    assert "DURUM_IDEMPOTENCY_KEY" not in environment({})


def test_the_working_directory(tmp_path: Path) -> None:
    """The transport's directory is the default, and a relative one is below it."""
    (tmp_path / "sub").mkdir()
    assert run({"argv": ["pwd"]}, cwd=tmp_path)["stdout"] == {"text": f"{tmp_path}\n"}
    assert run({"argv": ["pwd"], "cwd": "sub"}, cwd=tmp_path)["stdout"] == {"text": f"{tmp_path / 'sub'}\n"}
    assert run({"argv": ["pwd"]})["stdout"] == {"text": f"{Path.cwd()}\n"}
    error = fails("cwd_not_found", {"argv": ["pwd"], "cwd": "/no/such/directory"})
    assert "/no/such/directory" in str(error)


def test_the_child_leads_its_own_session() -> None:
    """A Ctrl-C in Durum's terminal does not reach the child before the engine decides."""
    assert run(python("import os; print(os.getsid(0) == os.getpid())"))["stdout"] == {"text": "True\n"}


@pytest.mark.parametrize("command", ["bash", "/bin/sh", "./sh", "sh ", "-sh", "../bin/sh"])
def test_only_declared_commands_run(command: str) -> None:
    """A command runs under exactly the name it was declared with; the error names the declared ones."""
    error = fails("command_not_allowed", {"argv": [command, "-c", "true"]})
    assert "env, no-such-command-here, pwd, sh" in str(error)


@pytest.mark.parametrize("command", ["no-such-command-here", "/no/such/file"])
def test_a_declared_command_may_be_missing(command: str) -> None:
    """A command that is not installed is said to be so."""
    assert command in str(fails("command_not_found", {"argv": [command]}))


def test_a_file_that_is_no_program(tmp_path: Path) -> None:
    """An executable file the system cannot run is an error of this call, not a crash."""
    file = tmp_path / "broken"
    file.write_bytes(b"\0\0\0\0")
    file.chmod(0o755)
    with pytest.raises(TransportError, match="could not be started: Exec format error") as caught:
        asyncio.run(ExecTransport([str(file)]).call({"argv": [str(file)]}, Call()))
    assert caught.value.transport_code == "command_not_started"


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"argv": []},
        {"argv": "sh"},
        {"argv": ["sh", 1]},
        {"argv": ["sh", "a\0b"]},
        {"argv": ["sh", "\ud800"]},
        {"argv": ["sh"], "shell": True},
        {"argv": ["sh"], "cwd": None},
        {"argv": ["sh"], "cwd": "a\0b"},
        {"argv": ["sh"], "env": {"A=B": "x"}},
        {"argv": ["sh"], "env": {"": "x"}},
        {"argv": ["sh"], "env": {"A": 1}},
        {"argv": ["sh"], "env": {"A": {"$secret": "TOKEN", "prefix": "x"}}},
        {"argv": ["sh"], "stdin": "text"},
        {"argv": ["sh"], "timeout_ms": 0},
        {"argv": ["sh"], "timeout_ms": True},
        {"argv": ["sh"], "max_output_bytes": 256 * MIB + 1},
    ],
)
def test_wrong_requests_are_refused(request_: JsonObject) -> None:
    """A request that is wrong in any field runs nothing."""
    assert not fails("invalid_request", request_, Call(secrets={"TOKEN": "x"})).retryable


@pytest.mark.parametrize("commands", ["sh", [""], ["./sh"], ["bin/sh"], ["a\0b"]])
def test_wrong_declarations_are_refused(commands: Any) -> None:
    """A declaration is a collection of bare names and absolute paths."""
    with pytest.raises(ConfigError):
        ExecTransport(commands)


def test_it_works_outside_the_main_thread() -> None:
    """A loop in a worker thread runs commands as well as one in the main thread."""
    outcomes: list[Any] = []
    thread = threading.Thread(target=lambda: outcomes.append(run(shell("echo hi"))))
    thread.start()
    thread.join(30)
    assert outcomes[0]["stdout"] == {"text": "hi\n"}


def test_without_pidfd_a_thread_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a system without process descriptors, calls end, time out and kill just the same."""
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    file = tmp_path / "pid"
    assert run(shell("echo hi; exit 4")) == {"exit_code": 4, "stdout": {"text": "hi\n"}, "stderr": {"text": ""}}
    fails("exec_timeout", shell(TREES["session"].format(file=file), timeout_ms=1000))
    assert_dies(int(file.read_text()))


def test_many_calls_at_once_leak_nothing() -> None:
    """Fifty calls side by side end alike and leave neither descriptors nor children."""

    async def scenario() -> list[Any]:
        one = transport()
        outcomes = await asyncio.gather(*(one.call(shell(f"echo {n}; exit {n}"), Call()) for n in range(50)))
        await one.close()
        return list(outcomes)

    run(shell("true"))
    before = open_descriptors()
    outcomes = asyncio.run(scenario())
    assert [(outcome["exit_code"], outcome["stdout"]["text"]) for outcome in outcomes] == [(n, f"{n}\n") for n in range(50)]
    assert open_descriptors() == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
