"""Verbs that drive a run: ``run`` and ``resume``."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from durum.cli.next_steps import resume_command
from durum.cli.outcome import Outcome
from durum.cli.verb import ExitCode, Session, verb

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from durum.app.service import Durum
    from durum.cli.progress import Progress
    from durum.cli.signals import Signals
    from durum.cli.streams import Streams
    from durum.core.canonical import JsonObject
    from durum.core.events import Envelope
    from durum.errors import WorldError
    from durum.workflow.authoring import Workflow

_TARGET_HELP = "The workflow: file.py, file.py:name or package.module:name."
_EVENTS_HELP = "Events of steps to keep: minimal, normal, verbose, or names and globs."
_ATTACHED = "attached: this key started the run before; it is shown as it stands and was not driven"
_KEY_HELP = "Start at most one run for this key; find it from then on."


@verb
def run(  # noqa: PLR0913, PLR0917 - the options of a run
    session: Session,
    target: Annotated[str, typer.Argument(metavar="TARGET", help=_TARGET_HELP)],
    input_: Annotated[list[str] | None, typer.Option("--input", metavar="NAME=VALUE", help="An input; repeat it.")] = None,
    input_file: Annotated[Path | None, typer.Option("--input-file", metavar="FILE", help="Inputs as a JSON object.")] = None,
    run_id: Annotated[str | None, typer.Option(metavar="UUID", help="The id of the new run; default: a new one.")] = None,
    key: Annotated[str | None, typer.Option(metavar="INVOCATION", help=_KEY_HELP)] = None,
    max_concurrency: Annotated[int, typer.Option(metavar="N", help="Most states at a time.")] = 8,
    skip_tag: Annotated[list[str] | None, typer.Option(metavar="TAG", help="Skip states with this tag; repeat it.")] = None,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Start nothing more after the first failure.")] = False,  # noqa: FBT002
    events: Annotated[str, typer.Option(metavar="PROFILE", help=_EVENTS_HELP)] = "normal",
    detach: Annotated[bool, typer.Option("--detach", help="Do not drive it: leave that to a worker.")] = False,  # noqa: FBT002
) -> int:
    """Start a run and drive it until it ends or parks."""
    from durum.cli.inputs import read_inputs
    from durum.cli.signals import Signals
    from durum.core.config import RunConfig

    _check_identity(run_id, key)
    config = RunConfig(
        event_profile=events, max_concurrency=max_concurrency, skip_tags=tuple(skip_tag or ()), fail_fast=fail_fast
    )
    config.check_profile()
    inputs = read_inputs(input_ or (), input_file)
    workflow = _load(session, target, inputs)

    def start(service: Durum, **how: Any) -> JsonObject:  # noqa: ANN401 - the other options of Durum.start
        return service.start(workflow, inputs, texts=True, run_id=run_id, key=key, config=config, **how)

    if detach:
        with session.open(create=True) as service:
            return _hand_in(session, start(service, detach=True), target)
    with Signals(session.streams) as signals, session.open(create=True) as service:
        told = _Drive(session, service, signals, target)
        return told.drive(lambda driving: start(service, watcher=driving.watcher, stop=signals.stop))


def _hand_in(session: Session, summary: JsonObject, target: str) -> int:
    """Say the id of a run that waits for a worker."""
    if session.json:
        session.print_json(summary)
    else:
        session.streams.data(str(summary["run_id"]))
    if summary.get("attached"):
        session.streams.note(_ATTACHED)
    else:
        session.streams.note(f"a worker drives it: {session.command('worker', target)}")
    return ExitCode.OK


def _check_identity(run_id: str | None, key: str | None) -> None:
    from durum.app.invocation_key import check_key
    from durum.core.ids import RunId
    from durum.errors import ConfigError

    if run_id is not None and key is not None:
        raise ConfigError("--run-id and --key both choose the run's id; give one of them")
    if key is not None:
        check_key(key)
    if run_id is not None:
        RunId.parse(run_id)


def _load(session: Session, target: str, inputs: Mapping[str, object]) -> Workflow:
    """Load and check a workflow and its inputs before the store is opened: a mistake leaves nothing behind."""
    from durum.app.targets import load_target

    with session.streams.aside():
        workflow = load_target(target)
        workflow.plan()
        workflow.parse_inputs(inputs, texts=True)
    return workflow


@verb
def resume(
    session: Session,
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run's id, or a unique beginning of it.")],
    with_: Annotated[
        str | None,
        typer.Option("--with", metavar="TARGET", help="Where its code is; default: [tool.durum] workflows of pyproject.toml."),
    ] = None,
    as_: Annotated[str | None, typer.Option("--as", metavar="ACTOR", help="Who lets a paused run go on; default: you.")] = None,
) -> int:
    """Drive a run on until it ends or parks; a paused one goes on."""
    from durum.cli.signals import Signals
    from durum.errors import OutOfFilesError, StoreUnavailableError

    def go(driving: _Drive) -> JsonObject:
        driving.resumed = str(driving.service.show(run)["run_id"])
        return driving.service.resume(driving.resumed, with_, actor=as_, watcher=driving.watcher, stop=driving.signals.stop)

    try:
        with Signals(session.streams) as signals, session.open() as service:
            return _Drive(session, service, signals, with_).drive(go)
    except (OutOfFilesError, StoreUnavailableError) as error:
        return _leave(session, error, run, with_)


def _leave(session: Session, error: WorldError, run_id: str, target: str | None) -> int:
    """Say why a run cannot be driven on now, and how it goes on: its log holds all that was acknowledged."""
    again = resume_command(session, run_id, target)
    more: JsonObject = {"run_id": run_id, "resume": again}
    code = session.refuse(error, ExitCode.PARKED, more)
    session.streams.note(f"the run is kept as far as it came; resume it with: {again}")
    return code


class _Drive:
    """One run under way in this process."""

    def __init__(self, session: Session, service: Durum, signals: Signals, target: str | None) -> None:
        from durum.engine.engine import Watcher

        self.service = service
        self.signals = signals
        self.resumed = ""  # a run whose own first event may come after those of its child runs
        self.watcher = Watcher(self._event, self._message, self._child)
        self._session = session
        self._target = target
        self._progress = progress_for(session.streams, plain=session.json)
        self._run_id: str | None = None

    def drive(self, go: Callable[[_Drive], JsonObject]) -> int:
        """Drive a run and report how it stands afterwards."""
        from durum.errors import OutOfFilesError, StoreUnavailableError

        try:
            summary = self._go(go)
        except (OutOfFilesError, StoreUnavailableError) as error:
            if self._run_id is None:
                raise
            return _leave(self._session, error, self._run_id, self._target)
        if self._run_id is None:  # nothing was left to do
            self._print_id(str(summary["run_id"]))
        if summary.get("attached"):
            self._session.streams.note(_ATTACHED)
        outcome = Outcome(self._session, self.service, summary, self._target)
        with contextlib.suppress(BrokenPipeError):
            outcome.print()
        return outcome.code

    def _go(self, go: Callable[[_Drive], JsonObject]) -> JsonObject:
        with self._session.streams.aside():
            self.signals.armed = True
            try:
                return go(self)
            finally:
                self._progress.end()

    def _announce(self, run_id: str) -> None:
        """Say the run's id: its first event of this process is durable, and no step runs yet."""
        self._run_id = run_id
        self._print_id(run_id)
        self._progress.begin(self._states(run_id))

    def _states(self, run_id: str) -> list[JsonObject]:
        """Return the states of a run; none if they cannot be read now, for that is no reason to tell nothing."""
        from durum.errors import WorldError

        try:
            return self.service.states(run_id)
        except WorldError:
            return []

    def _print_id(self, run_id: str) -> None:
        with contextlib.suppress(OSError):
            (self._session.streams.note if self._session.json else self._session.streams.data)(run_id)

    def _event(self, envelope: Envelope) -> None:
        if self._run_id is None:
            self._announce(envelope.run_id)
        elif envelope.event.kind == "plan.extended":
            self._progress.grow(self._states(envelope.run_id))
        self._progress.event(envelope)

    def _child(self, envelope: Envelope) -> None:
        if self._run_id is None:
            self._announce(self.resumed)
        run_id = self._run_id or self.resumed
        self._progress.child(envelope, run_id, self._session.command("gates", run_id))

    def _message(self, state_id: str, text: str) -> None:
        self._progress.message(state_id, text)


def progress_for(streams: Streams, *, plain: bool) -> Progress:
    """Return the form of progress that fits where stderr goes."""
    if plain or not streams.notes_are_terminal:
        from durum.cli.progress import Lines

        return Lines(streams)
    from durum.cli.live import Live

    return Live(streams)
