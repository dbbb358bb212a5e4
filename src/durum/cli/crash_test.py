"""``durum crash-test``: kills runs of a workflow again and again, and reports what that did to them."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from durum.cli.verb import ExitCode, Session, verb
from durum.cli.words import count, one_line, span, step_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from durum.testing.crash import CrashReport
    from durum.workflow.authoring import Workflow

_KILLS_HELP = "Kill this often, at random moments of as many runs as it takes."
_EVERY_HELP = "Kill once at each boundary: before and after every commit, call, effect and file."
_SCRATCH_HELP = "Let each run work in its own copy of this folder; default: all work in the current one."
_KEEP_HELP = "A new folder to keep all stores in; default: only of runs with a finding."
_JOBS_HELP = "Runs side by side, if they do not disturb each other."
_SHOWN_FAULTS = 20
_SHOWN_KILLS = 3


_Target = Annotated[str, typer.Argument(metavar="TARGET", help="The workflow: file.py, file.py:name or package.module:name.")]
_Kills = Annotated[int | None, typer.Option(metavar="N", min=1, help=_KILLS_HELP)]
_Every = Annotated[bool, typer.Option("--every-boundary", help=_EVERY_HELP)]
_Inputs = Annotated[list[str] | None, typer.Option("--input", metavar="NAME=VALUE", help="An input; repeat it.")]
_InputFile = Annotated[Path | None, typer.Option("--input-file", metavar="FILE", help="Inputs as a JSON object.")]
_Seed = Annotated[int, typer.Option(metavar="N", help="Draws the moments.")]
_Scratch = Annotated[Path | None, typer.Option(metavar="DIR", help=_SCRATCH_HELP)]
_Keep = Annotated[Path | None, typer.Option(metavar="DIR", help=_KEEP_HELP)]
_Jobs = Annotated[int, typer.Option(metavar="N", min=1, help=_JOBS_HELP)]
_Yes = Annotated[bool, typer.Option("--yes", help="Yes, let its calls and effects really happen, in every run.")]


@verb
def crash_test(  # noqa: PLR0913, PLR0917 - the options of a test
    session: Session,
    target: _Target,
    kills: _Kills = None,
    every_boundary: _Every = False,  # noqa: FBT002 - a flag
    input_: _Inputs = None,
    input_file: _InputFile = None,
    seed: _Seed = 0,
    scratch: _Scratch = None,
    keep: _Keep = None,
    jobs: _Jobs = 1,
    yes: _Yes = False,  # noqa: FBT002 - a flag
) -> int:
    """Kill runs of a workflow with SIGKILL, resume them, and report what was lost or done twice; exit 4 if anything was.

    The workflow's commands, requests and file writes are REALLY performed, in every run at least once: point it at receivers
    made for tests. Stores are temporary; questions about unknown effects are answered from a journal of what really happened.
    """
    from durum.cli.inputs import read_inputs
    from durum.errors import ConfigError

    if session.store is not None:
        raise ConfigError("crash-test makes stores of its own; leave out --store, and keep them with --keep DIR")
    if (kills is None) == (not every_boundary):
        raise ConfigError("say how to kill: give --kills N or --every-boundary")
    inputs = read_inputs(input_ or (), input_file)
    _consent(session, _load(session, target, inputs), given=yes)

    def go(watch: Callable[[int, int, int], None]) -> CrashReport:
        from durum.testing.crash import crash_test

        asked = partial(crash_test, target, inputs, kills=kills or 0, every_boundary=every_boundary, seed=seed, texts=True)
        return asked(scratch=scratch, keep=keep, jobs=jobs, watch=watch)

    report = _with_progress(session, go)
    if session.json:
        session.print_json(report.to_json())
    else:
        _print(session, report)
    return ExitCode.OK if report.ok else ExitCode.FOUND


def _load(session: Session, target: str, inputs: Mapping[str, object]) -> Workflow:
    """Load and check workflow and inputs here first: a mistake in them is the caller's, not a finding."""
    from durum.app.targets import load_target

    with session.streams.aside():
        workflow = load_target(target)
        workflow.plan()
        workflow.parse_inputs(inputs, texts=True)
    return workflow


def _consent(session: Session, workflow: Workflow, *, given: bool) -> None:
    """See that whoever tests a workflow knows which of its steps reach the outside."""
    from durum.core.meta import SideEffectKind
    from durum.errors import ConfigError

    nodes = workflow.plan().shape.nodes
    parts = [part for node in nodes for part in (node, *(() if node.each is None else node.each.body))]
    outside = {
        step_name(part.id): part.meta.side_effects for part in parts if part.meta.side_effects is not SideEffectKind.PURE
    }
    children = any(part.spawns is not None for part in parts)
    if given or not (outside or children):
        return
    names = [f"{name} (effects)" if kind is SideEffectKind.APPLY_SIDE_EFFECT else name for name, kind in outside.items()]
    said = f"a crash test really performs the calls of {', '.join(names)}, in every run" + (
        " and child run" if children else ""
    )
    if not session.streams.can_ask:
        raise ConfigError(f"{said}; if that may be, add --yes")
    if session.streams.ask(f"{said}; type y for yes: ") != "y":
        raise ConfigError("nothing was done; point the workflow at receivers made for tests, then answer y")


def _with_progress(session: Session, go: Callable[[Callable[[int, int, int], None]], CrashReport]) -> CrashReport:
    if session.json or not session.streams.notes_are_terminal:
        return go(lambda *_: None)
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from durum.cli.render import console_for

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console_for(session.streams.notes, terminal=True), transient=True) as progress:
        bar = progress.add_task("undisturbed runs", total=None)

        def watch(done: int, of: int, faults: int) -> None:
            said = count(faults, "finding") if faults else "nothing found"
            progress.update(bar, completed=done, total=of, description=said)

        return go(watch)


# --- the report -------------------------------------------------------------------------------------------------------


def _print(session: Session, report: CrashReport) -> None:
    from durum.cli.render import STYLES, facts_of, rendered, table, width_of

    style = STYLES["intact"] if report.ok else STYLES["broken"]
    found = "nothing found" if report.ok else count(len(report.faults), "finding")
    heading = (f"{found}: {count(report.kills, 'kill')}, {count(report.rounds, 'run')} of {report.target}", style)
    items = facts_of(heading, list(_lines(report)))
    if report.met:
        rows = [[str(number), moment] for moment, number in report.met.most_common()]
        items += table(["kills", "landed"], rows, width_of(session.streams), right=["kills"])
    session.streams.data(rendered(session.streams, *items))


def _lines(report: CrashReport) -> Iterator[tuple[str, str]]:
    for fault in report.faults[:_SHOWN_FAULTS]:
        after = list(fault.killed[-_SHOWN_KILLS:])
        where = f" (run {fault.round}" + (f", killed {', '.join(after)}" if after else "") + ")"
        yield fault.kind, one_line(fault.text) + where
    if len(report.faults) > _SHOWN_FAULTS:
        yield "", f"and {len(report.faults) - _SHOWN_FAULTS} more: see --json"
    if report.status:
        yield "judged", _judged(report)
    if report.boundaries:
        yield "boundaries", _boundaries(report)
    if report.answers:
        asked = count(report.answers.total(), "unknown effect")
        yield "answers", f"{asked}, of which {report.answers['happened']} had happened"
    if report.kept is not None:
        yield "kept", report.kept
    yield "seed", str(report.seed)
    yield "took", span(round(report.seconds * 1000))


def _judged(report: CrashReport) -> str:
    fields = ", ".join(name.removesuffix("_id").replace("_", " ") for name in report.compared) or "nothing, for these differ"
    return f"by its own record and replay; against undisturbed runs ({report.status}): {fields}"


def _boundaries(report: CrashReport) -> str:
    met = [boundary for boundary in report.boundaries if boundary.met]
    kinds = Counter(boundary.crossing.name.partition(" ")[0] for boundary in met)
    parts = ", ".join(f"{kind} {number}" for kind, number in sorted(kinds.items()))
    said = f"{len(met)} of {len(report.boundaries)} met ({parts})"
    missed = [str(boundary.crossing) for boundary in report.boundaries if not boundary.met]
    said += f"; not met: {', '.join(missed[:_SHOWN_KILLS])}" if missed else ""
    return said + (f"; {report.held} more during an effect, whose end a kill waits for" if report.held else "")
