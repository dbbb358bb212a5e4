"""Runs what a Markdown page shows: files it names, Python it gives, commands it types and what they answer.

A ``python`` or ``toml`` block that begins with ``# name.py`` is that file; any other ``python`` block is run as a script. Of a
``console`` block each ``$ command`` is run by a shell and must answer what stands below it. Other blocks are not run.

In an expected answer ``...`` stands for anything (alone on a line: for any lines), and ids, digests, spans and moments for
themselves in kind; an id that stands twice is the same id, in later commands too. How wide the gaps are does not count.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

from tools.project import ROOT

if TYPE_CHECKING:
    from pathlib import Path

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
FILE_NAME = re.compile(r"# ([\w./-]+\.(?:py|toml))\n")
SECONDS = 60

UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
DIGEST = "[0-9a-f]{64}"
IDENTITY = f"{UUID}|{DIGEST}"
# What differs from run to run and means nothing to the reader, by the form it has.
VARYING = (
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d",
    r"\d\d:\d\d:\d\d(?:\.\d+)?",
    r"\d+(?:\.\d+)? (?:ms|s)\b",
    r"\d+ artifacts",
    r"\.\.\.",
)
TOKEN = re.compile(f"(?P<identity>{IDENTITY})|" + "|".join(f"(?P<varying{n}>{form})" for n, form in enumerate(VARYING)))


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    text: str
    line: int  # of its first line in the page

    @property
    def file(self) -> str | None:
        """The file this block is, None if it is none."""
        found = FILE_NAME.match(self.text)
        return found[1] if found and self.language in {"python", "toml"} else None


def blocks(text: str, first_line: int = 1) -> list[Block]:
    """Return the fenced blocks of a page or a section in order."""
    return [Block(found[1], found[2], first_line + text[: found.start(2)].count("\n")) for found in FENCE.finditer(text)]


def sections(page: Path) -> dict[str, list[Block]]:
    """Return the blocks under each ``##`` heading of a page that has any; what stands before the first is under ''."""
    text = page.read_text("utf-8")
    starts = [0, *(found.start() for found in HEADING.finditer(text)), len(text)]
    titles = ["", *HEADING.findall(text)]
    parts = [(title, start, text[start:end]) for title, start, end in zip(titles, starts, starts[1:], strict=False)]
    return {title: found for title, start, part in parts if (found := blocks(part, 1 + text[:start].count("\n")))}


class Reader:
    """Someone who does what a page says, in an empty folder."""

    def __init__(self, folder: Path, page: Path) -> None:
        self.folder = folder / "desk"
        self._page = page
        self._known: dict[str, str] = {}  # an id as the page has it -> as this run has it
        self.folder.mkdir()
        tools = folder / "bin"
        tools.mkdir()
        for name, options in (("durum", "-m durum "), ("python", "")):
            (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {options}"$@"\n', encoding="utf-8")
            (tools / name).chmod(0o755)
        self._settings = {name: value for name, value in os.environ.items() if not name.startswith(("DURUM", "PYTEST"))} | {
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT / "src"),
            "NO_COLOR": "1",
            "LC_ALL": "C.UTF-8",
            "COLUMNS": "120",
        }

    def follow(self, shown: list[Block]) -> None:
        """Do what every block says, in order."""
        for block in shown:
            if block.file:
                (self.folder / block.file).write_text(block.text, encoding="utf-8")
            elif block.language == "python":
                self._script(block)
            elif block.language == "console":
                self._type(block)

    def _script(self, block: Block) -> None:
        script = self.folder / f"block_{block.line}.py"
        script.write_text(block.text, encoding="utf-8")
        done = self._run([sys.executable, script.name])
        assert done.returncode == 0, f"{self._page.name}:{block.line}: this block fails:\n{done.stdout}"

    def _type(self, block: Block) -> None:
        for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            command, _, expected = part.partition("\n")
            for shown, here in self._known.items():
                command = command.replace(shown, here)
            done = self._run(["/bin/sh", "-c", command])
            self.compare(f"{self._page.name}:{block.line}: $ {command}", expected, answer(done))

    def compare(self, where: str, expected: str, got: str) -> None:
        """Hold an answer against the page and remember the ids it shows."""
        form, identities = pattern(plain(expected), self._known)
        found = re.fullmatch(form, plain(got))
        assert found, f"{where}\n--- the page says\n{plain(expected)}\n--- it answers\n{plain(got)}"
        self._known |= {shown: found[name] for name, shown in identities.items()}

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self._settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )


def answer(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a terminal would show: shells word the end of a killed process in many ways."""
    if done.returncode not in {-9, 128 + 9}:
        return done.stdout
    return "\n".join([*(line for line in done.stdout.splitlines() if "Killed" not in line), "Killed"])


def plain(text: str) -> str:
    """Return text without what only looks different: runs of spaces, spaces at ends, empty lines at the end."""
    return "\n".join(re.sub(r" +", " ", line).strip() for line in text.splitlines()).strip("\n")


def pattern(expected: str, known: dict[str, str]) -> tuple[str, dict[str, str]]:
    """Return the regular expression an answer must fit, and its groups that are ids not known before."""
    form, end = "", 0
    new: dict[str, str] = {}
    for token in TOKEN.finditer(expected):
        form += re.escape(expected[end : token.start()])
        end = token.end()
        shown = token["identity"]
        if shown is None:
            form += varying(expected, token)
        elif shown in known:
            form += re.escape(known[shown])
        elif shown in new.values():
            form += f"(?P={next(name for name, value in new.items() if value == shown)})"
        else:
            name = f"identity{len(new)}"
            new[name] = shown
            form += f"(?P<{name}>{UUID if '-' in shown else DIGEST})"
    form += re.escape(expected[end:])
    return form, new


def varying(expected: str, token: re.Match[str]) -> str:
    """Return the form a varying part may have."""
    if token[0] != "...":
        return next(form for n, form in enumerate(VARYING) if token[f"varying{n}"])
    before, after = expected[: token.start()].rpartition("\n")[2], expected[token.end() :].partition("\n")[0]
    return r"[^\n]*" if before or after else r"[\s\S]*"
