"""Verbs that prove: a run executed again from its record, and its record checked byte by byte."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from durum.cli.items import FEW, item_of
from durum.cli.look import RunArgument
from durum.cli.verb import ExitCode, Session, verb
from durum.cli.words import count, step_name

if TYPE_CHECKING:
    from durum.history.replay import ReplayResult
    from durum.history.verify import VerifyResult


_EVERY = 100


class Mode(StrEnum):
    """What a replay does."""

    VERIFY = "verify"
    REPRODUCE = "reproduce"


@verb
def replay(
    session: Session,
    run: RunArgument,
    mode: Annotated[
        Mode | None,
        typer.Option(help="verify: fold and check the log; reproduce: execute every attempt again from the record."),
    ] = None,
    with_: Annotated[
        str | None,
        typer.Option("--with", metavar="TARGET", help="The code to reproduce with; alone it means --mode reproduce."),
    ] = None,
) -> int:
    """Replay a run offline; exit 4 and a report on divergence."""
    chosen = mode or (Mode.VERIFY if with_ is None else Mode.REPRODUCE)

    def watch(state_id: str, attempt: int) -> None:
        item = item_of(step_name(state_id))
        if item is not None and item.number >= FEW and item.number % _EVERY:
            return  # of many items a few tell how far it is
        session.streams.note(f"{step_name(state_id)}: attempt {attempt + 1} again")

    with session.open() as service, session.streams.aside():
        result = service.replay(run, chosen.value, with_, watch)
    if session.json:
        session.print_json(result.to_json())
    else:
        _print_replay(session, result)
    return ExitCode.OK if result.divergence is None else ExitCode.FOUND


def _print_replay(session: Session, result: ReplayResult) -> None:
    from durum.cli.render import STYLES, facts_of, rendered

    if result.divergence is not None:
        from durum.cli.divergence import divergence_lines

        session.streams.data(rendered(session.streams, *divergence_lines(result.divergence)))
        return
    if result.mode == Mode.REPRODUCE:
        said = f"{count(result.attempts, 'attempt')} executed again from the record, {count(result.live_calls, 'live call')}"
        if result.passed_over:
            said += f", {count(result.passed_over, 'attempt')} the engine ended passed over"
    else:
        said = "the log is whole and every decision in it follows"
    lines = {"snapshot": result.final_snapshot_id} if result.final_snapshot_id else {}
    session.streams.data(rendered(session.streams, *facts_of((f"same: {said}", STYLES["same"]), lines)))


@verb
def verify(
    session: Session,
    run: RunArgument,
    head: Annotated[str | None, typer.Option(metavar="HASH", help="A head someone kept: it must still be in the log.")] = None,
) -> int:
    """Check that a run's record is whole; exit 4 if not."""
    with session.open() as service:
        result = service.verify(run, head)
    if session.json:
        session.print_json(result.to_json())
    else:
        _print_verify(session, result)
    return ExitCode.OK if result.first_bad is None else ExitCode.FOUND


def _print_verify(session: Session, result: VerifyResult) -> None:
    from durum.cli.render import STYLES, facts_of, rendered

    bad = result.first_bad
    if bad is None:
        said = f"intact: {count(result.events, 'event')} and {count(result.artifacts, 'artifact')} checked"
        lines = {"run": result.run_id, "head": result.head_hash}
        heading = (said, STYLES["intact"])
    else:
        lines = {"run": result.run_id, "found": f"{bad.what}: {bad.reason}"}
        if bad.seq is not None and bad.what != f"event {bad.seq}":
            lines["first bad"] = f"event {bad.seq}"
        heading = ("broken", STYLES["broken"])
    session.streams.data(rendered(session.streams, *facts_of(heading, lines)))
