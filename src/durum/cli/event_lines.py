"""An event as one line: where it stands, when it came, what happened to which state."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from rich.text import Text

from durum.cli.render import width_of
from durum.cli.words import count, failure_text, number_in, one_line, span, state_name, step_name, time_of_day
from durum.core.failure import ORPHAN_ATTEMPT_RECOVERED
from durum.core.gates import SHOWN_DIGITS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from durum.cli.streams import Streams
    from durum.core.canonical import JsonObject, JsonValue

_STYLES = {
    "run.started": "bold",
    "run.completed": "bold",
    "state.completed": "green",
    "state.failed": "red",
    "state.skipped": "dim",
    "retry.scheduled": "yellow",
    "effect.intended": "magenta",
    "fact.recorded": "blue",
    "domain": "cyan",
    "effect.settled": "magenta",
    "plan.extended": "cyan",
    "gate.opened": "magenta",
    "gate.answered": "magenta",
    "child.spawned": "cyan",
    "child.completed": "cyan",
    "cancel.requested": "magenta",
    "run.paused": "magenta",
    "run.resumed": "magenta",
    "code.changed": "magenta",
}
_WIDEST_NAME = 28


class EventLines:
    """Makes lines whose columns fit one run."""

    def __init__(self, states: Sequence[JsonObject]) -> None:
        self._names = {str(row["state_id"]): state_name(row) for row in states}
        self._width = min(_WIDEST_NAME, max(map(len, self._names.values()), default=0))

    def line(self, envelope: JsonObject, streams: Streams) -> Text:
        """Return an event's line, cut to the window if there is one."""
        event = envelope["event"]
        assert isinstance(event, dict)
        kind = str(event["kind"])
        state_id = str(envelope["state_id"] or event.get("state_id") or "")
        state = self._names.get(state_id) or (step_name(state_id) if state_id else "")
        text = Text.assemble(
            (f"{envelope['seq']:>5}  ", "dim"),
            (time_of_day(number_in(envelope["ts_millis"])) + "  ", "dim"),
            (kind.ljust(17), _STYLES.get(kind, "")),
            state.ljust(self._width) + "  ",
            one_line(_detail(kind, event, envelope)),
        )
        text.truncate(width_of(streams), overflow="ellipsis")
        return text


def _detail(kind: str, event: JsonObject, envelope: JsonObject) -> str:
    error = event.get("error")
    info = error["info"] if kind == "state.failed" and isinstance(error, dict) else None
    if isinstance(info, dict) and info["code"] == ORPHAN_ATTEMPT_RECOVERED:
        return f"attempt {number_in(envelope['attempt']) + 1} was interrupted"
    return _DETAILS.get(kind, _anything)(event)


def _json(value: JsonValue) -> str:
    return msgspec.json.encode(value).decode()


def _writes(event: JsonObject) -> str:
    writes = event.get("writes")
    names = [str(write[0]) for write in writes if isinstance(write, list)] if isinstance(writes, list) else []
    return f"writes {', '.join(names)}" if names else ""


def _completed(event: JsonObject) -> str:
    why = _failed(event)
    return f"{event['status']}: {why}" if why else str(event["status"])


def _failed(event: JsonObject) -> str:
    error = event.get("error")
    return failure_text(error["info"]) if isinstance(error, dict) else ""


def _skipped(event: JsonObject) -> str:
    cause = event.get("cause")
    return str(event["reason"]) + (f": {step_name(cause)} did not complete" if cause else "")


def _retry(event: JsonObject) -> str:
    return f"attempt {number_in(event['attempt']) + 1} in {span(number_in(event['delay_ms']))}"


def _settled(event: JsonObject) -> str:
    return f"{'happened' if event['happened'] else 'did not happen'} ({event['source']})  {event['effect_key']}"


def _opened(event: JsonObject) -> str:
    return f"{event['gate']}@{str(event['digest'])[:SHOWN_DIGITS]}  {event['prompt']}"


def _answered(event: JsonObject) -> str:
    answer = "" if event.get("answer_ref") else "  " + _json(event["answer"])
    return f"{event['gate']}@{str(event['digest'])[:SHOWN_DIGITS]}{answer}  {_by(event)}"


def _by(event: JsonObject) -> str:
    return f"by {event['actor']}" + (f": {event['reason']}" if event.get("reason") else "")


def _anything(event: JsonObject) -> str:
    return _json({key: value for key, value in event.items() if key != "kind"})


_DETAILS: dict[str, Callable[[JsonObject], str]] = {
    "run.started": lambda event: str(event["op_id"]),
    "state.entered": lambda event: f"attempt {number_in(event['attempt']) + 1}",
    "state.completed": _writes,
    "state.failed": _failed,
    "state.skipped": _skipped,
    "retry.scheduled": _retry,
    "fact.recorded": lambda event: f"{event['namespace']} {event['outcome']}  {str(event['payload_id'])[:16]}",
    "effect.intended": lambda event: f"{event['namespace']} {event['effect_key']}",
    "domain": lambda event: f"{event['name']} {_json(event['payload'])}",
    "code.changed": lambda event: ", ".join(map(step_name, event["steps"] if isinstance(event["steps"], list) else ())),
    "effect.settled": _settled,
    "plan.extended": lambda event: count(number_in(event["count"]), "item"),
    "gate.opened": _opened,
    "gate.answered": _answered,
    "child.spawned": lambda event: f"{event['child_run_id']}  {event['op_id']}",
    "child.completed": lambda event: f"{event['child_run_id']}  {event['status']}",
    "cancel.requested": _by,
    "run.paused": _by,
    "run.resumed": _by,
    "run.completed": _completed,
}
