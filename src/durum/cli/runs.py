"""Verbs that show runs: all of them on a line each, and one with its states, child runs and what to type next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durum.cli.gate_words import request_text
from durum.cli.items import FEW, Folded, folded
from durum.cli.look import RunArgument
from durum.cli.next_steps import NextSteps, is_over
from durum.cli.verb import ExitCode, Session, verb
from durum.cli.words import (
    SKIPPED,
    ago,
    attempt_of,
    count,
    failure_text,
    moment,
    number_in,
    run_error_text,
    short_ids,
    span,
    state_name,
    step_name,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.text import Text

    from durum.app.service import Durum
    from durum.core.canonical import JsonObject, JsonValue

_WIDE = 110  # columns from which whole run ids fit


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
    from durum.cli.render import rendered, table, width_of

    width = width_of(session.streams)
    columns = ["run", "workflow", "status", "states", "started", "took"]
    rows = [_listed(session, run) for run in runs]
    if width < _WIDE:
        short = short_ids([str(run["run_id"]) for run in runs])
        rows = [[short[str(run["run_id"])], *row[1:]] for run, row in zip(runs, rows, strict=True)]
    elif any(run.get("parent") for run in runs):
        columns.append("parent")
        rows = [[*row, str(run.get("parent") or "")] for run, row in zip(runs, rows, strict=True)]
    session.streams.data(rendered(session.streams, *table(columns, rows, width, right=("states", "took"), cut="workflow")))
    return ExitCode.OK


def _listed(session: Session, run: JsonObject) -> list[str | Text]:
    from durum.cli.render import status_text

    return [
        str(run["run_id"]),
        ("↳ " if run.get("parent") else "") + str(run["op_id"] or ""),
        status_text(str(run["status"])),
        _done(run["states"]),
        _since(run, "started_ms", session),
        _took(run),
    ]


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
    """Show a run, its states and child runs, and what to type next."""
    with session.open() as service:
        summary = service.show(run)
        states = service.states(run)
        if session.json:
            session.print_json({**summary, "state_rows": [*states]})
            return ExitCode.OK
        steps = None if is_over(summary) else NextSteps(session, service, summary)
        children = _children(service, run)
    from rich.text import Text

    from durum.cli.render import STYLES, facts_of, rendered, width_of

    status = str(summary["status"])
    heading = Text.assemble((str(summary["op_id"]), "bold"), "  ", (status, f"bold {STYLES.get(status, '')}".strip()))
    lines = [
        *facts_of(heading, _about(summary)),
        Text(),
        *_state_lines(states, width_of(session.streams), _asks(steps, summary["run_id"])),
        *children,
    ]
    session.streams.data(rendered(session.streams, *lines))
    if steps is not None:
        session.streams.note("\n".join(f"{label}: {text}" for label, text in steps.lines()))
    return ExitCode.OK


def _about(summary: JsonObject) -> dict[str, str]:
    last = f"took {_took(summary)}" if is_over(summary) else f"last event {ago(number_in(summary['updated_ms']))}"
    lines = {
        "run": str(summary["run_id"]),
        "parent": str(summary["parent"] or ""),
        "version": str(summary["op_version"]),
        "started": f"{moment(number_in(summary['started_ms']))}, {last}",
        "events": str(summary["head_seq"]),
        "head": str(summary["head_hash"]),
        "snapshot": str(summary["final_snapshot_id"] or ""),
        "error": run_error_text(summary["error"]),
    }
    return {label: text for label, text in lines.items() if text}


def _asks(steps: NextSteps | None, run_id: object) -> dict[str, str]:
    """Return what the states of a run that wait for an answer ask of the world."""
    shown = [] if steps is None else steps.shown
    return {str(gate["state_id"]): request_text(gate) for gate in shown if gate["run_id"] == run_id}


def _state_lines(states: Sequence[JsonObject], width: int, asks: Mapping[str, str]) -> list[Text]:
    from durum.cli.render import status_text, table

    rows: list[list[str | Text]] = []
    for row in folded(states):
        if isinstance(row, Folded):
            rows.append([row.name, status_text(row.status), "", "", row.text()])
            continue
        under_way = row["status"] in {"running", "interrupted"}
        took = row["duration_ms"] if isinstance(row["duration_ms"], int) and not under_way else None
        rows.append([state_name(row), status_text(str(row["status"])), _attempts(row), span(took), _note(row, asks)])
    return table(("state", "status", "attempts", "time", ""), rows, width, right=("time",), cut="")


def _attempts(row: JsonObject) -> str:
    number, most = number_in(row["attempts"]), number_in(row["max_attempts"])
    return attempt_of(number, most).removeprefix("attempt ") if number else ""


def _note(row: JsonObject, asks: Mapping[str, str]) -> str:
    if row["status"] == "awaiting_answer":
        return asks.get(str(row["state_id"])) or "waits for an answer"
    if row["error"] is not None:
        return failure_text(row["error"])
    writes, skipped = row["writes"], row["skipped"]
    if skipped:
        return SKIPPED.get(str(skipped), str(skipped))
    return f"writes {', '.join(map(str, writes))}" if isinstance(writes, list) and writes else ""


def _children(service: Durum, run: str) -> list[Text]:
    """Return the lines of the child runs of a run, as its log tells of them."""
    from rich.text import Text

    from durum.cli.render import status_text, table

    found: dict[str, list[str | Text]] = {}
    statuses: dict[str, str] = {}
    for envelope in service.events(run):
        event = envelope["event"]
        if isinstance(event, dict) and event["kind"] == "child.spawned":
            child = str(event["child_run_id"])
            found[child] = [child, str(event["op_id"]), step_name(event["state_id"]).removesuffix(".spawn")]
        elif isinstance(event, dict) and event["kind"] == "child.completed":
            statuses[str(event["child_run_id"])] = str(event["status"])
    if not found:
        return []
    if len(found) > FEW:
        completed = sum(status == "completed" for status in statuses.values())
        others, still = len(statuses) - completed, len(found) - len(statuses)
        parts = [
            f"{completed:,} completed",
            *([f"{others:,} ended otherwise"] * bool(others)),
            *([f"{still:,} open"] * bool(still)),
        ]
        return [Text(), Text(f"{count(len(found), 'child run')}, {', '.join(parts)}")]
    rows = [[*cells, status_text(statuses.get(child) or _status(service, child))] for child, cells in found.items()]
    return [Text(), *table(("child run", "workflow", "step", "status"), rows, len(str(rows)) + 200)]


def _status(service: Durum, run_id: str) -> str:
    from durum.errors import NotFoundError

    try:
        return str(service.show(run_id)["status"])
    except NotFoundError:
        return "pending"
