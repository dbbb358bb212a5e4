"""Workflows and runs that tests of this room share."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import pytest

from durum import Workflow

if TYPE_CHECKING:
    from durum import Durum

ID = "01890a5d-ac96-774b-bcce-b302099a8057"


class Given(TypedDict):
    """An input."""

    number: int


def make(result: int = 1, version: str = "1") -> Workflow:
    """Return a workflow of one step."""
    flow = Workflow("flow", version=version, inputs=Given)

    @flow.step
    def one(number: int) -> int:
        return number + result

    return flow


def parked(service: Durum, version: str = "1", key: str | None = None) -> str:
    """Return a run of workflow ``flow`` that is paused for an effect with an unknown outcome."""
    flow = Workflow("flow", version=version)

    @flow.step
    def one() -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        service.start(flow, run_id=ID if key is None else None, key=key)
    return str(service.runs()[0]["run_id"])
