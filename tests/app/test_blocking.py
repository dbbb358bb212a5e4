"""Blocking calls work wherever they are made: in a script, and inside a running event loop."""

from __future__ import annotations

import asyncio
import contextvars
import os
import resource
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import durum
from durum.app.blocking import wait
from durum.errors import InvalidInputError, OutOfFilesError
from tests.app.flows import ID, make

if TYPE_CHECKING:
    from pathlib import Path

    from durum import Durum

WHO: contextvars.ContextVar[str] = contextvars.ContextVar("WHO", default="nobody")


def test_without_a_file_left_it_says_so_and_begins_nothing() -> None:
    """No event loop is half made, which would complain past everyone, and no coroutine is left lying."""
    begun = []

    async def work() -> int:
        begun.append(1)
        return 1

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    for room in range(3):
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + room, hard))
        try:
            with pytest.raises(OutOfFilesError, match="ulimit -n"):
                wait(work())
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert begun == []
    assert wait(work()) == 1


def test_it_works_inside_a_running_event_loop(service: Durum) -> None:
    """As in a notebook, where a loop always runs: results, errors and context variables cross over."""

    async def cell() -> tuple[object, object]:
        WHO.set("me")
        summary = service.start(make(), {"number": 1}, on_started=lambda _: seen.append(WHO.get()))
        with pytest.raises(InvalidInputError):
            service.start(make(), {"number": "x"})
        return summary["status"], service.context(str(summary["run_id"]), "one")

    seen: list[str] = []
    assert asyncio.run(cell()) == ("completed", 2)
    assert seen == ["me"]


NOTEBOOK = """
import asyncio, sys, threading, time
import durum

flow = durum.Workflow("flow")

@flow.step
async def forever() -> int:
    print("begun", flush=True)
    await asyncio.sleep(60)
    return 1

async def cell():
    with durum.open(sys.argv[1]) as service:
        try:
            service.start(flow, run_id=sys.argv[2])
        except KeyboardInterrupt:
            names = [thread.name for thread in threading.enumerate()]
            print(service.show(sys.argv[2])["status"], names)

loop = asyncio.new_event_loop()
loop.run_until_complete(cell())
"""


def test_the_stop_button_of_a_notebook_ends_the_run(tmp_path: Path) -> None:
    """It is handed back like one stopped by Ctrl-C, and no thread goes on with it in the background."""
    url = f"sqlite:///{tmp_path}/x.db"
    process = subprocess.Popen(
        [sys.executable, "-c", NOTEBOOK, url, ID], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert out == "interrupted ['MainThread', 'durum-heartbeat']\n"  # the heart beats while the store is open
    with durum.open(url) as service:
        assert service.show(ID)["status"] not in {"completed", "failed"}
