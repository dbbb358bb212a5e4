"""What a run tells while it is driven: one line a state event, or, on a terminal, what is under way right now."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol

from durum.cli.gate_words import reason_text
from durum.cli.items import Tallies
from durum.cli.words import SKIPPED, attempt_of, count, failure_text, number_in, one_line, span, step_name
from durum.core import events as ev
from durum.core.failure import ORPHAN_ATTEMPT_RECOVERED
from durum.engine.attempts import child_run_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durum.cli.items import Tally
    from durum.cli.streams import Streams
    from durum.core.canonical import JsonObject
    from durum.core.failure import StateError

_CANCELLED = "run_cancelled"
_ASKS = "effect_unknown"  # never the state's last failure, and the gate that opens with it says the rest
_COUNTS, _SPAWNS = ".each", ".spawn"  # what the states are called that count items and start child runs: no news by themselves

_STEERED: dict[type[ev.Event], str] = {ev.RunPaused: "paused", ev.CancelRequested: "cancelled", ev.RunResumed: "resumed"}


class Progress(Protocol):
    """Who is told how a run goes on."""

    def begin(self, states: Sequence[JsonObject]) -> None:
        """Take the states of the run; called once, before anything happens."""

    def grow(self, states: Sequence[JsonObject]) -> None:
        """Take the states again: there came to be more of them."""

    def event(self, envelope: ev.Envelope) -> None:
        """Take a durable event."""

    def child(self, envelope: ev.Envelope, root_id: str, look: str) -> None:
        """Take a durable event of a run below; ``look`` is the command that shows what waits for an answer."""

    def message(self, state_id: str, text: str) -> None:
        """Take a line of progress from a step."""

    def end(self) -> None:
        """Stop telling."""


class Told(NamedTuple):
    """One thing that happened to a state, in words."""

    kind: str  # what became of it; "tried": it failed and goes on; "items": how far a step's items are; "note": anything else
    name: str  # of the step
    text: str


class Teller:
    """Puts events into words; remembers when each attempt began, how many there may be, and how far items are."""

    def __init__(self) -> None:
        self.tallies = Tallies()
        self._most: dict[str, int] = {}
        self._begun: dict[str, int] = {}
        self._children: dict[str, str] = {}  # child run -> step that waits for it

    def take(self, states: Sequence[JsonObject]) -> None:
        """Take the names of states and how many attempts each has."""
        self.tallies.add(states)
        self._most |= {str(row["state_id"]): number_in(row["max_attempts"]) for row in states}

    def name(self, state_id: str) -> str:
        """Return what people see of a state."""
        return self.tallies.names.get(state_id) or step_name(state_id)

    def folds(self, state_id: str) -> Tally | None:
        """Return what counts a state instead of showing it, None if it is shown."""
        found = self.tallies.of(self.name(state_id))
        return found[1] if found is not None and found[1].folded else None

    def tell(self, envelope: ev.Envelope) -> Told | None:
        """Return what an event says to someone who watches; None if nothing."""
        say = self._say.get(type(envelope.event))
        told = None if say is None else say(self, envelope, envelope.event)
        told = None if told is None else self._counted(told, envelope.ts_millis)
        return None if told is None or self._is_no_news(told) else told

    def _is_no_news(self, told: Told) -> bool:
        """Tell whether a line would repeat what another one says: of items that are counted, of a child run that starts."""
        if told.kind == "started" and told.name in self.tallies.steps:
            return True
        return told.name.endswith((_COUNTS, _SPAWNS)) and (told.text == "started" or told.kind == "completed")

    def _counted(self, told: Told, ts_millis: int) -> Told | None:
        """Count what is told of an item; of many items only now and then something is told."""
        found = self.tallies.of(told.name)
        if found is None:
            return told
        item, tally = found
        if told.kind == "started":
            tally.start(item, ts_millis)
        elif told.kind in {"completed", "failed", "skipped", "cancelled"}:
            tally.end(item, failed=told.kind == "failed")
        if not tally.folded or told.kind == "waiting" or (told.kind in {"failed", "tried"} and tally.loud):
            return told
        return Told("items", tally.step, tally.text()) if tally.due(ts_millis) else None

    def attempt(self, state_id: str, attempt: int) -> str:
        """Return which attempt of how many it is."""
        return attempt_of(attempt + 1, self._most.get(state_id, 0))

    # --- one method an event ------------------------------------------------------------------------------------------

    def _entered(self, envelope: ev.Envelope, event: ev.StateEntered) -> Told:
        self._begun[event.state_id] = envelope.ts_millis
        text = f"{self.attempt(event.state_id, event.attempt)} started" if event.attempt else "started"
        return Told("started", self.name(event.state_id), text)

    def _completed(self, envelope: ev.Envelope, event: ev.StateCompleted) -> Told:
        took = span(envelope.ts_millis - self._begun.pop(event.state_id, envelope.ts_millis))
        name = self.name(event.state_id)
        if name in self.tallies.steps:
            return Told("completed", name, f"completed, {count(self.tallies.steps[name].total, 'item')}")
        return Told("completed", name, f"completed in {took}")

    def _failed(self, envelope: ev.Envelope, event: ev.StateFailed) -> Told | None:
        info, attempt = event.error.info, envelope.attempt or 0
        if info.code == _ASKS:
            return None
        if info.code == ORPHAN_ATTEMPT_RECOVERED:  # never the state's last
            return Told("tried", self.name(event.state_id), f"attempt {attempt + 1} was interrupted")
        if info.code == _CANCELLED:
            return Told("cancelled", self.name(event.state_id), "cancelled")
        which = f"{self.attempt(event.state_id, attempt)} " if info.retryable else ""
        again = info.retryable and attempt + 1 < self._most.get(event.state_id, 0)
        text = f"{which}failed: {failure_text(_as_json(event.error))}"
        return Told("tried" if again else "failed", self.name(event.state_id), text)

    def _retry(self, envelope: ev.Envelope, event: ev.RetryScheduled) -> Told:
        del envelope
        text = f"{self.attempt(event.state_id, event.attempt)} in {span(event.delay_ms)}"
        return Told("retrying", self.name(event.state_id), text)

    def _skipped(self, envelope: ev.Envelope, event: ev.StateSkipped) -> Told:
        del envelope
        why = SKIPPED[event.reason.value] if event.cause is None else f"{self.name(event.cause)} did not complete"
        return Told("skipped", self.name(event.state_id), f"skipped: {why}")

    def _extended(self, envelope: ev.Envelope, event: ev.PlanExtended) -> Told:
        del envelope
        return Told("note", self.name(event.state_id).removesuffix(_COUNTS), count(event.count, "item"))

    def _opened(self, envelope: ev.Envelope, event: ev.GateOpened) -> Told:
        del envelope
        why = reason_text(event.prompt, event.subject)
        return Told("waiting", self.name(event.state_id), f"waits for an answer: {why}; effect {event.subject}")

    def _answered(self, envelope: ev.Envelope, event: ev.GateAnswered) -> Told:
        name = self.name(envelope.state_id) if envelope.state_id else event.gate
        return Told("note", name, f"answered by {one_line(event.actor)}")

    def _settled(self, envelope: ev.Envelope, event: ev.EffectSettled) -> Told | None:
        if event.source == "answer" or envelope.state_id is None:
            return None
        return Told(
            "note", self.name(envelope.state_id), f"its effect {'happened' if event.happened else 'did not happen'} before"
        )

    def _spawned(self, envelope: ev.Envelope, event: ev.ChildSpawned) -> Told:
        del envelope
        name = self.name(event.state_id).removesuffix(_SPAWNS)
        self._children[event.child_run_id] = name
        return Told("note", name, f"child run {event.child_run_id} of {event.op_id} started")

    def _child_over(self, envelope: ev.Envelope, event: ev.ChildCompleted) -> Told:
        name = self._child_name(envelope.run_id, event.child_run_id)
        return Told("note", name, f"child run {event.child_run_id} {event.status.value}")

    def tell_child(self, envelope: ev.Envelope, root_id: str, look: str) -> Told | None:
        """Return what an event of a run below says to someone who watches the one above; ``look`` shows what it asks."""
        match envelope.event:
            case ev.ChildSpawned(child_run_id=child, state_id=state):
                above = self._child_name(root_id, envelope.run_id)
                self._children[child] = f"{above} > {step_name(state).removesuffix(_SPAWNS)}"
            case ev.GateOpened(state_id=state):
                name = f"{self._child_name(root_id, envelope.run_id)} > {step_name(state)}"
                return Told("waiting", name, f"waits for an answer: {look}")
        return None

    def _child_name(self, run_id: str, child: str) -> str:
        """Return the step that waits for a child run, also of one that an earlier process started."""
        if child not in self._children:
            spawns = {state: name for state, name in self.tallies.names.items() if name.endswith(_SPAWNS)}
            known = {child_run_id(run_id, state): name.removesuffix(_SPAWNS) for state, name in spawns.items()}
            self._children = known | self._children
        return self._children.get(child, "run")

    def _steered(self, envelope: ev.Envelope, event: ev.RunPaused | ev.CancelRequested | ev.RunResumed) -> Told:
        del envelope
        word = _STEERED[type(event)]
        reason = "" if isinstance(event, ev.RunResumed) or not event.reason else f": {one_line(event.reason)}"
        return Told("note", "run", f"{word} by {one_line(event.actor)}{reason}")

    def _changed(self, envelope: ev.Envelope, event: ev.CodeChanged) -> Told:
        del envelope
        return Told("note", "run", f"goes on with changed code: {', '.join(map(self.name, event.steps))}")

    _say: ClassVar[dict[type[ev.Event], Callable[..., Told | None]]] = {
        ev.StateEntered: _entered,
        ev.StateCompleted: _completed,
        ev.StateFailed: _failed,
        ev.RetryScheduled: _retry,
        ev.StateSkipped: _skipped,
        ev.PlanExtended: _extended,
        ev.GateOpened: _opened,
        ev.GateAnswered: _answered,
        ev.EffectSettled: _settled,
        ev.ChildSpawned: _spawned,
        ev.ChildCompleted: _child_over,
        ev.RunPaused: _steered,
        ev.CancelRequested: _steered,
        ev.RunResumed: _steered,
        ev.CodeChanged: _changed,
    }


def _as_json(error: StateError) -> JsonObject:
    from durum.history.views import error_json

    return error_json(error)


class Lines:
    """Implements ``Progress`` by one plain line on stderr for each thing that happens."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._teller = Teller()

    def begin(self, states: Sequence[JsonObject]) -> None:
        """Take the states of the run."""
        self._teller.take(states)

    def grow(self, states: Sequence[JsonObject]) -> None:
        """Take the states there are now."""
        self._teller.take(states)

    def event(self, envelope: ev.Envelope) -> None:
        """Write a durable event, if it says something."""
        self._write(self._teller.tell(envelope))

    def child(self, envelope: ev.Envelope, root_id: str, look: str) -> None:
        """Write a durable event of a run below, if it says something."""
        self._write(self._teller.tell_child(envelope, root_id, look))

    def _write(self, told: Told | None) -> None:
        if told is not None:
            self._streams.note(f"{told.name}: {told.text}")

    def message(self, state_id: str, text: str) -> None:
        """Write a line of progress from a step; those of many items would drown the others."""
        if self._teller.folds(state_id) is None:
            self._streams.note(f"{self._teller.name(state_id)}: {one_line(text)}")

    def end(self) -> None:
        """Stop telling; every line is out already."""
