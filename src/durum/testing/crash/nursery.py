"""Where the processes of a crash test come from, as whoever gives them tasks sees it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from durum.errors import ConfigError
from durum.testing.crash.task import Ended, Task, decode_ended

if TYPE_CHECKING:
    from collections.abc import Sequence

_LAST_WORDS = 400


class Nursery:
    """A process that forks others, as whoever gives them tasks sees it; one task at a time."""

    def __init__(self, harness: Sequence[str]) -> None:
        self._command = ["-m", *harness]
        self._process = subprocess.Popen(
            [sys.executable, "-P", *self._command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(_import_path())},
        )

    def run(self, task: Task) -> Ended:
        """Have a task done in a process of its own and return how that ended.

        Raises:
            ConfigError: the module that is to fork it did not come up.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(msgspec.json.encode(task) + b"\n")
            self._process.stdin.flush()
            return decode_ended(self._process.stdout.readline())
        except (OSError, msgspec.DecodeError) as error:
            command = shlex.join(self._command)
            raise ConfigError(f"python {command} serves no crash test; {self._last_words()}") from error

    def _last_words(self) -> str:
        _, said = self._process.communicate()
        lines = said.decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:_LAST_WORDS] if lines else f"it ended with exit code {self._process.returncode}"

    def close(self) -> None:
        """End it, and what it has under way."""
        self._process.kill() if self._process.stdin is None else self._process.stdin.close()
        self._process.wait()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()


def _import_path() -> list[str]:
    """Return where modules are looked for: what can be imported here can be imported there, and what lies in this folder.

    A file of the author's comes after a library that has the same name: in ``durum run`` too the library is loaded first.
    """
    standard, ours = str(Path(os.__file__).parent.parent), str(Path(__file__).parent.parent.parent.parent)

    def rank(place: str) -> int:
        if place == ours or "site-packages" in place or "dist-packages" in place:
            return 1
        return 0 if place.startswith(standard) else 2

    return sorted((place for place in (*sys.path, str(Path.cwd())) if place), key=rank)
