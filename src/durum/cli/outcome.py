"""How a run stands after it was driven: exit code, summary, and what to type next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durum.cli.verb import ExitCode
from durum.cli.words import count, number_in, one_line, run_error_text, span

if TYPE_CHECKING:
    from durum.cli.verb import Session
    from durum.core.canonical import JsonObject

_FAILED = frozenset({"failed", "cancelled", "compensated", "partially_compensated"})


def resume_command(session: Session, run_id: str, target: str | None) -> str:
    """Return the whole command that drives a run on."""
    return session.command("resume", run_id, *_with(target))


def _with(target: str | None) -> tuple[str, ...]:
    return () if target is None else ("--with", target)


class Outcome:
    """The summary of a run that this process just drove."""

    def __init__(self, session: Session, summary: JsonObject, target: str | None) -> None:
        self._session = session
        self._summary = summary
        self._target = target
        self._run_id = str(summary["run_id"])
        self._status = str(summary["status"])

    @property
    def code(self) -> ExitCode:
        """The exit code that says how the run stands."""
        if self._status == "completed":
            return ExitCode.OK
        return ExitCode.FAILED if self._status in _FAILED else ExitCode.PARKED

    def print(self) -> None:
        """Print the summary."""
        if not self._session.json:
            self._session.streams.data(self._page())
        elif self._resumable:
            again = resume_command(self._session, self._run_id, self._target)
            self._session.streams.note(f"resume it with: {again}")
            self._session.print_json({**self._summary, "resume": again})
        else:
            self._session.print_json(self._summary)

    @property
    def _resumable(self) -> bool:
        """Whether the run waits for someone; one that runs is driven by another process."""
        return self.code is ExitCode.PARKED and self._status != "running"

    def _page(self) -> str:
        from durum.cli.render import STYLES, facts_of, rendered

        return rendered(self._session.streams, *facts_of((self._heading(), STYLES.get(self._status, "")), self._lines()))

    def _heading(self) -> str:
        if self.code is not ExitCode.PARKED:
            took = number_in(self._summary["updated_ms"]) - number_in(self._summary["started_ms"])
            return f"{self._status} in {span(took)}"
        states = self._summary["states"]
        counts = states if isinstance(states, dict) else {}
        done = f"{counts.get('completed', 0)} of {count(sum(map(number_in, counts.values())), 'state')} completed"
        return f"{self._status}, {done}" if self._resumable else f"running in another process, {done}"

    def _lines(self) -> dict[str, str]:
        summary, command = self._summary, self._session.command
        lines: dict[str, str] = {}
        if summary["error"]:
            lines["error"] = run_error_text(summary["error"])
        if summary["paused"]:
            lines["waits for"] = one_line(str(summary["paused"]))
        if summary["final_snapshot_id"]:
            lines["snapshot"] = str(summary["final_snapshot_id"])
        if summary["paused_effect"]:  # to go on is to do it again: nothing that should be typed without a look
            again = ("--repeat", str(summary["paused_effect"]))
            lines["repeat it"] = command("resume", self._run_id, *_with(self._target), *again)
        elif self._resumable:
            lines["resume"] = resume_command(self._session, self._run_id, self._target)
        elif self.code is ExitCode.PARKED:
            lines["follow"] = command("events", self._run_id, "--follow")
        else:
            lines["replay"] = command("replay", self._run_id, "--mode", "reproduce", *_with(self._target))
            lines["verify"] = command("verify", self._run_id, "--head", str(summary["head_hash"]))
        lines["look"] = command("show", self._run_id)
        return lines
