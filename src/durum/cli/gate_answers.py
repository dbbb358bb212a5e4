"""Answers as people type them: the gate they mean, shown whole, and fields converted to what the gate asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durum.cli.words import step_name, visible
from durum.core.canonical import decode_json, parse_json
from durum.errors import AnswerError, CanonicalJsonError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from durum.app.service import Durum
    from durum.cli.verb import Session
    from durum.core.canonical import JsonObject, JsonValue

_SHORTEST_DIGEST = 8
_BOOLEANS = {"true": True, "false": False}


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


def confirmed(session: Session, service: Durum, gate: JsonObject, given: Mapping[str, str]) -> bool:
    """Show a gate whole and ask whether it is to be answered so; only ``y`` is yes."""
    from durum.cli.render import facts_of, rendered

    lines = [
        ("run", str(gate["run_id"])),
        ("step", step_name(gate["state_id"])),
        ("asks", str(gate["prompt"])),
        ("effect", str(gate["subject"])),
        ("request", _pretty(decode_json(service.artifact(str(gate["request_id"]))))),
    ]
    for field in _fields(gate):
        needed = "needed" if field["required"] else "may be left out"
        lines.append((f"field {field['name']}", f"{field['type']}, {needed}: {field['help']}"))
    session.streams.note(rendered(session.streams, *facts_of((str(gate["gate"]), "bold"), lines)))
    fields_of(gate, given)
    missing = [str(field["name"]) for field in _fields(gate) if field["required"] and field["name"] not in given]
    if missing:
        raise AnswerError(_name(gate), f"field {missing[0]} is missing; give --field {missing[0]}=VALUE")
    answer = " ".join(f"{name}={visible(text)}" for name, text in given.items())
    return session.streams.ask(f"answer it with {answer}? type y for yes: ") == "y"


def _pretty(value: JsonValue) -> str:
    import msgspec

    return visible(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def _fields(gate: JsonObject) -> list[JsonObject]:
    fields = gate["fields"]
    return [field for field in fields if isinstance(field, dict)] if isinstance(fields, list | tuple) else []
