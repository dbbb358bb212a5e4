"""Kill a child process with everything it started, also what left its process group.

On Linux the tree is read from ``/proc`` and stopped before it is killed, so that nothing forks away meanwhile. Elsewhere only
the process group dies. The caller must not have reaped the child: until then no other process can get its pid.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_MAX_ROUNDS = 100  # a stopped process cannot fork, so each round but a fork bomb's finds less


class _Process(NamedTuple):
    """One line of ``/proc/PID/stat``."""

    pid: int
    state: str
    parent: int
    group: int
    session: int
    started_ticks: int  # since boot


def kill_group(pid: int) -> None:
    """Kill every process in the group led by ``pid``."""
    # macOS answers EPERM for a group of zombies only.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def kill_tree(pid: int, pipes: Collection[int] = ()) -> None:
    """Kill the child ``pid``, which leads its own session, and all its descendants.

    ``pipes`` are the inodes of pipes that only the tree can write to: they give away a process that left the session and lost
    its parent.
    """
    stopped: set[int] = set()
    for _ in range(_MAX_ROUNDS):
        fresh = _members(pid, pipes) - stopped
        if not fresh:
            break
        for member in fresh:
            _send(member, signal.SIGSTOP)
        stopped |= fresh
    kill_group(pid)
    for member in stopped:
        _send(member, signal.SIGKILL)


def _send(pid: int, signum: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signum)


def _members(root_pid: int, pipes: Collection[int]) -> set[int]:
    table = {process.pid: process for process in _processes()}
    root = table.get(root_pid)
    if root is None:
        return set()
    # Nothing older than the child descends from it; a long-lived server that was handed our pipe is such a bystander.
    younger = [
        process
        for process in table.values()
        if process.started_ticks >= root.started_ticks and process.state not in "ZX" and process.pid != os.getpid()
    ]
    children: defaultdict[int, list[int]] = defaultdict(list)
    for process in younger:
        children[process.parent].append(process.pid)
    found: set[int] = set()
    queue = [process.pid for process in younger if _belongs(process, root_pid, pipes)]
    while queue:
        pid = queue.pop()
        if pid not in found:
            found.add(pid)
            queue.extend(children[pid])
    return found


def _belongs(process: _Process, root_pid: int, pipes: Collection[int]) -> bool:
    if root_pid in (process.pid, process.parent, process.group, process.session):
        return True
    # Our own forks may hold a copy of a pipe by accident, between its creation and its closing.
    return process.parent != os.getpid() and any(inode in pipes for inode in _written_pipes(process.pid))


def _written_pipes(pid: int) -> Iterator[int]:
    with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                target = str(Path(entry.path).readlink())
                writable = entry.stat(follow_symlinks=False).st_mode & 0o200
                if writable and target.startswith("pipe:["):
                    yield int(target[len("pipe:[") : -1])


def _processes() -> Iterator[_Process]:
    # A /proc of another pid namespace would name strangers.
    if sys.platform != "linux" or not _proc_is_ours():
        return
    for entry in Path("/proc").iterdir():
        process = _read_process(int(entry.name)) if entry.name.isdigit() else None
        if process is not None:
            yield process


def _proc_is_ours() -> bool:
    try:
        return str(Path("/proc/self").readlink()) == str(os.getpid())
    except OSError:
        return False


def _read_process(pid: int) -> _Process | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes().decode("ascii", "replace")
    except OSError:
        return None
    # The command name, in parentheses, may itself hold parentheses and spaces.
    fields = text[text.rindex(")") + 1 :].split()
    return _Process(pid, fields[0], int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19]))
