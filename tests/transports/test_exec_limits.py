"""The exec transport ends whole process trees: limits, cancellation, background children."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.transports.exec_children import (
    MIB,
    TREES,
    Call,
    assert_dies,
    fails,
    pid_in,
    python,
    run,
    shell,
    transport,
)


def test_a_background_child_does_not_keep_the_call(tmp_path: Path) -> None:
    """The call returns with what was written when the command ends, and what it left in its group is killed."""
    file = tmp_path / "pid"
    start = time.monotonic()
    outcome = run(shell(f"sh -c 'echo $$ > {file}; exec sleep 600' & while ! [ -s {file} ]; do :; done; echo hi"))
    assert outcome == {"exit_code": 0, "stdout": {"text": "hi\n"}, "stderr": {"text": ""}}
    assert time.monotonic() - start < 5
    assert_dies(int(file.read_text()))


def test_a_daemon_does_not_keep_the_call(tmp_path: Path) -> None:
    """A process that left the session and goes on writing is not waited for."""
    file = tmp_path / "pid"
    daemon = f"(setsid sh -c 'echo $$ > {file}; while echo y; do sleep 0.001; done' &)"
    script = f"{daemon}; while ! [ -s {file} ]; do :; done; echo hi >&2"
    outcome = run(shell(script))
    assert outcome["stderr"] == {"text": "hi\n"}
    assert_dies(int(file.read_text()))  # of a broken pipe


def test_a_late_writer_of_the_group_is_heard() -> None:
    """What a filter behind the command still flushes, a moment after the command ended, is part of the output."""
    assert run(shell("(sleep 0.02; echo late) & echo early"))["stdout"] == {"text": "early\nlate\n"}


@pytest.mark.skipif(sys.platform != "linux", reason="enlarges a pipe")
def test_a_busy_loop_loses_no_output() -> None:
    """A loop that comes back after the wait for late writers still finds all that is in the pipe."""
    child = (
        f"import fcntl, os, subprocess; fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, {MIB}); "
        f"os.write(1, b'x' * {MIB}); subprocess.Popen(['sleep', '600'])"
    )

    async def scenario() -> Any:
        task = asyncio.create_task(transport().call(python(child), Call()))
        while not task.done():
            time.sleep(0.2)  # noqa: ASYNC251 - the point of this test
            await asyncio.sleep(0)
        return await task

    assert len(asyncio.run(scenario())["stdout"]["text"]) == MIB


@pytest.mark.parametrize("tree", TREES)
def test_a_timeout_kills_the_tree(tmp_path: Path, tree: str) -> None:
    """After the time limit the whole tree is dead and the child is reaped."""
    file = tmp_path / "pid"
    start = time.monotonic()
    error = fails("exec_timeout", shell(f"echo $$ > {tmp_path}/root; {TREES[tree].format(file=file)}", timeout_ms=1000))
    assert time.monotonic() - start < 5
    assert error.retryable
    assert error.details == {"timeout_ms": 1000}
    assert_dies(int(file.read_text()))
    assert not Path(f"/proc/{int((tmp_path / 'root').read_text())}").exists()


@pytest.mark.parametrize("tree", TREES)
def test_a_cancellation_kills_the_tree(tmp_path: Path, tree: str) -> None:
    """A cancelled call leaves nothing running and stays cancelled."""
    file = tmp_path / "pid"

    async def scenario() -> int:
        task = asyncio.create_task(transport().call(shell(TREES[tree].format(file=file)), Call()))
        pid = await pid_in(file)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return pid

    assert_dies(asyncio.run(scenario()))


def test_a_second_cancellation_still_kills(tmp_path: Path) -> None:
    """An impatient caller who cancels twice loses the wait for the death, not the kill."""
    file = tmp_path / "pid"

    async def scenario() -> int:
        task = asyncio.create_task(transport().call(shell(TREES["session"].format(file=file)), Call()))
        pid = await pid_in(file)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return pid

    assert_dies(asyncio.run(scenario()))


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_over_the_limit_kills_the_tree(tmp_path: Path, stream: str) -> None:
    """A stream may be as long as its limit and not a byte longer; what is over it is not kept in memory."""
    file = tmp_path / "pid"
    redirect = ">&2" if stream == "stderr" else ""
    error = fails("output_too_large", shell(f"echo $$ > {file}; yes {redirect}", max_output_bytes=100_000))
    assert not error.retryable
    assert error.details == {"stream": stream, "max_output_bytes": 100_000}
    assert_dies(int(file.read_text()))


def test_the_limit_is_exact() -> None:
    """Exactly the limit is fine, one byte more is not, also when the child ends at once."""
    assert run(shell("printf 12345", max_output_bytes=5))["stdout"] == {"text": "12345"}
    fails("output_too_large", shell("printf 123456", max_output_bytes=5))
