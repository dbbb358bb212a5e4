"""What a run tells while it is driven: one line a state event, or, on a terminal, what is under way right now."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from durum.cli.words import SKIPPED, attempt_of, failure_text, number_in, one_line, span, step_name
from durum.core import events as ev

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durum.cli.streams import Streams
    from durum.core.canonical import JsonObject
    from durum.core.failure import StateError


class Progress(Protocol):
    """Who is told how a run goes on."""

    def begin(self, states: Sequence[JsonObject]) -> None:
        """Take the states of the run; called once, before anything happens."""

    def event(self, envelope: ev.Envelope) -> None:
        """Take a durable event."""

    def message(self, state_id: str, text: str) -> None:
        """Take a line of progress from a step."""

    def end(self) -> None:
        """Stop telling."""


class Told(NamedTuple):
    """One thing that happened to a state, in words."""

    kind: str  # "started", "completed", "failed", "tried" (it failed, and is tried again), "retrying", "skipped" or "note"
    name: str  # of the step
    text: str


class Teller:
    """Puts events into words; remembers when each attempt began and how many there may be."""

    def __init__(self) -> None:
        self._most: dict[str, int] = {}
        self._begun: dict[str, int] = {}

    def begin(self, states: Sequence[JsonObject]) -> None:
        """Take how many attempts each state has."""
        self._most = {str(row["state_id"]): number_in(row["max_attempts"]) for row in states}

    def tell(self, envelope: ev.Envelope) -> Told | None:
        """Return what an event says to someone who watches; None if nothing."""
        match envelope.event:
            case ev.StateEntered(state_id=state, attempt=attempt):
                self._begun[state] = envelope.ts_millis
                return Told("started", step_name(state), f"{self._attempt(state, attempt)} started" if attempt else "started")
            case ev.StateCompleted(state_id=state):
                return Told("completed", step_name(state), f"completed in {self._took(state, envelope)}")
            case ev.StateFailed(state_id=state, error=error):
                which = f"{self._attempt(state, envelope.attempt or 0)} " if error.info.retryable else ""
                again = error.info.retryable and (envelope.attempt or 0) + 1 < self._most.get(state, 0)
                return Told("tried" if again else "failed", step_name(state), f"{which}failed: {failure_text(_as_json(error))}")
            case ev.RetryScheduled(state_id=state, attempt=attempt, delay_ms=delay):
                return Told("retrying", step_name(state), f"{self._attempt(state, attempt)} in {span(delay)}")
            case ev.StateSkipped(state_id=state):
                return Told("skipped", step_name(state), f"skipped: {_why(envelope.event)}")
            case ev.RunPaused(detail=detail):
                return Told("note", step_name(envelope.state_id or "run"), f"paused: {one_line(detail)}")
            case ev.CodeChanged(steps=steps):
                return Told("note", "run", f"goes on with changed code: {', '.join(map(step_name, steps))}")
        return None

    def _attempt(self, state_id: str, attempt: int) -> str:
        return attempt_of(attempt + 1, self._most.get(state_id, 0))

    def _took(self, state_id: str, envelope: ev.Envelope) -> str:
        return span(envelope.ts_millis - self._begun.pop(state_id, envelope.ts_millis))


def _as_json(error: StateError) -> JsonObject:
    from durum.history.views import error_json

    return error_json(error)


def _why(event: ev.StateSkipped) -> str:
    if event.cause is not None:
        return f"{step_name(event.cause)} did not complete"
    return SKIPPED[event.reason.value]


class Lines:
    """Implements ``Progress`` by one plain line on stderr for each thing that happens."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._teller = Teller()

    def begin(self, states: Sequence[JsonObject]) -> None:
        """Take the states of the run."""
        self._teller.begin(states)

    def event(self, envelope: ev.Envelope) -> None:
        """Write a durable event, if it says something."""
        told = self._teller.tell(envelope)
        if told is not None:
            self._streams.note(f"{told.name}: {told.text}")

    def message(self, state_id: str, text: str) -> None:
        """Write a line of progress from a step."""
        self._streams.note(f"{step_name(state_id)}: {one_line(text)}")

    def end(self) -> None:
        """Stop telling; every line is out already."""
