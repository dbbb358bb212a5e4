"""The real command line in a process of its own, in a folder of its own."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 30
_OWN = ("DURUM_STORE", "PYTHONUNBUFFERED", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "TERM")


class Ran(NamedTuple):
    """What a call printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its one JSON object."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """Its JSON, one value a line."""
        return [json.loads(line) for line in self.out.splitlines()]


class CommandLine:
    """Calls ``durum`` in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.last_code = 0  # of a call in a terminal window
        self._begun: list[subprocess.Popen[str]] = []

    def __call__(self, *arguments: str, code: int = 0, **environment: str) -> Ran:
        """Call it, and see it end with ``code``."""
        command = [sys.executable, "-m", "durum", *arguments]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=_environment(environment),
            capture_output=True,
            check=False,
            timeout=SECONDS,
            stdin=subprocess.DEVNULL,
        )
        ran = Ran(done.returncode, done.stdout.decode(), done.stderr.decode())
        assert ran.code == code, f"{' '.join(arguments)}: exit {ran.code}\n{ran.out}\n{ran.err}"
        return ran

    def begin(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start it and leave it running, until the test ends at the latest."""
        command = [sys.executable, "-m", "durum", *arguments]
        process = subprocess.Popen(
            command, cwd=self.folder, env=_environment(environment), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._begun.append(process)
        return process

    def stop(self) -> None:
        """End what is still running, such as after a test that failed."""
        for process in self._begun:
            if process.poll() is None:
                process.kill()
            with contextlib.suppress(ValueError):  # its pipes are closed
                process.communicate(timeout=SECONDS)

    def on_terminal(self, *arguments: str, columns: int = 80, typed: str = "", **environment: str) -> str:
        """Call it in a terminal window, type something there, and return all that stood in it."""
        ours, theirs = pty.openpty()
        os.write(ours, typed.encode())
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
        command = [sys.executable, "-m", "durum", *arguments]
        terminal = _environment({"TERM": "xterm-256color"} | environment)
        with subprocess.Popen(command, cwd=self.folder, env=terminal, stdin=theirs, stdout=theirs, stderr=theirs) as process:
            os.close(theirs)
            written = b""
            with contextlib.suppress(OSError):  # the other end closed: EIO on Linux
                while found := os.read(ours, 65536):
                    written += found
            os.close(ours)
            self.last_code = process.wait(SECONDS)
        return written.decode().replace("\r\n", "\n")

    def write(self, name: str, text: str) -> str:
        """Write a file into the folder, whole or not there at all, and return its name: a step may wait for it."""
        aside = self.folder / f".{name}.aside"
        aside.write_text(text, encoding="utf-8")
        aside.replace(self.folder / name)
        return name

    def path(self, name: str) -> Path:
        """Return where a file of the folder lies."""
        return self.folder / name


def ended(process: subprocess.Popen[str]) -> Ran:
    """Wait for a started call to end."""
    out, err = process.communicate(timeout=SECONDS)
    return Ran(process.returncode, out, err)


def wait_for(process: subprocess.Popen[str], text: str) -> None:
    """Read what a process says on stderr until it has said ``text``."""
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    message = f"it ended without saying {text!r}"
    raise AssertionError(message)


def _environment(more: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _OWN} | more
