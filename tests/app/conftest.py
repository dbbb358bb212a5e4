"""What every test of this room may ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import durum

if TYPE_CHECKING:
    from collections.abc import Iterator

    from durum import Durum


@pytest.fixture
def service() -> Iterator[Durum]:
    """A store in memory."""
    with durum.open("memory://") as opened:
        yield opened
