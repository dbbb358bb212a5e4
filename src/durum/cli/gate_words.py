"""What a gate asks, in words: which step, the request in short, why nobody knows, and whose effect it is."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from durum.cli.words import one_line, step_name
from durum.core.canonical import decode_json
from durum.errors import DurumError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from durum.app.service import Durum
    from durum.core.canonical import JsonObject, JsonValue

_LONGEST_REQUEST = 200
_DEEPEST = 16  # as deep as child runs nest
_SPAWN = ".spawn"


def asked(service: Durum, gates: Sequence[JsonObject]) -> list[JsonObject]:
    """Return gates with what they ask of the world: ``namespace``, ``request``, and ``within``, the steps of the runs above."""
    above = {run_id: _above(service, run_id) for run_id in {str(gate["run_id"]) for gate in gates}}
    return [{**gate, **_request(service, gate), "within": above[str(gate["run_id"])]} for gate in gates]


def _request(service: Durum, gate: JsonObject) -> JsonObject:
    """Return what was asked; a request that cannot be read must not hide its gate."""
    try:
        kept = decode_json(service.artifact(str(gate["request_id"])))
    except DurumError:
        kept = None
    return {"namespace": kept["namespace"], "request": kept["request"]} if isinstance(kept, dict) else {}


def _above(service: Durum, run_id: str) -> str:
    """Return the steps that started a child run and the runs above it: ``post[3]``; nothing for a run of its own."""
    steps: list[str] = []
    try:
        while len(steps) < _DEEPEST and (parent := service.show(run_id)["parent"]):
            spawned = [event for each in service.events(str(parent)) if _spawns(event := each["event"], run_id)]
            steps[:0] = [step_name(event["state_id"]).removesuffix(_SPAWN) for event in spawned if isinstance(event, dict)]
            run_id = str(parent)
    except DurumError:  # its parent is in another store
        pass
    return " > ".join(steps)


def _spawns(event: JsonValue, run_id: str) -> bool:
    return isinstance(event, dict) and event["kind"] == "child.spawned" and event["child_run_id"] == run_id


def step_text(gate: JsonObject) -> str:
    """Return which step asks, behind the steps of the runs above: ``post[3] > mail``."""
    return " > ".join(filter(None, (str(gate.get("within") or ""), str(gate.get("path") or "") or step_name(gate["state_id"]))))


def request_text(gate: JsonObject) -> str:
    """Return what was asked of the world, in short: ``exec sh -c ...``, ``http POST https://...``; nothing if unknown."""
    request = gate.get("request")
    if request is None:
        return ""
    namespace = str(gate.get("namespace", ""))
    text = _SHORT.get(namespace, _any)(request) if isinstance(request, dict) else _any(request)
    text = one_line(f"{namespace} {text}")
    return text if len(text) <= _LONGEST_REQUEST else text[: _LONGEST_REQUEST - 1] + "…"


def reason_text(prompt: object, subject: object) -> str:
    """Return a gate's prompt without the effect it names first; that stands elsewhere."""
    return one_line(str(prompt).removeprefix(f"effect {subject}: "))


def gate_text(gate: JsonObject) -> str:
    """Return all that a gate asks on one line, the telling part first."""
    reason = reason_text(gate["prompt"], gate["subject"])
    parts = (f"{step_text(gate)}: {request_text(gate) or reason}", request_text(gate) and reason)
    return "; ".join(filter(None, (*parts, f"gate {gate['gate']}", f"effect {gate['subject']}")))


def _any(request: JsonValue) -> str:
    import msgspec

    return msgspec.json.encode(request).decode()


def _exec(request: JsonObject) -> str:
    argv = request.get("argv")
    return shlex.join(map(str, argv)) if isinstance(argv, list) else _any(request)


def _named(*names: str) -> Callable[[JsonObject], str]:
    return lambda request: " ".join(str(request[name]) for name in names) if request.keys() >= {*names} else _any(request)


_SHORT: dict[str, Callable[[JsonObject], str]] = {
    "exec": _exec,
    "http": _named("method", "url"),
    "file": _named("op", "path"),
    "step": _named("step"),
}
