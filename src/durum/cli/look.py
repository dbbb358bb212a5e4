"""Verbs that look: nothing here changes a run, and nothing creates a store."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Annotated

import typer

from durum.cli.verb import ExitCode, Session, verb
from durum.cli.words import (
    SKIPPED,
    ago,
    attempt_of,
    failure_text,
    moment,
    number_in,
    one_line,
    run_error_text,
    span,
    step_name,
    visible,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.text import Text

    from durum.app.service import Durum
    from durum.core.canonical import JsonObject, JsonValue

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="The run's id, or a unique beginning of it.")]

_POLL_SECONDS = 0.2
_OVER = frozenset({"completed", "failed", "cancelled", "compensated", "partially_compensated"})
_WIDE = 110  # columns from which whole run ids fit
_SHORT_ID = 13  # a UUIDv7's moment of birth


@verb
def ls(session: Session) -> int:
    """List the runs, newest first."""
    with session.open() as service:
        runs = service.runs()
    if session.json:
        session.print_json(*runs)
        return ExitCode.OK
    if not runs:
        session.streams.note("no runs yet; start one with: durum run TARGET")
        return ExitCode.OK
    from durum.cli.render import rendered, status_text, table, width_of

    width = width_of(session.streams)
    short = _short_ids([str(run["run_id"]) for run in runs]) if width < _WIDE else {}
    rows: list[list[str | Text]] = [
        [
            short.get(str(run["run_id"]), str(run["run_id"])),
            str(run["op_id"] or ""),
            status_text(str(run["status"])),
            _done(run["states"]),
            _since(run, "started_ms", session),
            _took(run),
        ]
        for run in runs
    ]
    columns = ("run", "workflow", "status", "states", "started", "took")
    session.streams.data(rendered(session.streams, *table(columns, rows, width, right=("states", "took"), cut="workflow")))
    return ExitCode.OK


def _short_ids(identities: Sequence[str]) -> dict[str, str]:
    """Return for each id a beginning that no other shares."""
    length = _SHORT_ID
    while len({identity[:length] for identity in identities}) < len(identities):
        length += 1
    return {identity: identity[:length] for identity in identities}


def _since(run: JsonObject, field: str, session: Session) -> str:
    ms = run[field]
    if not isinstance(ms, int):
        return ""
    return ago(ms) if session.streams.data_is_terminal else moment(ms)


def _took(run: JsonObject) -> str:
    started, updated = run["started_ms"], run["updated_ms"]
    return span(updated - started) if isinstance(started, int) and isinstance(updated, int) else ""


def _done(states: JsonValue) -> str:
    if not isinstance(states, dict):
        return ""
    return f"{states.get('completed', 0)}/{sum(map(number_in, states.values()))}" if states else ""


@verb
def show(session: Session, run: RunArgument) -> int:
    """Show a run and its states."""
    with session.open() as service:
        summary = service.show(run)
        states = [] if session.json else service.states(run)
    if session.json:
        session.print_json(summary)
        return ExitCode.OK
    from rich.text import Text

    from durum.cli.render import STYLES, facts_of, rendered, status_text, table, width_of

    status = str(summary["status"])
    heading = Text.assemble((str(summary["op_id"]), "bold"), "  ", (status, f"bold {STYLES.get(status, '')}".strip()))
    columns = ("state", "status", "attempts", "time", "")
    rows: list[list[str | Text]] = [
        [
            step_name(row["state_id"]),
            status_text(str(row["status"])),
            _attempts(row),
            span(row["duration_ms"] if isinstance(row["duration_ms"], int) and row["status"] != "running" else None),
            _note(row),
        ]
        for row in states
    ]
    lines = table(columns, rows, width_of(session.streams), right=("time",), cut="")
    session.streams.data(rendered(session.streams, *facts_of(heading, _about(summary)), Text(), *lines))
    if status not in _OVER and status != "running":
        session.streams.note(_go_on(session, summary))
    return ExitCode.OK


def _go_on(session: Session, summary: JsonObject) -> str:
    """Return how to drive a run on; where it came from is not in the store, so the file's name is a blank to fill."""
    words = ("resume", str(summary["run_id"]), "--with", "FILE.py")
    if summary["paused_effect"]:
        return f"if it did not happen, try it again with: {session.command(*words, '--repeat', str(summary['paused_effect']))}"
    return f"resume it with: {session.command(*words)}"


def _about(summary: JsonObject) -> dict[str, str]:
    over = summary["status"] in _OVER
    last = f"took {_took(summary)}" if over else f"last event {ago(number_in(summary['updated_ms']))}"
    lines = {
        "run": str(summary["run_id"]),
        "version": str(summary["op_version"]),
        "started": f"{moment(number_in(summary['started_ms']))}, {last}",
        "events": str(summary["head_seq"]),
        "head": str(summary["head_hash"]),
        "snapshot": str(summary["final_snapshot_id"] or ""),
        "error": run_error_text(summary["error"]),
        "waits for": one_line(str(summary["paused"] or "")),
    }
    return {label: text for label, text in lines.items() if text}


def _attempts(row: JsonObject) -> str:
    number, most = number_in(row["attempts"]), number_in(row["max_attempts"])
    return attempt_of(number, most).removeprefix("attempt ") if number else ""


def _note(row: JsonObject) -> str:
    if row["error"] is not None:
        return failure_text(row["error"])
    writes, skipped = row["writes"], row["skipped"]
    if skipped:
        return SKIPPED.get(str(skipped), str(skipped))
    return f"writes {', '.join(map(str, writes))}" if isinstance(writes, list) and writes else ""


@verb
def events(
    session: Session,
    run: RunArgument,
    from_: Annotated[int, typer.Option("--from", metavar="SEQ", min=1, help="The first event to print.")] = 1,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run is over or Ctrl-C.")] = False,  # noqa: FBT002
) -> int:
    """Print a run's log, one event a line."""
    with session.open() as service:
        identity = str(service.show(run)["run_id"])
        emit = _emitter(session, service, identity)
        stopped: list[int] = []
        if follow:  # a flag, not an exception: that could hit the event loop while it is being made
            signal.signal(signal.SIGINT, lambda number, _: stopped.append(number))
            signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
        _print_events(service, identity, from_, emit, lambda: not follow or bool(stopped))
    return ExitCode.OK


def _print_events(
    service: Durum, run_id: str, seq: int, emit: Callable[[Sequence[JsonObject]], None], enough: Callable[[], bool]
) -> None:
    while True:
        over = enough() or service.show(run_id)["status"] in _OVER  # asked first, so that no last event is missed
        found = service.events(run_id, seq)
        if found:
            emit(found)
            seq = number_in(found[-1]["seq"]) + 1
        if over:
            return
        time.sleep(_POLL_SECONDS)


def _emitter(session: Session, service: Durum, run_id: str) -> Callable[[Sequence[JsonObject]], None]:
    if session.json:
        return lambda found: session.print_json(*found)
    from durum.cli.event_lines import EventLines
    from durum.cli.render import rendered

    lines = EventLines([str(row["state_id"]) for row in service.states(run_id)])
    return lambda found: session.streams.data(
        rendered(session.streams, *(lines.line(event, session.streams) for event in found))
    )


@verb
def context(
    session: Session,
    run: RunArgument,
    key: Annotated[str | None, typer.Argument(metavar="KEY", help="One key of it.")] = None,
    at: Annotated[int | None, typer.Option(metavar="SEQ", help="As of this event; default: now.")] = None,
) -> int:
    """Print a run's context, or one key of it."""
    with session.open() as service:
        value = service.context(run, key, at=at)
    if session.json:
        session.print_json(value)
        return ExitCode.OK
    import msgspec

    session.streams.data(visible(msgspec.json.format(msgspec.json.encode(value), indent=2).decode()))
    return ExitCode.OK


@verb
def facts(session: Session, run: RunArgument) -> int:
    """List what came from outside: every recorded call."""
    with session.open() as service:
        rows = service.facts(run)
    if session.json:
        session.print_json(*rows)
        return ExitCode.OK
    if not rows:
        session.streams.note("this run recorded no calls")
        return ExitCode.OK
    from rich.text import Text

    from durum.cli.render import rendered, table, width_of

    columns = ("seq", "state", "attempt", "call", "outcome", "payload")
    cells: list[list[str | Text]] = [
        [
            str(row["seq"]),
            step_name(row["state_id"]),
            str(number_in(row["attempt"]) + 1),
            str(row["namespace"]),
            Text(str(row["outcome"]), "" if row["outcome"] == "success" else "red"),
            str(row["payload_id"]),
        ]
        for row in rows
    ]
    lines = table(columns, cells, width_of(session.streams), right=("seq", "attempt"))
    session.streams.data(rendered(session.streams, *lines))
    if session.streams.data_is_terminal:
        session.streams.note(f"read one with: {session.command('artifact', 'PAYLOAD')}")
    return ExitCode.OK


@verb
def artifact(session: Session, artifact_id: Annotated[str, typer.Argument(metavar="ID", help="64 hex digits.")]) -> int:
    """Write an artifact's bytes to stdout."""
    with session.open() as service:
        data = service.artifact(artifact_id)
    if not session.json:
        session.streams.raw(data)
        return ExitCode.OK
    import base64

    try:
        text, encoding = data.decode(), "utf-8"
    except UnicodeDecodeError:
        text, encoding = base64.b64encode(data).decode(), "base64"
    session.print_json({"artifact_id": artifact_id, "size": len(data), "encoding": encoding, "data": text})
    return ExitCode.OK


@verb
def graph(session: Session, what: Annotated[str, typer.Argument(metavar="RUN|TARGET", help="A run, or a workflow.")]) -> int:
    """Show a plan by waves."""
    with session.streams.aside():
        waves = _waves(session, what)
    if session.json:
        session.print_json({"waves": [*waves]})
        return ExitCode.OK
    from durum.cli.render import rendered
    from durum.cli.waves import wave_lines

    session.streams.data(rendered(session.streams, *wave_lines(waves)))
    return ExitCode.OK


def _waves(session: Session, what: str) -> list[JsonObject]:
    """Return the waves of a run, or of a TARGET: for that no store is needed."""
    from durum.app.service import graph_of

    if ".py" in what or ":" in what:
        return graph_of(what)
    with session.open() as service:
        return service.graph(what)
