"""An invocation is checked and complete before anything is stored, and makes what a run starts from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from durum import ExecutionPlan
from durum.errors import InvalidIdError
from tests.app.flows import make

if TYPE_CHECKING:
    from durum import Durum


def test_a_bare_plan_starts_with_a_context_of_any_keys(service: Durum) -> None:
    """Its keys and values are checked as a step's would be."""
    plan = make().plan()
    assert isinstance(plan, ExecutionPlan)
    summary = service.start(plan, {"number": 1, "a/b": (1, 2)})
    assert service.context(str(summary["run_id"])) == {"number": 1, "a/b": [1, 2], "one": 2}
    with pytest.raises(InvalidIdError):
        service.start(plan, {"two words": 1})
