"""What ./scripts/demo runs: a real run, killed half-way with kill -9, then resumed, replayed offline and verified."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Self

import durum

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
WORKFLOW = os.path.relpath(HERE / "release_notes.py") if Path.cwd() in HERE.parents else str(HERE / "release_notes.py")
KILL_POINTS = (6, 5, 4, 3, 2, 1)  # completed states to kill after; when a run is faster than the kill, the next one is tried
POLL_SECONDS = 0.002
SHOWN_LINES = 18  # of the notes


class DemoError(Exception):
    """A stage did not show what it is there to show."""


def main(words: Sequence[str] | None = None) -> int:
    """Run the demo and return its exit code."""
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal may lack the letters of a name
    try:
        with tempfile.TemporaryDirectory(prefix="durum-demo-") as spare:
            Demo(parsed(words), Path(spare)).show()
    except (DemoError, durum.DurumError, OSError) as problem:
        print(f"\ndemo failed: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def parsed(words: Sequence[str] | None) -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(prog="demo", description="Make release notes; kill, resume, replay and verify the run.")
    parser.add_argument("--input", action="append", default=[], metavar="NAME=VALUE", help="an input of the workflow")
    parser.add_argument("--repo", metavar="PATH", help="the repository; default: this checkout")
    parser.add_argument("--out", metavar="PATH", help="where the notes go; default: .durum/release-notes.md in this checkout")
    parser.add_argument("--store", metavar="URL", help="where the runs are kept; default: .durum/demo.db in this checkout")
    return parser.parse_args(words)


class Demo:
    """The stages, one after the other; each raises ``DemoError`` if it shows anything but success."""

    def __init__(self, asked: argparse.Namespace, spare: Path) -> None:
        if shutil.which("git") is None:
            raise DemoError("git was not found on PATH; install it, for the workflow reads a repository with it")
        self.spare = spare
        self.inputs = dict(text.partition("=")[::2] for text in asked.input)
        self.inputs |= {name: value for name in ("repo", "out") if (value := getattr(asked, name)) is not None}
        folder = None if asked.store and "out" in self.inputs else writable_folder()
        self.url = asked.store or f"{folder}/demo.db"
        if "://" not in self.url:
            self.url = f"sqlite:///{Path(self.url).absolute()}"
        self.inputs.setdefault("out", f"{folder}/release-notes.md")
        if "repo" not in self.inputs:
            self.inputs["repo"] = str(self.default_repository())

    def default_repository(self) -> Path:
        """Return this checkout, or a repository made for the occasion when it came without its history."""
        check = ["git", "-c", "safe.directory=*", "-C", str(ROOT), "rev-parse", "--verify", "--quiet", "HEAD"]
        if (ROOT / ".git").exists() and subprocess.run(check, capture_output=True, check=False).returncode == 0:
            return ROOT
        sample = self.spare / "sample"
        say(f"{ROOT} has no git history, so these are the notes of a small repository made for the demo.")
        make_repository(sample)
        return sample

    def show(self) -> None:
        """Go through the stages."""
        say(f"Release notes of {self.inputs['repo']}, by a workflow of git calls that run side by side.")
        with durum.open(self.url) as store:
            run_id = self.killed(store)
            answered = exec_calls(store, run_id)
            heading("2. Resume it: what is on record is not done again")
            self.durum("resume", run_id, "--with", WORKFLOW)
            out = str(store.context(run_id, "written"))
            calls = exec_calls(store, run_id)
            if len(set(calls)) < len(calls) or calls[: len(answered)] != answered:
                raise DemoError(f"run {run_id} made a call whose answer was on record")
            say(f"{len(answered)} answers of git came from the record; {len(calls) - len(answered)} calls were made now.")
        heading("3. Replay it offline: the same code, every answer from the record, with no program to be found on PATH")
        self.durum("replay", run_id, "--mode", "reproduce", "--with", WORKFLOW, path="")
        heading("4. Verify it: nobody changed a byte of the record")
        self.durum("verify", run_id)
        self.close(run_id, out)

    # --- the stages -------------------------------------------------------------------------------------------------

    def killed(self, store: durum.Durum) -> str:
        """Start a run, kill its process half-way, and return the run's id."""
        heading("1. Start a run, and kill -9 its process half-way")
        for point in KILL_POINTS:
            run_id = str(uuid.uuid4())
            words = ["run", WORKFLOW, "--run-id", run_id]
            for name, value in self.inputs.items():
                words += ["--input", f"{name}={value}"]
            with Child(self.command(*words)) as child:
                caught = self.wait_for(store, run_id, point, child)
            if caught:
                say(f"Killed with SIGKILL. What the log of run {run_id} holds:")
                for line in account(store, run_id):
                    print(line)
                return run_id
            if child.code:
                raise DemoError(f"the run could not be killed half-way, it ended with exit code {child.code}; see above")
            say("The run was faster than the kill. Another one, to be killed earlier:")
        raise DemoError(f"{len(KILL_POINTS)} runs were all faster than the kill; try a larger repository: --repo PATH")

    @staticmethod
    def wait_for(store: durum.Durum, run_id: str, point: int, child: Child) -> bool:
        """Kill the child once so many states are completed in the log; tell whether that was in the middle of the run."""
        while child.runs():
            if completed(store, run_id) >= point:
                child.signal(signal.SIGSTOP)  # hold it, to be sure where it stands
                if store.show(run_id)["status"] == "running":
                    child.signal(signal.SIGKILL)
                    return True
                child.signal(signal.SIGCONT)
                return False
            time.sleep(POLL_SECONDS)
        return False

    def close(self, run_id: str, out: str) -> None:
        """Show the notes, and how to go on."""
        heading(f"The notes: {out}")
        lines = Path(out).read_text(encoding="utf-8").splitlines()
        print("\n".join(f"  {line}"[:120] for line in lines[:SHOWN_LINES]))
        if len(lines) > SHOWN_LINES:
            print(f"  ... and {len(lines) - SHOWN_LINES} more lines")
        heading("Look for yourself")
        script = Path(sys.executable).with_name("durum")
        program = [str(script)] if script.exists() else [sys.executable, "-m", "durum"]
        for words in (("show",), ("events",), ("replay", "--mode", "reproduce", "--with", WORKFLOW), ("verify",)):
            print("  " + shlex.join([*program, words[0], run_id, *words[1:], "--store", self.url]))

    # --- the command line -------------------------------------------------------------------------------------------

    def command(self, *words: str) -> list[str]:
        """Return a durum command that works on the demo's store, and print it as a person would type it."""
        print(f"\n$ {shlex.join(['durum', *words])}", flush=True)
        return [sys.executable, "-P", "-m", "durum", *words, "--store", self.url]

    def durum(self, *words: str, path: str | None = None) -> None:
        """Run a durum command to its end; it has to succeed."""
        with Child(self.command(*words), path) as child:
            child.wait()
        if child.code:
            raise DemoError(f"durum {words[0]} ended with exit code {child.code}; see above")


class Child:
    """A process whose output is shown as it comes; it does not outlive the ``with`` block."""

    def __init__(self, command: Sequence[str], path: str | None = None) -> None:
        env = os.environ if path is None else os.environ | {"PATH": path}
        self.process = subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self.echo = threading.Thread(target=self.show, daemon=True)
        self.echo.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self.process.kill()
        self.wait()

    @property
    def code(self) -> int:
        """The exit code, 0 while it runs."""
        return self.process.returncode or 0

    def show(self) -> None:
        """Print what the process says."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            print("  " + line.decode(errors="replace").rstrip(), flush=True)

    def runs(self) -> bool:
        """Tell whether it has not ended."""
        return self.process.poll() is None

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self) -> None:
        """Wait until it has ended and all of its output is shown."""
        self.process.wait()
        self.echo.join()


# --- the record -----------------------------------------------------------------------------------------------------------


def completed(store: durum.Durum, run_id: str) -> int:
    """Return how many states of a run its log says are completed; 0 while there is no such run."""
    try:
        return sum(row["status"] == "completed" for row in store.states(run_id))
    except durum.DurumError:
        return 0


def exec_calls(store: durum.Durum, run_id: str) -> list[str]:
    """Return the keys of the recorded calls of git, in the order of the log."""
    return [str(fact["key"]) for fact in store.facts(run_id) if fact["namespace"] == "exec"]


def account(store: durum.Durum, run_id: str) -> list[str]:
    """Return where a run stands, by state."""
    groups: dict[str, list[str]] = {"done": [], "cut off": [], "to come": []}
    for row in store.states(run_id):
        word = {"completed": "done", "running": "cut off"}.get(str(row["status"]), "to come")
        groups[word].append(str(row["state_id"]).split(".")[1])
    lines = [f"  {word:9} {', '.join(names)}" for word, names in groups.items() if names]
    return [*lines, f"  {'git':9} {len(exec_calls(store, run_id))} calls, each with its answer"]


# --- places and words -----------------------------------------------------------------------------------------------------


def writable_folder() -> Path:
    """Return .durum in this checkout, or a new folder where the checkout cannot be written."""
    folder = ROOT / ".durum"
    if os.access(folder if folder.exists() else ROOT, os.W_OK | os.X_OK):
        folder.mkdir(exist_ok=True)
        return folder
    return Path(tempfile.mkdtemp(prefix="durum-demo-"))


def make_repository(folder: Path) -> None:
    """Make a small repository of real commits."""
    parts = ("src/engine.py", "src/store.py", "tests/test_engine.py", "docs/guide.md", "scripts/build", "README.md")
    script = ""
    for number in range(1, 61):
        path = parts[number % len(parts)]
        text = f"Improve {path}, part {number}"
        when = f"Demo Author <demo@example.org> {1_700_000_000 + number * 86_400} +0000"
        script += f"commit refs/heads/main\nauthor {when}\ncommitter {when}\ndata {len(text)}\n{text}\n"
        lines = "".join(f"line {line} of version {number}\n" for line in range(number))
        script += f"M 100644 inline {path}\ndata {len(lines)}\n{lines}\n"
        if number % 20 == 0:
            script += f"reset refs/tags/v0.{number // 20}\nfrom refs/heads/main\n\n"
    folder.mkdir()
    for words in ("init --quiet", "symbolic-ref HEAD refs/heads/main", "fast-import --quiet"):
        subprocess.run(["git", *words.split()], cwd=folder, input=script, text=True, check=True)


def say(text: str) -> None:
    """Print a sentence."""
    print(text, flush=True)


def heading(text: str) -> None:
    """Print the title of a stage."""
    bold, plain = ("\x1b[1m", "\x1b[0m") if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else ("", "")
    print(f"\n{bold}== {text}{plain}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
