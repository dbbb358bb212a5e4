"""Verbs that look: nothing here changes a run, and nothing creates a store."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Annotated

import typer

from durum.cli.verb import ExitCode, Session, verb
from durum.cli.words import number_in, step_name, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.text import Text

    from durum.app.follower import Follower
    from durum.app.service import Durum
    from durum.core.canonical import JsonObject

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="The run's id, or a unique beginning of it.")]

_POLL_SECONDS = 0.2
_PATIENCE = 50  # polls in a row
_LARGEST_AS_JSON = 64 * 1024 * 1024
_LARGEST_SHOWN = 1024 * 1024
_LOOKED_AT = 8 * 1024  # bytes that tell text from other data


@verb
def events(
    session: Session,
    run: RunArgument,
    from_: Annotated[int, typer.Option("--from", metavar="SEQ", min=1, help="The first event to print.")] = 1,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on, while the run waits too, until it is over.")] = False,  # noqa: FBT002
) -> int:
    """Print a run's log, one event a line."""
    with session.open() as service:
        emit = _emitter(session, service, run)
        if follow:
            _follow(service.follow(run, from_), emit)
        else:
            emit(service.events(run, from_))
    return ExitCode.OK


def _follow(log: Follower, emit: Callable[[Sequence[JsonObject]], None]) -> None:
    """Print events as they come; a store that is away for a moment is asked again."""
    from durum.errors import StoreUnavailableError

    stopped: list[int] = []  # a flag, not an exception: that could hit the event loop while it is being made
    signal.signal(signal.SIGINT, lambda number, _: stopped.append(number))
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    patience = _PATIENCE
    while not (log.over or stopped):
        try:
            emit(log.more())
            patience = _PATIENCE
        except StoreUnavailableError:
            if not patience:
                raise
            patience -= 1
        if not log.over:
            time.sleep(_POLL_SECONDS)


def _emitter(session: Session, service: Durum, run_id: str) -> Callable[[Sequence[JsonObject]], None]:
    if session.json:
        return lambda found: session.print_json(*found)
    from durum.cli.event_lines import EventLines
    from durum.cli.render import rendered

    lines = EventLines(service.states(run_id))

    def emit(found: Sequence[JsonObject]) -> None:
        if found:
            session.streams.data(rendered(session.streams, *(lines.line(event, session.streams) for event in found)))

    return emit


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
    if not session.json:
        with session.open() as service:
            if session.streams.data_is_terminal:
                session.streams.raw(_text(service, artifact_id, session.command("artifact", artifact_id)))
            else:
                service.write_artifact(artifact_id, session.streams.raw)
        return ExitCode.OK
    with session.open() as service:
        data = _whole(service, artifact_id)
    import base64

    try:
        text, encoding = data.decode(), "utf-8"
    except UnicodeDecodeError:
        text, encoding = base64.b64encode(data).decode(), "base64"
    session.print_json({"artifact_id": artifact_id, "size": len(data), "encoding": encoding, "data": text})
    return ExitCode.OK


def _text(service: Durum, artifact_id: str, command: str) -> bytes:
    """Return an artifact that a terminal can show; others would garble it or scroll by."""
    from codecs import getincrementaldecoder

    from durum.errors import ConfigError

    data = _whole(service, artifact_id, _LARGEST_SHOWN, f"write it to a file: {command} > file")
    head = data[:_LOOKED_AT]
    try:
        getincrementaldecoder("utf-8")().decode(head, final=len(data) == len(head))
        binary = b"\0" in head
    except UnicodeDecodeError:
        binary = True
    if binary:
        raise ConfigError(f"this artifact is no text; write it to a file: {command} > file")
    return data


def _whole(
    service: Durum, artifact_id: str, most: int = _LARGEST_AS_JSON, instead: str = "write it as it is: leave out --json"
) -> bytes:
    """Return an artifact's bytes; as JSON they stand in memory several times over."""
    from durum.errors import ConfigError

    data = bytearray()

    def take(chunk: bytes) -> None:
        data.extend(chunk)
        if len(data) > most:
            raise ConfigError(f"this artifact is longer than {most >> 20} MiB; {instead}")

    service.write_artifact(artifact_id, take)
    return bytes(data)


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
