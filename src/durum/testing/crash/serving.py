"""Forks a fresh process for each task of a crash test.

A fork costs a tenth of a new interpreter: what Durum loads at its first use is loaded here. The author's code is loaded after
it, in each process anew; the one that forks holds no store, no loop and no thread.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypedDict

import msgspec

import durum.public
import durum.transports.exec
import durum.transports.file
import durum.transports.http_exchange  # noqa: F401 - they are there to be loaded
from durum.testing.crash.child import perform
from durum.testing.crash.task import Ended, Files, Task
from durum.workflow.authoring import Workflow

if TYPE_CHECKING:
    from durum.testing.crash.harness import Harness

_LOOK_SECONDS = 0.001


class _Inputs(TypedDict):
    """Any inputs: the library that converts them loads most of itself with the first."""

    any: int


def serve(harness: Harness) -> None:
    """Fork a process for each task that comes on stdin, one after another, until its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever gives the tasks
    Workflow("any", inputs=_Inputs).parse_inputs({"any": 1})
    replies = os.dup(1)
    os.dup2(2, 1)  # what a module prints is no reply
    gc.freeze()  # what is here now stays: no process copies it only to look at it
    for line in iter(sys.stdin.buffer.readline, b""):
        task = msgspec.json.decode(line, type=Task)
        begun = time.monotonic()
        child = os.fork()
        if not child:
            os.close(replies)
            _be_child(task, harness)
        code, hung = _wait(child, begun + task.patience_seconds)
        ended = Ended(code, time.monotonic() - begun, hung)
        os.write(replies, msgspec.json.encode(ended) + b"\n")


def _be_child(task: Task, harness: Harness) -> NoReturn:
    """Do the task and end, whatever it raises: only one process may wait for the next one."""
    code = 1
    try:
        _become_child(task)
        code = perform(task, harness)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _become_child(task: Task) -> None:
    """Lead a process group of its own, and leave the pipes of the nursery alone."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    said = os.open(Files(Path(task.folder)).said, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for file, place in ((nothing, 0), (said, 1), (said, 2)):
        os.dup2(file, place)


def _wait(child: int, until: float) -> tuple[int, bool]:
    """Wait for a process; one that takes too long is killed, and so is any when nobody waits for it any more."""
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status), False
        gone = bool(select.select([sys.stdin.buffer], [], [], _LOOK_SECONDS)[0])
        if gone or time.monotonic() > until:
            os.killpg(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            return os.waitstatus_to_exitcode(status), True
