"""Attempts that the engine itself ended at a limit: what they broke is no matter of their code, so replay passes over them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from durum import ExecutionPlan, StateMeta, StateNode, StateOutcome
from durum.core.state import Items
from durum.engine import attempts
from tests.engine.families import doubling, starting
from tests.engine.runs import Ran, run

if TYPE_CHECKING:
    import pytest

    from durum.core.state import DynContext, EventRecorder


def test_a_child_that_would_be_too_deep_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state did nothing else than when it was recorded, and the limit is none of its record."""
    monkeypatch.setattr(attempts, "DEEPEST_CHILD", 1)
    middle = starting(doubling(), "middle")
    top = run(starting(middle, "top", result="end"), {"n": 1}).sound()
    (below,) = (row for row in top.service.runs() if row["op_id"] == "middle")
    ran = Ran(top.service, middle, below).sound()
    assert ran.error["code"] == "child_too_deep"


class Growing:
    """A state that adds items to the plan, where no rule says what they would be."""

    def meta(self) -> StateMeta:
        """Return a plain one."""
        return StateMeta()

    async def handle(self, ctx: DynContext, io: Any, rec: EventRecorder) -> StateOutcome:
        """Ask for three."""
        del ctx, io, rec
        return StateOutcome(extension=Items(3))


def test_an_extension_without_a_rule_is_passed_over() -> None:
    """The plan had no place for it then and has none now."""
    ran = run(ExecutionPlan("p", (StateNode("p.grow.main", Growing()),))).sound()
    assert ran.error["code"] == "invalid_extension"
