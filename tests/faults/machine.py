"""A machine with a small disk: the real command line works there, and what must hold whatever is the matter with it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.faults import short_of
from tests.workflows.journal import lines_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parent.parent.parent
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
RUN = "01890a5d-ac96-774b-bcce-b302099a8057"
TARGET = "tests.workflows.burden:flow"
DISK_BYTES = 2 * 1024 * 1024
SECONDS = 120
OK, FAILED, PARKED, FOUND = 0, 1, 3, 4
_RESUME = re.compile("resume it with: (durum .*)")


class Said(NamedTuple):
    """How a call ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """The lines that say that something is wrong."""
        return [line for line in self.err.splitlines() if line.startswith("error: ")]

    @property
    def resume(self) -> list[str]:
        """The arguments of the command that drives the run on."""
        found = _RESUME.search(self.err)
        assert found is not None, self.err
        return shlex.split(found.group(1))[1:]


class Machine:
    """A folder with a store in another one, and the command line."""

    def __init__(self, folder: Path, disk: Path, weight: tuple[int, int]) -> None:
        self.folder = folder
        self.store = disk / "durum.db"
        self._rows, size = weight
        folder.mkdir(exist_ok=True)
        (folder / "cargo").write_bytes(bytes(size))

    @property
    def url(self) -> str:
        """The store's URL."""
        return f"sqlite:///{self.store}"

    def begin(self, *arguments: str, patience: float = 1.0, **more: str) -> subprocess.Popen[bytes]:
        """Start a call."""
        return self.start([sys.executable, short_of.__file__, str(patience), *arguments], **more)

    def start(self, command: Sequence[str], **more: str) -> subprocess.Popen[bytes]:
        """Start a program."""
        environment: Mapping[str, str] = {**ENVIRONMENT, "DURUM_STORE": self.url, **more}
        return subprocess.Popen(
            command, cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
        )

    def __call__(self, *arguments: str, patience: float = 1.0, **more: str) -> Said:
        """Make a call; whatever happens, nobody meets a traceback, and what went wrong is one sentence."""
        return said(self.begin(*arguments, patience=patience, **more))

    def run_arguments(self) -> list[str]:
        """Return the call that starts the run."""
        return ["run", TARGET, "--run-id", RUN, "--input", f"rows={self._rows}"]

    def looks(self) -> dict[str, Said]:
        """Make every call that only looks, and those that steer, and return what each said."""
        words = {verb: [verb, RUN] for verb in ("show", "events", "context", "facts", "graph", "verify", "cancel", "pause")}
        words |= {"ls": ["ls"], "gates": ["gates"], "doctor": ["doctor"], "answer": ["answer", RUN, "x@00000000"]}
        return {verb: self(*arguments, patience=0.2) for verb, arguments in words.items()}

    def came(self) -> tuple[Any, ...]:
        """Return what the run came to, and what it left in the journal."""
        shown = self("show", RUN, "--json")
        assert shown.code == OK, shown
        summary = json.loads(shown.out)
        names = ("status", "final_snapshot_id", "semantic_digest", "error")
        assert self("verify", RUN).code == OK
        return tuple(summary[name] for name in names), sorted(lines_of(self.folder))

    def ended(self, *arguments: str) -> tuple[Any, ...]:
        """Drive the run to its end, its questions answered from the journal, and return what it came to."""
        for _ in range(5):
            code = self(*arguments).code
            if code == OK:
                break
            assert code == PARKED
            for line in self("gates", "--json").out.splitlines():
                gate = json.loads(line)
                done = [answer for _, answer in lines_of(self.folder)]
                happened = ["--field", "happened=true", "--field", f"result={json.dumps(done[0])}"]
                assert self("answer", RUN, gate["gate"], *(happened if done else ["--field", "happened=false"])).code == OK
        return self.came()


def said(process: subprocess.Popen[bytes]) -> Said:
    """Wait for a call, and check what every call owes to people."""
    out, err = process.communicate(timeout=SECONDS)
    ended = Said(process.returncode, out.decode(), err.decode())
    assert "Traceback" not in ended.err + ended.out, ended.err
    assert "Warning" not in ended.err, ended.err
    assert "unexpected" not in ended.err, ended.err
    assert len(ended.errors) <= 1, ended.errors
    assert ended.code == OK or ended.errors or ended.out, "it failed and said nothing"
    return ended


def system(*words: str) -> bool:
    """Run a command of the system and tell whether it could be done."""
    try:
        return subprocess.run(words, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def fill(disk: Path, spare: int) -> Path:
    """Leave so many bytes free; return what takes the rest."""
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(max(0, shutil.disk_usage(disk).free - spare)))
    return ballast
