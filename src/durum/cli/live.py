"""Progress on a terminal: what is over scrolls by, what is under way stays below and keeps its clock running."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

import rich.live
from rich.console import Group
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from durum.cli.progress import Teller
from durum.cli.render import MARKS, STYLES, console_for
from durum.cli.words import attempt_of, count, number_in, one_line, span, step_name
from durum.core import events as ev

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from durum.cli.progress import Told
    from durum.cli.streams import Streams
    from durum.core.canonical import JsonObject

_MINUTE = 60
_MOST_ROWS = 12


class _Row:
    """One state under way, or waiting for its next attempt."""

    def __init__(self, name: str, text: str, *, since: float | None = None, due: float | None = None) -> None:
        self.name = name
        self.text = text
        self.message = ""
        self._since = since
        self._due = due
        self.mark: RenderableType = Text("↻", STYLES["retrying"]) if since is None else Spinner("dots", style=STYLES["running"])

    def said(self) -> Text:
        """Return how it stands at this moment."""
        if self._due is not None:
            return Text(f"{self.text} in {_clock(self._due - time.time())}", STYLES["retrying"])
        passed = _clock(time.time() - (self._since or 0))
        return Text.assemble(self.text, "  " if self.text else "", (f"{passed}  {self.message}", "dim"))


class Live:
    """Implements ``Progress`` with a live region on stderr."""

    _quiet: ClassVar = frozenset({"started", "retrying"})  # what the live region shows already

    def __init__(self, streams: Streams) -> None:
        self._console = console_for(streams.notes, terminal=True)
        self._teller = Teller()
        self._rows: dict[str, _Row] = {}
        self._most: dict[str, int] = {}
        self._width = 0
        self._all = 0
        self._over = 0
        self._started = time.time()
        self._live: rich.live.Live | None = None

    def begin(self, states: Sequence[JsonObject]) -> None:
        """Take the states of the run and show the region."""
        self._teller.begin(states)
        self._most = {str(row["state_id"]): number_in(row["max_attempts"]) for row in states}
        self._width = min(self._console.width // 2, max((len(step_name(state)) for state in self._most), default=0))
        self._all = len(states)
        self._over = sum(row["status"] in {"completed", "failed", "skipped"} for row in states)
        self._live = rich.live.Live(get_renderable=self._view, console=self._console, refresh_per_second=10, transient=True)
        self._live.start()

    def event(self, envelope: ev.Envelope) -> None:
        """Take a durable event: a line above, or a change in the region."""
        told = self._teller.tell(envelope)
        match envelope.event:
            case ev.StateEntered(state_id=state, attempt=attempt):
                text = attempt_of(attempt + 1, self._most.get(state, 0)) if attempt else ""
                self._rows[state] = _Row(step_name(state), text, since=time.time())
            case ev.RetryScheduled(state_id=state, attempt=attempt, due_ms=due):
                self._over -= 1  # the failure before it was not its last
                text = attempt_of(attempt + 1, self._most.get(state, 0))
                self._rows[state] = _Row(step_name(state), text, due=due / 1000)
            case ev.StateCompleted(state_id=state) | ev.StateFailed(state_id=state) | ev.StateSkipped(state_id=state):
                self._over += 1
                self._rows.pop(state, None)
        if told is not None and told.kind not in self._quiet:
            self._say(told)

    def message(self, state_id: str, text: str) -> None:
        """Show a step's latest line of progress beside it."""
        row = self._rows.get(state_id)
        if row is not None:
            row.message = one_line(text)

    def end(self) -> None:
        """Take the region away."""
        if self._live is not None:
            self._live.stop()

    def _say(self, told: Told) -> None:
        style = STYLES.get(told.kind, "")
        mark = MARKS.get(told.kind, " ")
        text = told.text.removeprefix("completed in ")
        self._console.print(Text.assemble((f"{mark} {told.name.ljust(self._width)}", style), "  ", text), soft_wrap=True)

    def _view(self) -> RenderableType:
        rows = [*self._rows.values()]
        table = Table.grid(padding=(0, 1))
        table.add_column(width=1)
        table.add_column(width=self._width + 1, no_wrap=True, overflow="ellipsis")
        table.add_column(no_wrap=True, overflow="ellipsis")
        room = max(1, min(_MOST_ROWS, self._console.height - 4))
        for row in rows[:room]:
            table.add_row(row.mark, row.name, row.said())
        if len(rows) > room:
            table.add_row("", Text(f"and {len(rows) - room} more", "dim"))
        total = f"{self._over} of {count(self._all, 'state')}, {_clock(time.time() - self._started)}"
        return Group(table, Text(f"  {total}", "dim"))


def _clock(seconds: float) -> str:
    """Return a span that is still running: no finer than the eye follows."""
    if seconds >= _MINUTE:
        return span(int(seconds) * 1000)
    return f"{max(seconds, 0):.1f} s"
