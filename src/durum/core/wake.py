"""When a run that is let go wants to be driven on, by whoever is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durum.core.decide import ParkRun, WaitUntil, decide

if TYPE_CHECKING:
    from durum.core.run_state import RunState


def wake_ms(state: RunState, now_ms: int) -> int | None:
    """Return the moment (Unix epoch) it is due again; None if it is over, or waits for somebody's word."""
    if state.over or (state.paused is not None and state.cancelling is None):
        return None
    if state.open:
        return now_ms
    for command in decide(state, now_ms):
        if isinstance(command, ParkRun):
            return None
        if isinstance(command, WaitUntil):
            return command.due_ms
    return now_ms
