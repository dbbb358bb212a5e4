"""What a process of a crash test does: drives the run of a round, answers what it asks, or judges what became of it."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from durum.app import service as services
from durum.app import wiring
from durum.core.canonical import digest
from durum.core.config import RunConfig
from durum.core.facts import outcome
from durum.core.state import UnknownEffect
from durum.engine.live_io import LiveIo
from durum.errors import AnswerError, DurumError
from durum.testing.crash.boundaries import Boundaries, WatchedStore, call_site, watch_system
from durum.testing.crash.journal import Line, read_lines, verdict, why_unknown, write_line
from durum.testing.crash.judge import judge
from durum.testing.crash.task import UNKNOWN_EFFECT, Answers, Files

if TYPE_CHECKING:
    from collections.abc import Callable

    from durum.core.canonical import JsonObject
    from durum.core.state import Happened, IoCall
    from durum.engine.engine import Store
    from durum.ports import StoredEvent
    from durum.testing.crash.harness import Harness
    from durum.testing.crash.task import Task

REFUSED, BROKEN = 3, 1


def perform(task: Task, harness: Harness) -> int:
    """Do a task and return the exit code of the process."""
    try:
        os.chdir(task.desk)
        harness.prepare()
        files = Files(Path(task.folder))
        if task.verb == "judge":
            files.result.write_bytes(msgspec.json.encode(judge(task, files, harness)))
        else:
            _watch(task, files, harness)
            with services.Durum(files.url, entropy=harness.entropy()) as service:
                _act(task, files, harness, service)
    except DurumError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return REFUSED
    except Exception:  # noqa: BLE001 - whoever asked is told by the exit code and the last line
        sys.stderr.write(traceback.format_exc())
        return BROKEN
    return 0


def _act(task: Task, files: Files, harness: Harness, service: services.Durum) -> None:
    match task.verb:
        case "start":
            config = RunConfig(max_concurrency=task.max_concurrency)
            service.start(task.target, task.inputs, texts=task.texts, run_id=task.run_id, config=config)
        case "resume":
            service.resume(task.run_id, task.target)
        case "answer":
            files.result.write_bytes(msgspec.json.encode(_answer(files, harness, service)))


# --- watching ---------------------------------------------------------------------------------------------------------


def _watch(task: Task, files: Files, harness: Harness) -> None:
    """Put what counts boundaries and keeps the journal between this process and everything it writes to."""
    boundaries = Boundaries(files.crossings, task.kill, inside=harness.knows_effects)
    acknowledged = os.open(files.acknowledged, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def tell(run_id: str, events: list[StoredEvent]) -> None:
        os.write(acknowledged, "".join(f"{run_id} {event.seq} {event.hash.hex()}\n" for event in events).encode())

    def open_watched(url: str, *, create: bool) -> Store:
        watched: Any = WatchedStore(harness.open_store(url, create=create), boundaries, tell)
        return watched  # type: ignore[no-any-return] # it has whatever the other one has

    wiring.open_store = open_watched
    watch_system(boundaries)
    LiveIo.outcome_of = _watched_calls(boundaries, files.journal)  # type: ignore[method-assign]


def _watched_calls(boundaries: Boundaries, journal: Path) -> Callable[..., Any]:
    """Return what performs a live call, its two sides boundaries; one that is an effect stands in the journal."""
    plain = LiveIo.outcome_of

    async def watched(io: LiveIo, call: IoCall, effect_key: str | None) -> object:
        attempt, site = io.attempt, call_site()
        name = f"{'read' if effect_key is None else 'effect'} {call.namespace} {attempt.state_id.partition('.')[2]}"
        boundaries.cross(name, "before", site)
        if effect_key is None:
            found = await plain(io, call, None)
        else:
            request_id = digest({"namespace": call.namespace, "request": call.request})
            line = Line(effect_key, "begun", attempt.state_id, request_id, idempotent=attempt.idempotent)
            boundaries.begin_effect()
            write_line(journal, line)
            try:
                found = await plain(io, call, effect_key)
                write_line(journal, _ended(line, *found[:2]))
            except BaseException:
                write_line(journal, msgspec.structs.replace(line, what="given_up"))
                raise
            finally:
                boundaries.end_effect()
        boundaries.cross(name, "after", site)
        return found

    return watched


def _ended(line: Line, payload: bytes, result: str) -> Line:
    if result == "success":
        return msgspec.structs.replace(line, what="done", result=outcome(payload))
    return msgspec.structs.replace(line, what="failed", code=str(msgspec.json.decode(payload)["error"]["code"]))


# --- answering --------------------------------------------------------------------------------------------------------


def _answer(files: Files, harness: Harness, service: services.Durum) -> Answers:
    """Answer every open gate that asks for an unknown effect, as ``durum answer`` would."""
    lines, answers = read_lines(files.journal), Answers()
    found: Happened | bool | None
    for gate in service.gates():
        if gate["kind"] != UNKNOWN_EFFECT:
            continue
        found = verdict(lines, str(gate["subject"]))
        if found is None:
            found = _asked(harness, service, gate)
        if found is None:
            answers.open.append(f"{gate['subject']}: {why_unknown(lines, str(gate['subject']))}")
            continue
        try:
            service.answer(str(gate["run_id"]), str(gate["gate"]), _fields(found), actor="crash-test")
        except AnswerError as error:
            answers.open.append(str(error))
        else:
            answers.happened += found is not False
            answers.did_not += found is False
    return answers


def _asked(harness: Harness, service: services.Durum, gate: JsonObject) -> Happened | bool | None:
    request = msgspec.json.decode(service.artifact(str(gate["request_id"])))
    return harness.witness(UnknownEffect(str(gate["subject"]), request["namespace"], request["request"]))


def _fields(found: Happened | bool) -> dict[str, object]:  # noqa: FBT001 - a verdict
    if found is False:
        return {"happened": False}
    if found is True or found.result is None:
        return {"happened": True}
    return {"happened": True, "result": found.result}
