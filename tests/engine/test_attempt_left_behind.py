"""A step that swallows every cancellation is left behind: neither its run nor the process waits for it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FLOW = """
import asyncio
from datetime import timedelta
import durum

flow = durum.Workflow("stubborn")


@flow.step(timeout=timedelta(milliseconds=50), retry=durum.Retry(attempts=1))
async def hangs() -> int:
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue


@flow.step
async def goes_on() -> int:
    return 1


with durum.open("memory://") as store:
    run = store.start(flow)
    print(run["status"], run["error"]["code"], store.context(run["run_id"]))
"""


def test_a_run_ends_though_a_step_never_does(tmp_path: Path) -> None:
    """The run fails by the timeout, other branches finish, and the process ends without a word on stderr."""
    file = tmp_path / "stubborn.py"
    file.write_text(FLOW, encoding="utf-8")
    done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "failed step_timeout {'goes_on': 1}\n"
    assert done.stderr == ""


def test_the_way_out_is_there_on_this_python() -> None:
    """It rests on a function that asyncio documents for those who extend it."""
    assert callable(asyncio.tasks._unregister_task)
