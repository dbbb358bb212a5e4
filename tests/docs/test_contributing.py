"""The worked examples of CONTRIBUTING work: what they change is changed in a copy of the source, what they run is run."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from durum.codec import EVENT_KINDS
from durum.core import events, fold
from tests.docs.pages import Block, Reader, sections
from tools.project import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PAGE = ROOT / "CONTRIBUTING.md"
EVENT = "Worked example: add an event"
EXAMPLES = {title: shown for title, shown in sections(PAGE).items() if title != EVENT}


@pytest.mark.parametrize(("title", "shown"), EXAMPLES.items(), ids=EXAMPLES)
def test_an_example_does_what_it_shows(title: str, shown: list[Block], tmp_path: Path) -> None:
    """In an empty folder the example's files and scripts run."""
    assert title.startswith("Worked example")
    Reader(tmp_path, PAGE).follow(shown)


def test_an_event_is_added_as_the_example_says(tmp_path: Path) -> None:
    """Its changes apply to today's source, and its test passes there and only there."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shown = sections(PAGE)[EVENT]
    test = next(block for block in shown if block.file)
    (tmp_path / str(test.file)).write_text(test.text, encoding="utf-8")
    assert passes(tmp_path, str(test.file)) != 0
    for block in shown:
        if block.language == "diff":
            change(tmp_path, block)
    assert passes(tmp_path, str(test.file)) == 0


def change(root: Path, block: Block) -> None:
    """Apply a diff block: its context and what it takes away must stand in the file exactly once."""
    head, _, body = block.text.partition("\n")
    file = root / head.removeprefix("+++ ")
    lines = body.splitlines()
    old = "".join(f"{line[1:]}\n" for line in lines if line[:1] != "+")
    new = "".join(f"{line[1:]}\n" for line in lines if line[:1] != "-")
    text = file.read_text("utf-8")
    assert text.count(old) == 1, f"{PAGE.name}:{block.line}: {file.name} holds this {text.count(old)} times:\n{old}"
    file.write_text(text.replace(old, new), encoding="utf-8")


def passes(root: Path, test: str) -> int:
    """Return the exit code of one test file against the copy."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", f"--rootdir={root}", test]
    settings = {"PYTHONPATH": str(root / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=root, env=settings, capture_output=True, timeout=60, check=False).returncode


def test_whoever_adds_an_event_is_told_what_is_missing() -> None:
    """Every event class has a tag in the codec, and an arm in fold that is not the one that ignores it."""
    kinds = set(events.Event.__subclasses__()) - {events.UnknownEvent}
    assert sorted(kind.__name__ for kind in kinds ^ set(EVENT_KINDS.values())) == []
    assert sorted(kind.__name__ for kind in kinds - set(fold._ARMS) - {events.CodeChanged}) == []


def test_every_place_the_table_sends_people_to_exists() -> None:
    """The table names files and folders that are there."""
    table = PAGE.read_text("utf-8").partition("## Commands")[0]
    rows = re.findall(r"^\| [^|`]*(?:`[^`]+`[^|`]*)*\| (.+) \|$", table, re.MULTILINE)[1:]
    assert len(rows) >= 20
    for row in rows:
        folder = ROOT
        for name in re.findall(r"`([^`]+)`", row):
            place = ROOT / name if "/" in name or name == "pyproject.toml" else folder / name
            assert place.exists(), f"{name}: {row}"
            folder = place.parent if place.is_file() else place
