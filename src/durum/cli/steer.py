"""Verbs that steer: what waits for an answer, answers, cancelling and pausing. None needs the run's code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from durum.cli.look import RunArgument
from durum.cli.next_steps import NextSteps, answer_commands, gates_below, is_over
from durum.cli.verb import ExitCode, Session, verb
from durum.cli.words import short_ids, step_name

if TYPE_CHECKING:
    from rich.text import Text

    from durum.app.service import Durum
    from durum.core.canonical import JsonObject

ActorOption = Annotated[str | None, typer.Option("--as", metavar="ACTOR", help="Who says so; default: your user name.")]
ReasonOption = Annotated[str, typer.Option(metavar="TEXT", help="Why; it stands in the run's record.")]

_WIDE = 110  # columns from which whole run ids fit


@verb
def gates(
    session: Session,
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="One run and its child runs; default: all runs.")] = None,
) -> int:
    """List what waits for an answer, with the commands that answer it."""
    with session.open() as service:
        found = service.gates() if run is None else gates_below(service, service.show(run))
        if session.json:
            session.print_json(*found)
        elif found:
            _print_gates(session, service, found)
        else:
            session.streams.note("nothing waits for an answer")
    return ExitCode.OK


def _print_gates(session: Session, service: Durum, found: list[JsonObject]) -> None:
    from rich.text import Text

    from durum.cli.render import rendered, table, width_of

    width = width_of(session.streams)
    ids = [str(gate["run_id"]) for gate in found]
    short = short_ids(ids) if width < _WIDE else {}
    rows: list[list[str | Text]] = [
        [short.get(run_id, run_id), str(gate["gate"]), step_name(gate["state_id"]), str(gate["prompt"])]
        for run_id, gate in zip(ids, found, strict=True)
    ]
    lines = table(("run", "gate", "step", "asks"), rows, width, cut="asks")
    commands = [pair for answers in answer_commands(session, found) for pair in answers]
    room = max((len(label) for label, _ in commands), default=0)
    for label, command in commands:
        lines.append(Text.assemble((label.ljust(room) + "  ", "dim"), command))
    session.streams.data(rendered(session.streams, *lines[: len(found) + 1], Text(), *lines[len(found) + 1 :]))


@verb
def answer(
    session: Session,
    run: RunArgument,
    gate: Annotated[
        str, typer.Argument(metavar="GATE@DIGEST", help="As durum gates shows it. On a terminal a bare GATE asks.")
    ],
    field: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A field of the answer; repeat it. durum gates --json names them."),
    ] = None,
    as_: ActorOption = None,
    reason: ReasonOption = "",
) -> int:
    """Answer a gate, just as it was shown under its digest.

    To a gate that asks whether an effect happened, happened=false does it again, and happened=true goes on without it.
    A step that needs what the effect gave back needs result=JSON too. Of a command no more is needed: it ended well.
    """
    from durum.cli.gate_answers import confirmed, fields_of, find_gate, is_shown
    from durum.cli.inputs import read_fields

    given = read_fields(field or ())
    with session.open() as service:
        found = find_gate(service, run, gate)
        if found is not None and "@" not in gate and session.streams.can_ask:
            if not confirmed(session, service, found, given):
                session.streams.note("nothing was answered")
                return ExitCode.FAILED
            gate = str(found["gate"])
        values = fields_of(found, given) if found is not None and is_shown(found, gate) else given
        summary = service.answer(run, gate, values, actor=as_, reason=reason)
        _say(session, service, summary, f"{gate} is answered")
    return ExitCode.OK


@verb
def cancel(session: Session, run: RunArgument, as_: ActorOption = None, reason: ReasonOption = "") -> int:
    """End a run: what is under way is cancelled, nothing is undone.

    Its child runs end too.
    """
    with session.open() as service:
        summary = service.show(run)
        if summary["status"] == "cancelled":
            heading = "cancelled already"
        elif _last(service, run, "cancel.requested"):
            heading = "asked to cancel already"
        else:
            summary = service.cancel(run, actor=as_, reason=reason)
            heading = "cancelled" if is_over(summary) else "asked to cancel: the process that drives it ends it at once"
        _say(session, service, summary, heading)
    return ExitCode.OK


@verb
def pause(session: Session, run: RunArgument, as_: ActorOption = None, reason: ReasonOption = "") -> int:
    """Stop a run at its next boundary, until it is resumed.

    What is under way comes to its end first; nothing more begins. Child runs pause too.
    """
    with session.open() as service:
        summary = service.show(run)
        if not is_over(summary) and _last(service, run, "run.paused", "run.resumed"):
            heading = "paused already"
        else:
            summary = service.pause(run, actor=as_, reason=reason)
            heading = "asked to pause: what is under way comes to its end first" if summary["driven"] else "paused"
        _say(session, service, summary, heading)
    return ExitCode.OK


def _last(service: Durum, run: str, kind: str, undone: str = "") -> bool:
    """Tell whether a run's log says ``kind``, and nothing later that takes it back."""
    kinds = (envelope["event"]["kind"] for envelope in service.events(run) if isinstance(envelope["event"], dict))
    return ([None, *(found for found in kinds if found in {kind, undone})])[-1] == kind


def _say(session: Session, service: Durum, summary: JsonObject, heading: str) -> None:
    """Print what became of it and what to type next."""
    steps = None if is_over(summary) else NextSteps(session, service, summary)
    if session.json:
        more: JsonObject = {} if steps is None or steps.driven else {"resume": steps.resume}
        session.streams.note(heading)
        session.print_json({**summary, **more})
        return
    from durum.cli.render import facts_of, rendered

    lines = [("run", str(summary["run_id"])), *(() if steps is None else steps.lines())]
    lines.append(("look", session.command("show", str(summary["run_id"]))))
    session.streams.data(rendered(session.streams, *facts_of((heading, ""), lines)))
