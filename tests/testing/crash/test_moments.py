"""Where a kill landed is read from the log that is left."""

from __future__ import annotations

from typing import Any

import pytest

from durum.testing.crash.moments import BETWEEN, CHILD, EFFECT, EMPTY, GATE, ITEMS, OVER, STATES, moments


def event(kind: str, **fields: Any) -> dict[str, Any]:
    """Return an event as a log has it."""
    return {"kind": kind, "body": fields}


ENTERED = event("state.entered", state_id="flow.a.main")
ENDED = event("state.completed", state_id="flow.a.main")
ITEM = event("state.entered", state_id="flow.b.i7")
CHILD_OF_ITEM = event("state.entered", state_id="flow.b.i7__spawn")
INTENDED = event("effect.intended", key="flow.a.main|http|0|0")
RECORDED = event("fact.recorded", key="flow.a.main|http|0|0")
SPAWNED, CHILD_OVER = event("child.spawned", child_run_id="c"), event("child.completed", child_run_id="c")
OPENED, ANSWERED = event("gate.opened", gate="a"), event("gate.answered", gate="a")


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ([], {EMPTY}),
        ([event("run.started")], {BETWEEN}),
        ([ENTERED], {STATES}),
        ([ENTERED, ITEM], {STATES, ITEMS}),
        ([CHILD_OF_ITEM], {ITEMS}),
        ([ENTERED, INTENDED], {STATES, EFFECT}),
        ([ENTERED, INTENDED, RECORDED], {STATES}),
        ([ENTERED, INTENDED, event("state.failed", state_id="flow.a.main")], {BETWEEN}),
        ([ENTERED, ENDED], {BETWEEN}),
        ([SPAWNED], {CHILD}),
        ([SPAWNED, CHILD_OVER], {BETWEEN}),
        ([OPENED], {GATE}),
        ([OPENED, ANSWERED], {BETWEEN}),
        ([ENTERED, ENDED, event("run.completed")], {OVER}),
        ([SPAWNED, event("run.completed")], {CHILD}),
    ],
)
def test_what_a_log_stops_in_the_middle_of(log: list[Any], expected: set[str]) -> None:
    """Whatever began and did not end, in any of the runs."""
    assert moments(log) == expected
