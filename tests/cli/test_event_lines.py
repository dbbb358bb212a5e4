"""Events as lines for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from durum.cli.event_lines import EventLines
from durum.cli.streams import Streams
from durum.core import events as ev

if TYPE_CHECKING:
    from durum.core.canonical import JsonObject

STATE = "wf.fetch.main"
ERROR: JsonObject = {"info": {"code": "busy", "message": "no\nanswer", "details": None}, "state_id": STATE}

SAID: dict[str, tuple[JsonObject, str]] = {
    "run.started": ({"op_id": "wf"}, "wf"),
    "state.entered": ({"attempt": 1}, "attempt 2"),
    "state.completed": ({"writes": [["a", [1], "set"], ["b", [1], "append"]]}, "writes a, b"),
    "state.failed": ({"error": ERROR}, "no answer (busy)"),
    "state.skipped": ({"reason": "upstream", "cause": "wf.a.main"}, "upstream: a did not complete"),
    "retry.scheduled": ({"attempt": 2, "delay_ms": 250}, "attempt 3 in 250 ms"),
    "fact.recorded": ({"namespace": "http", "outcome": "error", "payload_id": "ab" * 32}, "http error  abababababababab"),
    "effect.intended": ({"namespace": "http", "effect_key": "k"}, "http k"),
    "domain": ({"name": "heard", "payload": {"x": [1]}}, 'heard {"x":[1]}'),
    "code.changed": ({"steps": [STATE, "wf.b.main"]}, "fetch, b"),
    "run.paused": ({"reason": "effect_unknown", "detail": "did it happen?"}, "effect_unknown: did it happen?"),
    "run.resumed": ({"decision": "fire again"}, "fire again"),
    "run.completed": ({"status": "completed"}, "completed"),
    "from.the.future": ({"what": "\x1b"}, '{"what":"\\u001b"}'),
}


def line(kind: str, fields: JsonObject) -> str:
    """Return the line of an event."""
    envelope: JsonObject = {"seq": 7, "ts_millis": 1, "state_id": STATE, "event": {"kind": kind, **fields}}
    return EventLines([STATE]).line(envelope, Streams()).plain


@pytest.mark.parametrize("kind", SAID)
def test_each_kind_says_what_matters(kind: str) -> None:
    """One of a later version is shown as it stands."""
    fields, said = SAID[kind]
    shown = line(kind, fields)
    assert shown.startswith("    7  ")
    assert f"{kind:<17}fetch  {said}" in shown


def test_no_kind_is_forgotten() -> None:
    """A new event kind gets a line of its own."""
    kinds = {event.kind for event in ev.Event.__subclasses__() if event.kind}
    assert kinds - SAID.keys() == set()


def test_a_failed_run_says_why() -> None:
    """If the failure is the run's own."""
    error: JsonObject = {"code": "context_conflict", "message": "two writers", "details": None}
    assert line("run.completed", {"status": "failed", "error": {"info": error}}).endswith(
        "failed: two writers (context_conflict)"
    )
    assert line("state.completed", {"writes": None}).endswith("fetch  ")
