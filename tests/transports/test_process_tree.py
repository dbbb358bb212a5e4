"""A killed tree is dead to the last process, whatever group, session or parent its members chose."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from durum.transports.process_tree import kill_tree

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the tree is read from /proc")

ORPHAN = "(setsid sh -c 'echo $$ > {file}; exec sleep 600' &)"  # left the session and lost its parent


def alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie that init has not collected yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until_dead(pid: int) -> None:
    """Wait for a kill to be carried out."""
    deadline = time.monotonic() + 10
    while alive(pid):
        assert time.monotonic() < deadline, f"{pid} lives on"
        time.sleep(0.005)


def wait_for_pid(file: Path) -> int:
    """Return the pid that a process writes to ``file``."""
    deadline = time.monotonic() + 10
    while not file.exists() or not file.read_text().endswith("\n"):
        assert time.monotonic() < deadline, f"nothing in {file}"
        time.sleep(0.005)
    return int(file.read_text())


@contextlib.contextmanager
def child(script: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run a shell script in its own session; give it and the inode of its output pipe; reap it in the end."""
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True) as popen:
        assert popen.stdout is not None
        try:
            yield popen, os.fstat(popen.stdout.fileno()).st_ino
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(popen.pid, signal.SIGKILL)


@pytest.mark.parametrize(
    "script",
    [
        "sh -c 'echo $$ > {file}; exec sleep 600' & wait",  # in the group
        "setsid sh -c 'echo $$ > {file}; exec sleep 600' & wait",  # its own session, our descendant
        "(set -m; sh -c 'echo $$ > {file}; exec sleep 600' &) ; sleep 600",  # its own group, orphaned
        "setsid sh -c \"setsid sh -c 'echo \\$\\$ > {file}; exec sleep 600' & wait\" & wait",  # two sessions deep
        "setsid sh -c \"setsid sh -c 'echo \\$\\$ > {file}; exec sleep 600' & wait\" > /dev/null & wait",  # without our pipe
        ORPHAN + "; sleep 600",  # found by the pipe it holds
    ],
)
def test_every_member_dies(tmp_path: Path, script: str) -> None:
    """Group, session, parents and pipe lead to every process the child started."""
    file = tmp_path / "pid"
    with child(script.format(file=file)) as (popen, inode):
        member = wait_for_pid(file)
        kill_tree(popen.pid, {inode})
        assert popen.wait(10) == -signal.SIGKILL
        wait_until_dead(member)


def test_a_forking_tree_cannot_outrun_the_kill(tmp_path: Path) -> None:
    """Of a family that forks into new sessions all the time, nobody lives to leave its mark half a second later."""
    file = tmp_path / "mark"
    loop = f"while :; do setsid sh -c 'sleep 0.5; touch {file}' & sleep 0.005; done"
    with child(" & ".join([loop] * 8)) as (popen, inode):
        deadline = time.monotonic() + 10
        while not file.exists():
            assert time.monotonic() < deadline
            time.sleep(0.005)
        kill_tree(popen.pid, {inode})
        popen.wait(10)
    time.sleep(0.05)
    file.unlink()
    time.sleep(0.8)
    assert not file.exists()


def test_an_exited_child_still_leads_to_its_orphans(tmp_path: Path) -> None:
    """A child that is not reaped yet is enough to find the processes that hold its pipe."""
    file = tmp_path / "pid"
    with child(ORPHAN.format(file=file)) as (popen, inode):
        member = wait_for_pid(file)
        os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOWAIT)
        kill_tree(popen.pid, {inode})
        wait_until_dead(member)


def test_bystanders_live(tmp_path: Path) -> None:
    """An older process that was handed the pipe, a sibling, and an orphan without the pipe are left alone."""
    read_fd, write_fd = os.pipe()
    subprocess.run(["sh", "-c", ORPHAN.format(file=tmp_path / "older")], pass_fds=(write_fd,), check=True)
    older = wait_for_pid(tmp_path / "older")
    time.sleep(0.05)  # starting times have a resolution of 10 ms
    quiet = "(setsid sh -c 'echo $$ > {file}; exec sleep 600' > /dev/null &); sleep 600"
    with (
        child(quiet.format(file=tmp_path / "orphan")) as (popen, _),
        subprocess.Popen(["sleep", "600"], pass_fds=(write_fd,)) as sibling,
    ):
        orphan = wait_for_pid(tmp_path / "orphan")
        kill_tree(popen.pid, {os.fstat(read_fd).st_ino})
        popen.wait(10)
        time.sleep(0.05)
        survivors = [alive(pid) for pid in (older, sibling.pid, orphan)]
        for pid in (older, sibling.pid, orphan):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    os.close(read_fd)
    os.close(write_fd)
    assert survivors == [True, True, True]


def test_a_child_that_is_gone_is_no_error() -> None:
    """Killing a reaped child's tree does nothing."""
    with subprocess.Popen(["true"], start_new_session=True) as popen:
        popen.wait()
    kill_tree(popen.pid)
