"""The architecture page and the glossary say what the source is."""

from __future__ import annotations

import re
import tomllib

import pytest

from durum.codec import EVENT_KINDS
from tools import tree
from tools.project import ROOT

ARCHITECTURE = ROOT / "docs" / "architecture.md"
GLOSSARY = ROOT / "docs" / "glossary.md"


def test_the_module_tree_is_that_of_the_source() -> None:
    """A new module, a renamed one and a changed first docstring line show in the page."""
    page = ARCHITECTURE.read_text("utf-8")
    assert page == tree.with_tree(page, tree.tree(ROOT)), "make it anew: python3 tools/tree.py --write"


def test_every_module_says_what_it_is_for() -> None:
    """No module of the source lacks a docstring."""
    assert [row for row in tree.tree(ROOT).splitlines()[1:-1] if len(row.split()) == 1] == []


def test_a_page_without_markers_is_refused() -> None:
    """The tree never lands in the wrong place."""
    with pytest.raises(SystemExit, match="lacks the lines"):
        tree.with_tree("# Architecture\n", "tree")


def test_the_rooms_stand_in_the_order_the_import_contract_has() -> None:
    """The line people read and the contract that is checked say the same of every room there is."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["id"] == "rooms")
    present = {file.stem for file in (ROOT / "src" / "durum").glob("*")}
    rooms = [[room for room in re.findall(r"\w+", layer) if room in present] for layer in layers]
    line = next(line for line in ARCHITECTURE.read_text("utf-8").splitlines() if line.startswith("    __main__ >"))
    assert [re.findall(r"\w+", part) for part in line.split(">")] == [layer for layer in rooms if layer]


def test_the_glossary_has_every_kind_of_event() -> None:
    """Each stored tag has a row, and no row speaks of an event that is not there."""
    rows = re.findall(r"^\| `([a-z.]+)` \|", GLOSSARY.read_text("utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(EVENT_KINDS)


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: object) -> None:
    """A link to a file of this project names one that is there, and the heading it names is in it."""
    from pathlib import Path

    assert isinstance(page, Path)
    for target in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", page.read_text("utf-8")):
        name, _, heading = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), f"{page.name} links to {target}"
        if heading:
            headings = re.findall(r"^#+ (.+)$", file.read_text("utf-8"), re.MULTILINE)
            assert heading in [anchor(text) for text in headings], f"{page.name} links to {target}"


def anchor(heading: str) -> str:
    """Return the anchor GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
