"""Real child processes, and short ways to run and watch them."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from durum.errors import TransportError
from durum.transports.exec import ExecTransport
from tests.transports.no_store import NoStore

if TYPE_CHECKING:
    from durum.core.canonical import JsonObject, JsonValue

PYTHON = sys.executable
MIB = 1024 * 1024


@dataclass(frozen=True)
class Call(NoStore):
    """A call with an optional effect key and its secrets."""

    effect_key: str | None = None
    secrets: dict[str, str] = field(default_factory=dict, repr=False)

    def secret(self, name: str) -> str:
        """Return the secret's value."""
        return self.secrets[name]


def transport(cwd: Path | None = None) -> ExecTransport:
    """Return a transport that may run a shell, Python and a command that does not exist."""
    return ExecTransport(["sh", "env", "pwd", "no-such-command-here", "/no/such/file", PYTHON], cwd)


def run(request: JsonObject, call: Call | None = None, cwd: Path | None = None) -> Any:
    """Perform one call on a fresh loop."""
    return asyncio.run(transport(cwd).call(request, call or Call()))


def shell(script: str, **more: JsonValue) -> JsonObject:
    """Return the request for a shell script."""
    return {"argv": ["sh", "-c", script], **more}


def python(script: str, **more: JsonValue) -> JsonObject:
    """Return the request for a Python script."""
    return {"argv": [PYTHON, "-c", script], **more}


def fails(code: str, request: JsonObject, call: Call | None = None) -> TransportError:
    """Return the error a request ends in."""
    with pytest.raises(TransportError) as caught:
        run(request, call)
    assert caught.value.transport_code == code
    return caught.value


def alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie that init has not collected yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def assert_dies(pid: int) -> None:
    """Wait for a kill to be carried out."""
    deadline = time.monotonic() + 10
    while alive(pid):
        assert time.monotonic() < deadline, f"{pid} lives on"
        time.sleep(0.005)


def text_of(file: Path) -> str:
    """Return what a process wrote so far."""
    return file.read_text() if file.exists() else ""


async def pid_in(file: Path) -> int:
    """Return the pid that a process writes to ``file``."""
    for _ in range(2000):
        if text_of(file).endswith("\n"):
            return int(text_of(file))
        await asyncio.sleep(0.005)
    raise AssertionError(f"nothing in {file}")


def open_descriptors() -> int:
    """Return how many file descriptors this process holds."""
    gc.collect()
    return len(list(Path("/dev/fd").iterdir()))


TREES = {
    "group": "sh -c 'echo $$ > {file}; exec sleep 600' & wait",
    "session": "setsid sh -c 'echo $$ > {file}; exec sleep 600' & wait",
    "orphan": "(setsid sh -c 'echo $$ > {file}; exec sleep 600' &); sleep 600",
    "deaf": "trap '' TERM INT HUP; setsid sh -c 'echo $$ > {file}; exec sleep 600' & while :; do sleep 600; done",
}
