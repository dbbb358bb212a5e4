"""Standard logging inside a step says where it comes from."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import durum

if TYPE_CHECKING:
    import pytest

log = logging.getLogger("somebody")
flow = durum.Workflow("logging_flow")


@flow.step
async def first() -> int:
    """Log from a coroutine."""
    log.warning("in the first")
    return 1


@flow.step(blocking=True)
def second(first: int) -> int:
    """Log from a thread."""
    log.warning("in the second")
    return first


def test_a_record_made_in_a_step_carries_run_state_and_attempt(caplog: pytest.LogCaptureFixture) -> None:
    """In a coroutine and in a thread alike; what is logged outside of a step carries nothing."""
    with durum.open("memory://") as store:
        run_id = store.start(flow)["run_id"]
    log.warning("outside")
    places = [
        (record.message, *(getattr(record, name) for name in ("run_id", "state_id", "attempt"))) for record in caplog.records
    ]
    assert places == [
        ("in the first", run_id, "logging_flow.first.main", 0),
        ("in the second", run_id, "logging_flow.second.main", 0),
        ("outside", None, None, None),
    ]
