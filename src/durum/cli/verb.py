"""What every verb shares: its options ``--store``, ``--json`` and ``--debug``, and the border where errors become one line."""

from __future__ import annotations

import errno
import functools
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec

import typer

from durum.cli.streams import Streams
from durum.cli.words import command, one_line
from durum.errors import CallerError, CorruptionError, DurumError, OutOfFilesError

if TYPE_CHECKING:
    from durum.app.service import Durum
    from durum.core.canonical import JsonObject, JsonValue

P = ParamSpec("P")

_HINTS = {"invalid_input": "; give inputs with --input NAME=VALUE"}


class ExitCode(IntEnum):
    """What an exit code says (docs: the command line)."""

    OK = 0
    FAILED = 1  # the run failed, or the world did
    USAGE = 2  # the call is wrong
    PARKED = 3  # the run is not over and waits for someone
    FOUND = 4  # a check found something
    INTERRUPTED = 130  # stopped by a signal with no run under way


StoreOption = Annotated[
    str | None,
    typer.Option("--store", metavar="URL", help="Where the runs are. Default: $DURUM_STORE, else sqlite:///.durum/durum.db."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON: one object, or one a line for lists.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the whole traceback of an error.")]


@dataclass
class Session:
    """One call of a verb: which store it works on and how it speaks."""

    store: str | None = None
    json: bool = False
    debug: bool = False
    streams: Streams = field(default_factory=Streams)

    @property
    def store_url(self) -> str | None:
        """The store this call was told to work on; None is the default one."""
        return self.store or os.environ.get("DURUM_STORE")

    def open(self, *, create: bool = False) -> Durum:
        """Open the store; only a verb that starts a run makes one that is not there."""
        from durum.app.service import open_store

        return open_store(self.store_url, create=create)

    def command(self, *words: str) -> str:
        """Return a command to type that works on the same store."""
        return command(*words) if self.store_url is None else command(*words, "--store", self.store_url)

    def print_json(self, *values: JsonValue) -> None:
        """Print values as JSON, one a line."""
        import msgspec

        if values:
            self.streams.data("\n".join(msgspec.json.encode(value).decode() for value in values))

    def fail(self, code: str, message: str, exit_code: ExitCode, more: JsonObject | None = None) -> int:
        """Say what went wrong, on one line, and return the exit code; what people typed may hold a secret."""
        from durum.core.secrets import redact_text

        message = redact_text(message)
        self.streams.note(f"{self._label('error:')} {one_line(message)}")
        if self.json:
            error: JsonObject = {"code": code, "message": message}
            self.print_json({"error": error, **(more or {})})
        return exit_code

    def _label(self, text: str) -> str:
        coloured = self.streams.notes_are_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        return f"\x1b[1;31m{text}\x1b[0m" if coloured else text

    def guard(self, work: Callable[[], int]) -> int:
        """Do a verb's work; whatever it raises becomes one line and an exit code."""
        try:
            return work()
        except DurumError as error:
            return self.refuse(error, _exit_code(error))
        except BrokenPipeError:
            return ExitCode.OK  # whoever read us has seen enough
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE}:
                return self.refuse(OutOfFilesError(error.strerror or str(error)), ExitCode.FAILED)
            return self._refuse(error, "os_error", f"{error.filename or 'output'}: {error.strerror or error}", ExitCode.FAILED)
        except KeyboardInterrupt:
            return ExitCode.INTERRUPTED
        except (typer.TyperException, typer.Exit, typer.Abort):
            raise
        except Exception as error:  # noqa: BLE001 - a person meets a line, not a traceback
            text = f"unexpected {type(error).__name__}: {error}; run it again with --debug and report the traceback"
            return self._refuse(error, "internal_error", text, ExitCode.FAILED)

    def refuse(self, error: DurumError, exit_code: ExitCode, more: JsonObject | None = None) -> int:
        """Say what an error means to the person who called; ``more`` goes along as JSON."""
        return self._refuse(error, error.code, str(error) + _HINTS.get(error.code, ""), exit_code, more)

    def _refuse(
        self, error: BaseException, code: str, message: str, exit_code: ExitCode, more: JsonObject | None = None
    ) -> int:
        if self.debug:
            import traceback

            from durum.core.secrets import redact_text

            self.streams.note(redact_text("".join(traceback.format_exception(error)).rstrip()))
        return self.fail(code, message, exit_code, more)


def _exit_code(error: DurumError) -> ExitCode:
    if isinstance(error, CallerError):
        return ExitCode.USAGE
    return ExitCode.FOUND if isinstance(error, CorruptionError) else ExitCode.FAILED


def verb(command: Callable[Concatenate[Session, P], int]) -> Callable[..., int]:
    """Make a function a verb: its first parameter becomes the session that the shared options describe."""
    own = inspect.signature(command, eval_str=True)
    _, *parameters = own.parameters.values()

    @functools.wraps(command)
    def run(ctx: typer.Context, **given: Any) -> int:  # noqa: ANN401 - typer fills in what the signature below asks for
        before = ctx.obj if isinstance(ctx.obj, Session) else Session()
        session = Session(
            store=given.pop("store") or before.store,
            json=given.pop("json") or before.json,
            debug=given.pop("debug") or before.debug,
            streams=before.streams,
        )
        return session.guard(functools.partial(command, session, **given))

    shown = [
        inspect.Parameter("ctx", _KEYWORD, annotation=typer.Context),
        *(each.replace(kind=_KEYWORD) for each in parameters),
    ]
    shown += [
        inspect.Parameter("store", _KEYWORD, default=None, annotation=StoreOption),
        inspect.Parameter("json", _KEYWORD, default=False, annotation=JsonOption),
        inspect.Parameter("debug", _KEYWORD, default=False, annotation=DebugOption),
    ]
    vars(run)["__signature__"] = own.replace(parameters=shown)
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    return run


_KEYWORD = inspect.Parameter.KEYWORD_ONLY
