"""``durum worker``: drives the runs of a store that nobody drives, until it is told to stop."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated

import typer

from durum.cli.verb import ExitCode, Session, verb
from durum.cli.words import one_line

if TYPE_CHECKING:
    from durum.app.worker import Report

_TARGETS_HELP = "Workflows to drive, as for run; a file means all in it. Default: [tool.durum] workflows of pyproject.toml."


@verb
def worker(
    session: Session,
    targets: Annotated[list[str] | None, typer.Argument(metavar="TARGET", help=_TARGETS_HELP)] = None,
    concurrency: Annotated[int, typer.Option(metavar="N", help="Most runs at a time.")] = 16,
    until_idle: Annotated[bool, typer.Option("--until-idle", help="End once nothing is due.")] = False,  # noqa: FBT002
) -> int:
    """Drive runs that are due, and those whose process died.

    Several workers may share a store. A run whose process dies five times without progress is quarantined: it is paused until
    somebody resumes it. Ctrl-C and SIGTERM let go of the runs, which any worker takes up again.
    """
    from durum.cli.signals import Signals

    told = _Teller(session)
    with Signals(session.streams) as signals, session.open(create=True) as service, session.streams.aside():
        signals.armed = True
        service.work(targets or None, concurrency=concurrency, until_idle=until_idle, tell=told.tell, stop=signals.stop)
    return ExitCode.OK


class _Teller:
    """Says on a line each what becomes of runs."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def tell(self, report: Report) -> None:
        """Print what was done; what was not goes to stderr. A reader that went away is no reason to stop."""
        streams = self._session.streams
        if report.event in {"lost", "trouble", "left_alone"}:
            about = "" if not report.run_id or report.run_id in report.message else f"run {report.run_id}: "
            streams.note(one_line(f"{about}{report.message}"))
        with contextlib.suppress(OSError):
            if self._session.json:
                import msgspec

                self._session.print_json(msgspec.to_builtins(report))
            elif report.event not in {"lost", "trouble", "left_alone"}:
                word = "adopted" if report.adopted else report.status or report.event
                streams.data(f"{word:<12} {report.run_id}  {report.op_id}")
