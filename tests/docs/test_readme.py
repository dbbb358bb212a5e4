"""The front page promises what is there: its workflow runs, its verbs exist, its commands name files."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from durum.cli.main import _VERBS
from tests.docs.pages import Block, Reader, sections
from tools.project import ROOT

if TYPE_CHECKING:
    from pathlib import Path

README = ROOT / "README.md"
SECTIONS = sections(README)


@pytest.mark.parametrize(("title", "shown"), SECTIONS.items(), ids=SECTIONS)
def test_a_section_does_what_it_shows(title: str, shown: list[Block], tmp_path: Path) -> None:
    """In an empty folder the section's files and commands give what the page says."""
    assert title
    Reader(tmp_path, README).follow(shown)


def test_the_first_two_commands_are_the_scripts() -> None:
    """Whoever copies the first block runs the demo, then the tests; both are programs of this checkout."""
    first = next(block for shown in SECTIONS.values() for block in shown)
    assert [line.split()[0] for line in first.text.splitlines()] == ["./scripts/demo", "./scripts/test"]
    assert all(os.access(ROOT / "scripts" / name, os.X_OK) for name in ("demo", "test"))


def test_the_verbs_are_those_the_command_line_has() -> None:
    """No verb is promised that is not there, none is left out."""
    listed = re.findall(r"^\| `durum ([\w-]+)", README.read_text("utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(name for verbs in _VERBS.values() for name in verbs)


def test_the_package_shows_this_page() -> None:
    """The page is the package's description."""
    assert 'readme = "README.md"' in (ROOT / "pyproject.toml").read_text("utf-8")
