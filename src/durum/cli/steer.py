"""Verbs that steer: what waits for an answer, answers, cancelling and pausing. None needs the run's code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from durum.cli.gate_words import asked, reason_text, request_text, step_text
from durum.cli.look import RunArgument
from durum.cli.next_steps import NextSteps, answer_commands, gates_below, is_over
from durum.cli.verb import ExitCode, Session, verb

if TYPE_CHECKING:
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
        found = asked(service, service.gates() if run is None else gates_below(service, service.show(run)))
        if session.json:
            session.print_json(*found)
        elif found:
            _print_gates(session, found)
        else:
            session.streams.note("nothing waits for an answer")
    return ExitCode.OK


def _print_gates(session: Session, found: list[JsonObject]) -> None:
    from rich.text import Text

    from durum.cli.render import rendered, table, width_of

    width = width_of(session.streams)
    first = 1 if width < _WIDE else 0  # where there is little room, the commands below name the runs
    rows = [(str(gate["run_id"]), str(gate["gate"]), step_text(gate), _asks(gate))[first:] for gate in found]
    lines = table(("run", "gate", "step", "asks")[first:], rows, width, cut="asks")
    commands = [pair for answers in answer_commands(session, found) for pair in answers]
    room = max((len(label) for label, _ in commands), default=0)
    for label, command in commands:
        lines.append(Text.assemble((label.ljust(room) + "  ", "dim"), command))
    session.streams.data(rendered(session.streams, *lines[: len(found) + 1], Text(), *lines[len(found) + 1 :]))


def _asks(gate: JsonObject) -> str:
    parts = (request_text(gate), reason_text(gate["prompt"], gate["subject"]), f"effect {gate['subject']}")
    return "; ".join(filter(None, parts))


@verb
def answer(
    session: Session,
    run: RunArgument,
    gate: Annotated[
        str, typer.Argument(metavar="GATE@DIGEST", help="As durum gates shows it; on a terminal its name is enough.")
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
    Where the step needs what the effect gave back, result=JSON is needed too. A command and an HTTP call went well if no
    result is given; such a result is {"exit_code": 0, "stdout": {"text": "..."}} or {"status": 200}.

    On a terminal, without --field, it shows the gate whole and asks for each field.
    """
    from durum.cli.gate_answers import asks_for_it, fields_of, find_gate, is_shown
    from durum.cli.inputs import read_fields

    given = read_fields(field or ())
    with session.open() as service:
        found = find_gate(service, run, gate)
        if found is not None and session.streams.can_ask and ("@" not in gate or (not given and is_shown(found, gate))):
            wanted = asks_for_it(session, service, found, given)
            if wanted is None:
                session.streams.note("nothing was answered")
                return ExitCode.USAGE
            gate, given = str(found["gate"]), wanted
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
