"""Runs are found by what people have at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from durum.errors import NotFoundError
from tests.app.flows import ID, make

if TYPE_CHECKING:
    from durum import Durum


def test_a_run_is_found_by_a_unique_beginning_of_its_id(service: Durum) -> None:
    """Of at least four characters, in any case; several or none are told apart."""
    near = ID[:-1] + "8"
    for run_id in (ID, near):
        service.start(make(), {"number": 1}, run_id=run_id)
    other = str(service.start(make(), {"number": 1}, run_id="f" + ID[1:])["run_id"])
    assert service.show("F189")["run_id"] == other
    assert service.show(other)["run_id"] == other
    for ambiguous in (ID[:-1], ID[:4]):
        with pytest.raises(NotFoundError, match=f"no single run {ambiguous}; 2 runs begin so; type more of it"):
            service.show(ambiguous)
    with pytest.raises(NotFoundError, match=r"no run f18; a beginning needs 4 characters or more; list the runs"):
        service.show("f18")
    for missing in ("0000", "", "zzzz", ID[:-1] + "9"):
        with pytest.raises(NotFoundError, match="list the runs of this store with: durum ls"):
            service.show(missing)
