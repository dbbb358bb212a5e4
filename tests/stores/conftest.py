"""A database of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from durum.stores.database import Database
from durum.stores.sqlite_file import Durability

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Database]:
    """Give a database."""
    made = Database(tmp_path / "durum.db", create=True, durability=Durability.FULL, rolled_back=lambda: None)
    yield made
    made.close()
