"""The guide does what it says: every block of every section is run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.docs.pages import Block, Reader, sections
from tools.project import ROOT

if TYPE_CHECKING:
    from pathlib import Path

GUIDE = ROOT / "docs" / "guide.md"
SECTIONS = sections(GUIDE)


@pytest.mark.parametrize(("title", "shown"), SECTIONS.items(), ids=SECTIONS)
def test_a_section_does_what_it_shows(title: str, shown: list[Block], tmp_path: Path) -> None:
    """In an empty folder the section's files, scripts and commands give what the page says."""
    assert title
    Reader(tmp_path, GUIDE).follow(shown)
