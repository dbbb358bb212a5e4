"""Real processes on one store: each takes commands, a line each, and answers with a line of JSON."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORKER = """
import asyncio, json, os, sys
from pathlib import Path
from durum.errors import DurumError
from durum.stores.sqlite import SqliteStore
from durum.testing.conformance.contract import chained, named

opened = []

class Commands:
    async def open(self, path, lease_seconds=20):
        opened.append(SqliteStore(Path(path), lease_seconds=lease_seconds))
    async def close(self):
        await opened.pop().close()
    async def claim(self, run_id, create=False):
        head = await opened[-1].claim(run_id, create=create)
        return [head.seq, head.epoch]
    async def append(self, run_id, epoch, *texts):
        head = await opened[-1].head(run_id)
        events = chained(head.hash, head.seq + 1, *(text.encode() for text in texts))
        return await opened[-1].append(run_id, head.seq, epoch, events)
    async def act(self, run_id, epoch):
        opened[-1].check_lease(run_id, epoch)
    async def insist(self, run_id, epoch, count):
        refused = []
        for _ in range(count):
            try:
                await self.append(run_id, epoch, "late")
            except DurumError as error:
                refused.append(error.code)
        return refused
    async def race(self, run_id, epoch, name, count):
        acknowledged = []
        while len(acknowledged) < count:
            text = f"{name} {len(acknowledged)}"
            try:
                acknowledged.append([await self.append(run_id, epoch, text), text])
            except DurumError as error:
                assert error.code == "event_store_concurrency", error
        return acknowledged
    async def read(self, run_id):
        return [event.body.decode() for event in await opened[-1].read_range(run_id)]
    async def worker(self):
        return opened[-1].worker
    async def fork(self):
        child = os.fork()
        if child:
            return child
        sys.stdin.close()
        os.close(0)
        os.close(1)
        import signal
        signal.pause()
        os._exit(0)
    async def spawn(self):
        import subprocess
        return subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL).pid

for line in sys.stdin:
    name, *arguments = json.loads(line)
    try:
        answer = asyncio.run(getattr(Commands(), name)(*arguments))
    except DurumError as error:
        answer = {"error": error.code, "message": str(error)}
    print(json.dumps(answer), flush=True)
"""


class Worker:
    """A process that can be told what to do, stopped and killed."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.children: list[int] = []

    def tell(self, *command: Any) -> None:
        """Give a command."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command, default=str) + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        """Wait for the answer to the oldest command."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the process ended without an answer"
        return json.loads(line)

    def ask(self, *command: Any) -> Any:
        """Give a command and wait for its answer."""
        self.tell(*command)
        return self.answer()

    def have_child(self, how: str) -> int:
        """Make it start a child, which ends with the test."""
        child: int = self.ask(how)
        self.children.append(child)
        return child

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Halt it as ``kill -STOP`` does, and wait until it is halted."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitpid(self.process.pid, os.WUNTRACED)

    def go_on(self) -> None:
        """Let it go on as ``kill -CONT`` does."""
        self.process.send_signal(signal.SIGCONT)


@contextmanager
def workers(count: int, path: Path | None = None, lease_seconds: float = 20) -> Iterator[list[Worker]]:
    """Start processes, each with the store open if there is a path; whatever they started ends with them."""
    started = [Worker() for _ in range(count)]
    try:
        if path is not None:
            for worker in started:
                worker.tell("open", path, lease_seconds)
            assert [worker.answer() for worker in started] == [None] * count
        yield started
    finally:
        for worker in started:
            worker.kill()
            for child in worker.children:
                os.kill(child, signal.SIGKILL)
            for pipe in (worker.process.stdin, worker.process.stdout):
                if pipe is not None:
                    pipe.close()
