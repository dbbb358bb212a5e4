"""A command line in an empty folder, and one with runs to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.cli.command_line import CommandLine
from tests.cli.flows import FLAKY, NOTES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def durum(tmp_path: Path) -> Iterator[CommandLine]:
    """Give the command line in an empty folder."""
    durum = CommandLine(tmp_path)
    yield durum
    durum.stop()


class Shelf(NamedTuple):
    """A store with one run that completed and one that failed; nobody may change it."""

    durum: CommandLine
    completed: str
    failed: str


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """Give a store to look at."""
    durum = CommandLine(tmp_path_factory.mktemp("shelf"))
    durum.write("notes.py", NOTES)
    durum.write("flaky.py", FLAKY)
    completed = durum("run", "notes.py", "--input", "words=4", "--json").json["run_id"]
    failed = durum("run", "flaky.py", "--json", code=1).json["run_id"]
    return Shelf(durum, completed, failed)
