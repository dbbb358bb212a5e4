"""Gates: what a durable wait for an answer shows, what it is called, and which answers fit it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from durum.core.canonical import canonical_json, decode_json, digest, normalized
from durum.core.events import GateField, GateOpened
from durum.core.secrets import refuse_secrets
from durum.errors import AnswerError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from durum.core.canonical import JsonObject, JsonValue
    from durum.errors import EffectUnknownError

SHOWN_DIGITS = 8
"""Digits of a gate's digest that people see and type."""

HAPPENED = GateField(help="whether the effect happened", name="happened", required=True, type="boolean")
RESULT = GateField(help="what it gave back, if it happened and the step needs it", name="result", required=False, type="json")
_TYPES: dict[str, tuple[type, ...]] = {"boolean": (bool,), "text": (str,), "number": (int, float)}


LEAST_RESULTS: dict[str, JsonObject] = {"exec": {"exit_code": 0}, "http": {"status": 200}}
"""What a call of a namespace gave back, if somebody only knows that it happened."""


def gate_name(state_id: str) -> str:
    """Return what the gate of a state is called: its step, and which state of it where there are several."""
    _, step, local = state_id.split(".")
    return step if local == "main" else f"{step}.{local}"


def unknown_effect_gate(state_id: str, attempt: int, unknown: EffectUnknownError) -> GateOpened:
    """Return the gate that asks whether an effect happened; each attempt's question is another one."""
    needed = f"what it gave back: {unknown.needs}, as JSON"
    result = msgspec.structs.replace(RESULT, help=needed, needed_if=HAPPENED.name) if unknown.needs else RESULT
    fields, effect_key, request_id, prompt = (HAPPENED, result), unknown.key, unknown.request_id, str(unknown)
    shown = {
        "attempt": attempt,
        "effect": effect_key,
        "fields": decode_json(msgspec.json.encode(fields)),
        "kind": "unknown_effect",
        "prompt": prompt,
        "request": request_id,
        "state": state_id,
    }
    return GateOpened(
        digest=digest(shown),
        fields=fields,
        gate=gate_name(state_id),
        gate_kind="unknown_effect",
        prompt=prompt,
        request_id=request_id,
        state_id=state_id,
        subject=effect_key,
    )


def address(gate: GateOpened) -> str:
    """Return what people type to answer a gate: its name and the digest of what was shown."""
    return f"{gate.gate}@{gate.digest[:SHOWN_DIGITS]}"


def checked_answer(gate: GateOpened, given: Mapping[str, object]) -> JsonObject:
    """Return an answer that fits its gate, as JSON.

    Raises:
        AnswerError: a field is missing, unknown or of another type.
        CanonicalJsonError, SecretsDetectedError.
    """
    answer: JsonObject = {name: normalized(value) for name, value in given.items()}
    refuse_secrets(f"the answer to {gate.gate}", canonical_json(answer))
    known = {field.name: field for field in gate.fields}
    for name in answer:
        if name not in known:
            raise AnswerError(gate.gate, f"it has no field {name!r}; its fields are {', '.join(known)}")
    for field in gate.fields:
        if field.name not in answer:
            if field.required or answer.get(field.needed_if) is True:
                raise AnswerError(gate.gate, f"field {field.name} is missing ({field.help}); give {field.name}=VALUE")
        elif not _fits(field, answer[field.name]):
            raise AnswerError(gate.gate, f"field {field.name} is a {field.type}, not {answer[field.name]!r}"[:300])
    if answer.get("happened") is False and "result" in answer:
        raise AnswerError(gate.gate, "an effect that did not happen has no result; leave it out")
    return answer


def _fits(field: GateField, value: JsonValue) -> bool:
    if field.type == "number" and isinstance(value, bool):
        return False
    return field.type == "json" or isinstance(value, _TYPES[field.type])
