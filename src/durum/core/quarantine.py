"""When a run is no longer driven by itself: whoever drives it dies, again and again."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from durum.core import events as ev
from durum.core.failure import ORPHAN_ATTEMPT_RECOVERED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durum.core.run_state import RunState

MOST_STRIKES = 5
MOST_ORPHANS = 20
_PROGRESS = (
    ev.StateCompleted,
    ev.StateSkipped,
    ev.RetryScheduled,
    ev.PlanExtended,
    ev.EffectSettled,
    ev.GateOpened,
    ev.GateAnswered,
    ev.ChildSpawned,
    ev.ChildCompleted,
)


def quarantine(log: Sequence[ev.Envelope], state: RunState, epoch: int, strikes: int) -> ev.RunPaused | None:
    """Return what stops a run that was just claimed in ``epoch``, the last of ``strikes`` claims from an owner that had died.

    It is stopped after five such claims without progress; and, for a step may find ever new things to record before it kills
    its process, after twenty attempts of one state that ended so.
    """
    if strikes < MOST_STRIKES:
        return None
    recent = takewhile(lambda envelope: envelope.epoch >= epoch - MOST_STRIKES, reversed(log))
    attempts = max((state.states[position].orphans for position in state.open), default=0) + 1
    if attempts < MOST_ORPHANS and any(_is_progress(envelope.event) for envelope in recent):
        return None
    where = ", ".join(state.plan.nodes[position].id for position in sorted(state.open)[: ev.INLINE_KEYS]) or "no state"
    reason = f"the process that drove it died {max(strikes, attempts)} times in a row, in {where}"
    return ev.RunPaused(actor="durum", quarantined=True, reason=reason)


def _is_progress(event: ev.Event) -> bool:
    """Tell whether a run is farther with this; what binds within an attempt only may be new each time."""
    if isinstance(event, ev.FactRecorded):
        return event.scope == "run"
    if isinstance(event, ev.StateFailed):
        return event.error.info.code != ORPHAN_ATTEMPT_RECOVERED
    return isinstance(event, _PROGRESS)
