"""The command line's front door: its verbs, their help, and what a wrong call is told."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from durum.cli import crash_test, doctor, drive, evidence, look, runs, steer, worker
from durum.cli.verb import DebugOption, ExitCode, JsonOption, Session, StoreOption

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from typer._click import Context, HelpFormatter

_EPILOG = "Exit codes: 0 success, 1 failed, 2 wrong call, 3 parked (resume it), 4 a check found something."
_VERBS: dict[str, dict[str, Callable[..., int]]] = {
    "Drive": {"run": drive.run, "resume": drive.resume, "worker": worker.worker},
    "Steer": {"gates": steer.gates, "answer": steer.answer, "cancel": steer.cancel, "pause": steer.pause},
    "Look": {
        "ls": runs.ls,
        "show": runs.show,
        "events": look.events,
        "context": look.context,
        "facts": look.facts,
        "artifact": look.artifact,
        "graph": look.graph,
    },
    "Prove": {"replay": evidence.replay, "verify": evidence.verify, "crash-test": crash_test.crash_test},
    "Operate": {"doctor": doctor.doctor},
}


class _Verbs(TyperGroup):
    """The list of verbs under headings, in the order people meet them."""

    def list_commands(self, ctx: Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the verbs in the order of the help."""
        return [name for verbs in _VERBS.values() for name in verbs]

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """Write one section a heading."""
        width = formatter.width - max(len(name) for verbs in _VERBS.values() for name in verbs) - 4
        for heading, verbs in _VERBS.items():
            with formatter.section(heading):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(width)) for name in verbs])


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        from importlib.metadata import version

        Session().streams.data(f"durum {version('durum')}")
        raise typer.Exit


def _options(
    ctx: typer.Context,
    store: StoreOption = None,
    json: JsonOption = False,  # noqa: FBT002 - a flag
    debug: DebugOption = False,  # noqa: FBT002 - a flag
    version: Annotated[  # noqa: ARG001, FBT002 - its callback acts
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Durable agent workflows: every run can be resumed, replayed and proved."""
    ctx.obj = Session(store, json, debug)


def _app() -> typer.Typer:
    settings = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
    app = typer.Typer(
        cls=_Verbs,
        name="durum",
        add_completion=False,
        rich_markup_mode=None,  # rich costs 90 ms, and plain help reads well
        context_settings=settings,
        epilog=_EPILOG,
    )
    app.callback()(_options)
    for verbs in _VERBS.values():
        for name, function in verbs.items():
            app.command(name)(function)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    session = Session(json="--json" in given, debug="--debug" in given)
    return session.guard(lambda: _call(session, given))


def _call(session: Session, arguments: list[str]) -> int:
    """Parse a call and do it; a wrong one is told what is wrong and where the help is."""
    command = typer.main.get_command(_app())
    try:
        with command.make_context("durum", arguments.copy() or ["--help"]) as context:
            code = command.invoke(context)
    except typer.Exit as leaving:
        return leaving.exit_code if arguments else ExitCode.USAGE
    except typer.TyperException as error:
        message = error.format_message().rstrip(".")
        where = getattr(error, "ctx", None)
        then = "" if message.endswith("?") else ";"
        return session.fail("usage", f"{message}{then} see: {where.command_path if where else 'durum'} --help", ExitCode.USAGE)
    return int(code or 0)
