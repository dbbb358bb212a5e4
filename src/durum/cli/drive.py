"""Verbs that drive a run: ``run`` and ``resume``."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from durum.cli.verb import ExitCode, Session, verb
from durum.cli.words import count, failure_text, number_in, one_line, span, step_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from durum.app.service import Durum
    from durum.core.canonical import JsonObject
    from durum.engine.engine import Watcher

_TARGET_HELP = "The workflow: file.py, file.py:name or package.module:name."
_FAILED = frozenset({"failed", "cancelled", "compensated", "partially_compensated"})


@verb
def run(  # noqa: PLR0913, PLR0917 - the options of a run
    session: Session,
    target: Annotated[str, typer.Argument(metavar="TARGET", help=_TARGET_HELP)],
    input_: Annotated[list[str] | None, typer.Option("--input", metavar="NAME=VALUE", help="An input; repeat it.")] = None,
    input_file: Annotated[Path | None, typer.Option("--input-file", metavar="FILE", help="Inputs as a JSON object.")] = None,
    run_id: Annotated[str | None, typer.Option(metavar="UUID", help="The id of the new run; default: a new one.")] = None,
    key: Annotated[
        str | None, typer.Option(metavar="INVOCATION", help="Start at most one run for this key; find it from then on.")
    ] = None,
    max_concurrency: Annotated[int, typer.Option(metavar="N", help="Most states at a time.")] = 8,
    skip_tag: Annotated[list[str] | None, typer.Option(metavar="TAG", help="Skip states with this tag; repeat it.")] = None,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Start nothing more after the first failure.")] = False,  # noqa: FBT002
    events: Annotated[
        str, typer.Option(metavar="PROFILE", help="Events of steps to keep: minimal, normal, verbose, or names and globs.")
    ] = "normal",
) -> int:
    """Start a run and drive it until it ends or parks."""
    from durum.app.targets import load_target
    from durum.cli.inputs import read_inputs
    from durum.core.config import RunConfig
    from durum.errors import ConfigError

    if run_id is not None and key is not None:
        raise ConfigError("--run-id and --key both choose the run's id; give one of them")
    config = RunConfig(
        event_profile=events, max_concurrency=max_concurrency, skip_tags=tuple(skip_tag or ()), fail_fast=fail_fast
    )
    inputs = read_inputs(input_ or (), input_file)
    with session.streams.aside():  # before the store is opened: a mistyped target leaves nothing behind
        workflow = load_target(target)
        workflow.plan()
        workflow.parse_inputs(inputs, texts=True)

    def go(service: Durum, watcher: Watcher, on_started: Callable[[str], None]) -> JsonObject:
        return service.start(
            workflow, inputs, texts=True, run_id=run_id, key=key, config=config, on_started=on_started, watcher=watcher
        )

    with session.open(create=True) as service:
        return _Drive(session, service, target).drive(go)


@verb
def resume(
    session: Session,
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run's id, or a unique beginning of it.")],
    with_: Annotated[
        str | None,
        typer.Option("--with", metavar="TARGET", help="Where its code is; default: [tool.durum] workflows of pyproject.toml."),
    ] = None,
) -> int:
    """Drive a run on until it ends or parks."""
    with session.open() as service:
        identity = str(service.show(run)["run_id"])
        driving = _Drive(session, service, with_)

        def go(service: Durum, watcher: Watcher, on_started: Callable[[str], None]) -> JsonObject:
            on_started(identity)
            return service.resume(identity, with_, watcher=watcher)

        return driving.drive(go)


class _Drive:
    """One run under way in this process."""

    def __init__(self, session: Session, service: Durum, target: str | None) -> None:
        from durum.cli.progress import progress_for

        self._session = session
        self._service = service
        self._target = target
        self._progress = progress_for(session.streams, plain=session.json)
        self._run_id: str | None = None

    def drive(self, go: Callable[[Durum, Watcher, Callable[[str], None]], JsonObject]) -> int:
        """Drive a run and report how it stands afterwards."""
        from durum.engine.engine import Watcher
        from durum.errors import DurumError

        watcher = Watcher(self._progress.event, self._progress.message)
        try:
            with self._session.streams.aside(), _sigterm_interrupts():
                try:
                    summary = go(self._service, watcher, self._announce)
                finally:
                    self._progress.end()
        except KeyboardInterrupt:
            if self._run_id is None:
                return ExitCode.INTERRUPTED
            summary = self._service.show(self._run_id)
        except DurumError:
            if self._run_id is not None:
                self._session.streams.note(f"the run is kept as far as it came; resume it with: {self._resume()}")
            raise
        if self._run_id is None:  # an invocation key found an earlier run
            self._announce(str(summary["run_id"]), begun=False)
        return self._report(summary)

    def _announce(self, run_id: str, *, begun: bool = True) -> None:
        """Say the run's id before any of its steps runs."""
        self._run_id = run_id
        with contextlib.suppress(OSError):
            (self._session.streams.note if self._session.json else self._session.streams.data)(run_id)
        if begun:
            self._progress.begin(self._service.states(run_id))

    def _resume(self) -> str:
        target = () if self._target is None else ("--with", self._target)
        return self._session.command("resume", str(self._run_id), *target)

    def _report(self, summary: JsonObject) -> int:
        status = str(summary["status"])
        code = ExitCode.OK if status == "completed" else ExitCode.FAILED if status in _FAILED else ExitCode.PARKED
        with contextlib.suppress(BrokenPipeError):
            if self._session.json:
                self._print_json(summary, code)
            else:
                self._session.streams.data(self._summary(summary, code))
        return code

    def _print_json(self, summary: JsonObject, code: ExitCode) -> None:
        if code is ExitCode.PARKED:
            self._session.streams.note(f"resume it with: {self._resume()}")
            summary = {**summary, "resume": self._resume()}
        self._session.print_json(summary)

    def _summary(self, summary: JsonObject, code: ExitCode) -> str:
        from durum.cli.render import STYLES, facts_of, rendered

        run_id, status = str(summary["run_id"]), str(summary["status"])
        lines = self._why(summary)
        if summary["final_snapshot_id"]:
            lines["snapshot"] = str(summary["final_snapshot_id"])
        if code is ExitCode.PARKED:
            states = summary["states"] if isinstance(summary["states"], dict) else {}
            all_states = sum(map(number_in, states.values()))
            said = f"{status}, {states.get('completed', 0)} of {count(all_states, 'state')} completed"
            lines["resume"] = self._resume()
        else:
            said = f"{status} in {span(number_in(summary['updated_ms']) - number_in(summary['started_ms']))}"
            target = () if self._target is None else ("--with", self._target)
            lines["replay"] = self._session.command("replay", run_id, "--mode", "reproduce", *target)
            lines["verify"] = self._session.command("verify", run_id, "--head", str(summary["head_hash"]))
        lines["look"] = self._session.command("show", run_id)
        return rendered(self._session.streams, *facts_of((said, STYLES.get(status, "")), lines))

    @staticmethod
    def _why(summary: JsonObject) -> dict[str, str]:
        error = summary["error"]
        if isinstance(error, dict):
            name = f"{step_name(error['state_id'])}: " if error["state_id"] else ""
            return {"error": name + failure_text(error)}
        return {"waits for": one_line(str(summary["paused"]))} if summary["paused"] else {}


@contextlib.contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM end a run as Ctrl-C does: what is under way is given up, the log closed, the run handed back."""
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    interrupt = signal.getsignal(signal.SIGINT)
    if interrupt is signal.SIG_IGN:  # a shell starts background jobs so; then SIGTERM would be ignored as well
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, interrupt)
