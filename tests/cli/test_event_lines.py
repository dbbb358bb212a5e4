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
STATES: list[JsonObject] = [{"state_id": STATE, "path": ""}, {"state_id": "wf.f.i3", "path": "f[3]"}]
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
    "effect.settled": ({"happened": False, "source": "answer", "effect_key": "k"}, "did not happen (answer)  k"),
    "plan.extended": ({"count": 1000}, "1,000 items"),
    "gate.opened": ({"gate": "pay", "digest": "ab" * 32, "prompt": "did\nit?"}, "pay@abababab  did it?"),
    "gate.answered": (
        {"gate": "pay", "digest": "ab" * 32, "answer": {"happened": True}, "actor": "anna", "reason": "I looked"},
        'pay@abababab  {"happened":true}  by anna: I looked',
    ),
    "child.spawned": ({"child_run_id": "0189", "op_id": "kid"}, "0189  kid"),
    "child.completed": ({"child_run_id": "0189", "status": "failed"}, "0189  failed"),
    "cancel.requested": ({"actor": "anna", "reason": "enough"}, "by anna: enough"),
    "run.paused": ({"actor": "anna"}, "by anna"),
    "run.resumed": ({"actor": "anna"}, "by anna"),
    "run.completed": ({"status": "completed"}, "completed"),
    "from.the.future": ({"what": "\x1b"}, '{"what":"\\u001b"}'),
}


def line(kind: str, fields: JsonObject) -> str:
    """Return the line of an event."""
    envelope: JsonObject = {"seq": 7, "ts_millis": 1, "state_id": STATE, "event": {"kind": kind, **fields}}
    return EventLines(STATES).line(envelope, Streams()).plain


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


def test_an_attempt_whose_process_ended_is_no_failure() -> None:
    """It was interrupted; which one it was is said."""
    info: JsonObject = {"code": "orphan_attempt_recovered", "message": "the process ended", "details": None}
    event: JsonObject = {"kind": "state.failed", "error": {"info": info, "state_id": STATE}}
    envelope: JsonObject = {"seq": 7, "ts_millis": 1, "state_id": STATE, "attempt": 1, "event": event}
    assert EventLines(STATES).line(envelope, Streams()).plain.endswith("fetch  attempt 2 was interrupted")


def test_a_failed_run_says_why() -> None:
    """If the failure is the run's own."""
    error: JsonObject = {"code": "context_conflict", "message": "two writers", "details": None}
    assert line("run.completed", {"status": "failed", "error": {"info": error}}).endswith(
        "failed: two writers (context_conflict)"
    )
    assert line("state.completed", {"writes": None}).endswith("fetch  ")


def test_items_have_their_path() -> None:
    """As do those that came into the plan after the lines began."""
    lines = EventLines(STATES)
    for state, name in {"wf.f.i3": "f[3] ", "wf.f.i17": "f[17]"}.items():
        envelope: JsonObject = {"seq": 1, "ts_millis": 1, "state_id": state, "event": {"kind": "state.entered", "attempt": 0}}
        assert f"state.entered    {name}  attempt 1" in lines.line(envelope, Streams()).plain


def test_a_large_answer_is_left_to_its_artifact() -> None:
    """The line says who."""
    fields: JsonObject = {"gate": "pay", "digest": "ab" * 32, "answer": None, "answer_ref": "cd" * 32, "actor": "anna"}
    assert line("gate.answered", fields).endswith("pay@abababab  by anna")
