"""Answers as people type them: the gate they mean, shown whole, and fields converted to what the gate asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durum.cli.gate_words import asked, reason_text, step_text
from durum.cli.words import visible
from durum.core.canonical import parse_json
from durum.errors import AnswerError, CanonicalJsonError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from durum.app.service import Durum
    from durum.cli.verb import Session
    from durum.core.canonical import JsonObject, JsonValue

_SHORTEST_DIGEST = 8
_BOOLEANS = {"true": True, "false": False}
_LETTERS = {"y": "true", "n": "false"}
_RESULT_OF = {"result": "happened"}  # what did not happen has none


def find_gate(service: Durum, run: str, typed: str) -> JsonObject | None:
    """Return the open gate that ``typed`` names, whatever digest stands behind it.

    Raises:
        AnswerError: it was answered before.
    """
    name, _, shown = typed.partition("@")
    for gate in service.gates(run):
        if _name(gate) == name:
            return gate
    for envelope in service.events(run):
        event = envelope["event"]
        answered = isinstance(event, dict) and event["kind"] == "gate.answered" and event["gate"] == name
        if answered and isinstance(event, dict) and str(event["digest"]).startswith(shown):
            raise AnswerError(name, f"it was answered before, by {event['actor']}; the first answer counts")
    return None


def _name(gate: JsonObject) -> str:
    return str(gate["gate"]).partition("@")[0]


def is_shown(gate: JsonObject, typed: str) -> bool:
    """Tell whether NAME@DIGEST means the gate as it stands now."""
    shown = typed.partition("@")[2]
    return len(shown) >= _SHORTEST_DIGEST and str(gate["digest"]).startswith(shown)


def fields_of(gate: JsonObject, given: Mapping[str, str]) -> dict[str, object]:
    """Return typed fields as values of the types the gate asks for; which fields there must be the service knows.

    Raises:
        AnswerError: a value is of another type.
    """
    types = {str(field["name"]): str(field["type"]) for field in _fields(gate)}
    return {name: _value(gate, name, types.get(name, "text"), text) for name, text in given.items()}


def _value(gate: JsonObject, name: str, kind: str, text: str) -> object:
    if kind == "text":
        return text
    if kind == "boolean":
        if text not in _BOOLEANS:
            raise AnswerError(_name(gate), f"field {name} is true or false, not {text!r}; give {name}=true or {name}=false")
        return _BOOLEANS[text]
    try:
        return parse_json(text.encode())
    except CanonicalJsonError as error:
        hint = f"a text stands in double quotes: --field '{name}=\"TEXT\"'" if kind == "json" else f"give for example {name}=1"
        raise AnswerError(_name(gate), f"field {name} is no JSON ({error.reason}); {hint}") from None


def asks_for_it(session: Session, service: Durum, gate: JsonObject, given: Mapping[str, str]) -> dict[str, str] | None:
    """Show a gate whole, ask for its fields unless some were given, and whether that is the answer; None if it is not."""
    (gate,) = asked(service, [gate])
    _show(session, gate)
    answers = dict(given) if given else _asked_for(session, gate)
    if answers is None:
        return None
    values = fields_of(gate, answers)
    missing = [str(field["name"]) for field in _fields(gate) if field["name"] not in values and _is_needed(field, values)]
    if missing:
        raise AnswerError(_name(gate), f"field {missing[0]} is missing; give --field {missing[0]}=VALUE")
    answer = " ".join(f"{name}={visible(text)}" for name, text in answers.items())
    return answers if session.streams.ask(f"answer it with {answer}? type y for yes: ") == "y" else None


def _show(session: Session, gate: JsonObject) -> None:
    from durum.cli.render import facts_of, rendered

    lines = [
        ("step", step_text(gate)),
        ("request", _pretty({name: gate[name] for name in ("namespace", "request") if name in gate})),
        ("asks", reason_text(gate["prompt"], gate["subject"])),
        *((f"field {field['name']}", f"{field['type']}, {_when(field)}: {field['help']}") for field in _fields(gate)),
        ("run", str(gate["run_id"])),
        ("effect", str(gate["subject"])),
    ]
    session.streams.note(rendered(session.streams, *facts_of((str(gate["gate"]), "bold"), lines)))


def _when(field: JsonObject) -> str:
    if field["required"]:
        return "needed"
    return f"needed if {field['needed_if']}=true" if field.get("needed_if") else "may be left out"


def _asked_for(session: Session, gate: JsonObject) -> dict[str, str] | None:
    """Ask for the fields of a gate one by one; None if one that is needed is left out."""
    answers: dict[str, str] = {}
    for field in _fields(gate):
        values = fields_of(gate, answers)
        if values.get(str(field.get("needed_if") or _RESULT_OF.get(str(field["name"])))) is False:
            continue
        needed = _is_needed(field, values)
        text = _typed(session, gate, field, needed=needed)
        if text:
            answers[str(field["name"])] = text
        elif needed:
            return None
    return answers


def _is_needed(field: JsonObject, values: Mapping[str, object]) -> bool:
    return bool(field["required"]) or values.get(str(field.get("needed_if"))) is True


def _typed(session: Session, gate: JsonObject, field: JsonObject, *, needed: bool) -> str:
    """Return what a person types for a field, once that is of its type; nothing if they type nothing."""
    name, empty = str(field["name"]), "answers nothing" if needed else "leaves it out"
    kind = "y or n" if field["type"] == "boolean" else str(field["type"])
    while text := session.streams.ask(f"{name}: {field['help']} ({kind}; empty {empty}): "):
        text = _LETTERS.get(text, text) if field["type"] == "boolean" else text
        try:
            fields_of(gate, {name: text})
        except AnswerError as error:
            session.streams.note(str(error))
        else:
            return text
    return ""


def _pretty(value: JsonValue) -> str:
    import msgspec

    return visible(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def _fields(gate: JsonObject) -> list[JsonObject]:
    fields = gate["fields"]
    return [field for field in fields if isinstance(field, dict)] if isinstance(fields, list) else []
