"""Processes that drive runs and are killed for it, and what another process sees of the store meanwhile."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from durum.errors import StoreUnavailableError
from durum.stores.sqlite import SqliteStore

if TYPE_CHECKING:
    from pathlib import Path

    from durum.ports import StoredEvent

DRIVE = """
import json, os, sys
import durum
from durum.engine.engine import Watcher

url, verb, target, run_id, given = sys.argv[1:]
told = Watcher(event=lambda envelope: os.write(1, f"{envelope.seq} {envelope.hash}\\n".encode()))
with durum.open(url) as service:
    try:
        if verb == "start":
            service.start(target, json.loads(given or "{}"), run_id=run_id, watcher=told)
        else:
            service.resume(run_id, target, watcher=told)
    except durum.DurumError as error:
        os.write(2, f"{type(error).__name__}: {error}".encode())
        sys.exit(3)
"""
PATIENCE_SECONDS = 30


class Place(NamedTuple):
    """Where a run lives: its store, the folder it works in, its code and its id."""

    store: Path
    folder: Path
    target: Path
    run_id: str

    @property
    def url(self) -> str:
        """The store's URL."""
        return f"sqlite:///{self.store}"

    def drive(self, verb: str, given: str = "") -> subprocess.Popen[bytes]:
        """Start a process that starts (with the inputs given) or resumes the run.

        It says on stdout which events were acknowledged to it.
        """
        arguments = [sys.executable, "-c", DRIVE, self.url, verb, str(self.target), self.run_id, given]
        return subprocess.Popen(arguments, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def log(self) -> list[StoredEvent]:
        """Return the events in the store, read through a connection of its own."""
        try:
            store = SqliteStore(self.store, create=False)
        except StoreUnavailableError:
            return []
        try:
            return asyncio.run(store.read_range(self.run_id))
        finally:
            asyncio.run(store.close())

    def wait_for(self, process: subprocess.Popen[bytes], kind: str = "", after: int = 0) -> None:
        """Wait until the log holds an event (of a kind) after a seq, or the process is over."""
        until = time.monotonic() + PATIENCE_SECONDS
        wanted = f'"kind":"{kind}'.encode()
        while process.poll() is None and time.monotonic() < until:
            if self.store.exists() and any(wanted in event.body for event in self.log()[after:]):
                return
            time.sleep(0.003)


def ended(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    """Wait for a process and return its exit code and what it said on stderr."""
    _, said = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, said.decode()


def killed(process: subprocess.Popen[bytes]) -> list[tuple[int, str]]:
    """Kill a process with SIGKILL and return the (seq, hash) of every event that was acknowledged to it."""
    process.send_signal(signal.SIGKILL)
    told, _ = process.communicate(timeout=PATIENCE_SECONDS)
    whole = told.decode()
    lines = whole[: whole.rfind("\n") + 1].splitlines()
    return [(int(seq), hashed) for seq, hashed in (line.split() for line in lines)]
