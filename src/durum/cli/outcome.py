"""How a run stands after it was driven: exit code, summary, and what to type next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durum.cli.next_steps import NextSteps, is_over
from durum.cli.verb import ExitCode
from durum.cli.words import count, number_in, run_error_text, span

if TYPE_CHECKING:
    from durum.app.service import Durum
    from durum.cli.verb import Session
    from durum.core.canonical import JsonObject


class Outcome:
    """The summary of a run that this process just drove."""

    def __init__(self, session: Session, service: Durum, summary: JsonObject, target: str | None) -> None:
        self._session = session
        self._summary = summary
        self._target = target
        self._run_id = str(summary["run_id"])
        self._status = str(summary["status"])
        self._next = None if is_over(summary) else NextSteps(session, service, summary, target)

    @property
    def code(self) -> ExitCode:
        """The exit code that says how the run stands."""
        if self._next is not None:
            return ExitCode.PARKED
        return ExitCode.OK if self._status == "completed" else ExitCode.FAILED

    def print(self) -> None:
        """Print the summary."""
        if not self._session.json:
            self._session.streams.data(self._page())
            return
        more: JsonObject = {}
        if self._next is not None and not self._next.driven:
            more["resume"] = self._next.resume
            for label, text in self._next.lines():
                self._session.streams.note(f"{label}: {text}")
        self._session.print_json({**self._summary, **more})

    def _page(self) -> str:
        from durum.cli.render import STYLES, facts_of, rendered

        return rendered(self._session.streams, *facts_of((self._heading(), STYLES.get(self._status, "")), self._lines()))

    def _heading(self) -> str:
        if self._next is None:
            took = number_in(self._summary["updated_ms"]) - number_in(self._summary["started_ms"])
            return f"{self._status} in {span(took)}"
        states = self._summary["states"]
        counts = states if isinstance(states, dict) else {}
        done = f"{counts.get('completed', 0)} of {count(sum(map(number_in, counts.values())), 'state')} completed"
        return f"running in another process, {done}" if self._next.driven else f"{self._status}, {done}"

    def _lines(self) -> list[tuple[str, str]]:
        summary, command = self._summary, self._session.command
        lines: list[tuple[str, str]] = []
        if summary["error"]:
            lines.append(("error", run_error_text(summary["error"])))
        if summary["final_snapshot_id"]:
            lines.append(("snapshot", str(summary["final_snapshot_id"])))
        if self._next is None:
            code = () if self._target is None else ("--with", self._target)
            lines.append(("replay", command("replay", self._run_id, "--mode", "reproduce", *code)))
            lines.append(("verify", command("verify", self._run_id, "--head", str(summary["head_hash"]))))
        else:
            lines += self._next.lines()
        return [*lines, ("look", command("show", self._run_id))]
