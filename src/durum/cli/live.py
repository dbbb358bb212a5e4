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
from durum.cli.words import count, one_line, span
from durum.core import events as ev

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from durum.cli.progress import Told
    from durum.cli.streams import Streams
    from durum.core.canonical import JsonObject

_MINUTE = 60
_MOST_ROWS = 12
_BAR = 24
_OVER = frozenset({"completed", "failed", "skipped", "cancelled"})


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

    _quiet: ClassVar = frozenset({"started", "retrying", "items"})  # what the live region shows already

    def __init__(self, streams: Streams) -> None:
        self._console = console_for(streams.notes, terminal=True)
        self._teller = Teller()
        self._rows: dict[str, _Row] = {}
        self._width = 0
        self._all: set[str] = set()
        self._over: set[str] = set()
        self._started = time.time()
        self._live: rich.live.Live | None = None

    def begin(self, states: Sequence[JsonObject]) -> None:
        """Take the states of the run and show the region."""
        self.grow(states)
        self._live = rich.live.Live(get_renderable=self._view, console=self._console, refresh_per_second=10, transient=True)
        self._live.start()

    def grow(self, states: Sequence[JsonObject]) -> None:
        """Take the states there are now."""
        new = [row for row in states if row["state_id"] not in self._all]
        self._teller.take(states)
        self._all |= {str(row["state_id"]) for row in new}
        self._over |= {str(row["state_id"]) for row in new if row["status"] in _OVER}
        names = (self._teller.name(state) for state in self._all if self._teller.folds(state) is None)
        self._width = min(self._console.width // 2, max(map(len, names), default=0))

    def event(self, envelope: ev.Envelope) -> None:
        """Take a durable event: a line above, or a change in the region."""
        told = self._teller.tell(envelope)
        match envelope.event:
            case ev.StateEntered(state_id=state, attempt=attempt):
                self._over.discard(state)
                text = self._teller.attempt(state, attempt) if attempt else ""
                self._put(state, _Row(self._teller.name(state), text, since=time.time()))
            case ev.RetryScheduled(state_id=state, attempt=attempt, due_ms=due):
                self._over.discard(state)
                self._put(state, _Row(self._teller.name(state), self._teller.attempt(state, attempt), due=due / 1000))
            case ev.StateCompleted(state_id=state) | ev.StateFailed(state_id=state) | ev.StateSkipped(state_id=state):
                self._over.add(state)
                self._rows.pop(state, None)
            case ev.GateOpened(state_id=state):
                self._over.discard(state)  # the attempt ended, the state did not
        if told is not None and told.kind not in self._quiet:
            self._say(told)

    def child(self, envelope: ev.Envelope, root_id: str, look: str) -> None:
        """Write a durable event of a run below, if it says something."""
        told = self._teller.tell_child(envelope, root_id, look)
        if told is not None:
            self._say(told)

    def _put(self, state: str, row: _Row) -> None:
        if self._teller.folds(state) is None:
            self._rows[state] = row

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
        many = [tally for tally in self._teller.tallies.steps.values() if tally.folded and len(tally.over) < tally.total]
        table = Table.grid(padding=(0, 1))
        table.add_column(width=1)
        table.add_column(width=self._width + 1, no_wrap=True, overflow="ellipsis")
        table.add_column(no_wrap=True, overflow="ellipsis")
        room = max(1, min(_MOST_ROWS, self._console.height - 4))
        for tally in many:
            table.add_row("", tally.step, Text.assemble((_bar(len(tally.over), tally.total), "cyan"), f" {tally.text()}"))
        for row in rows[:room]:
            table.add_row(row.mark, row.name, row.said())
        if len(rows) > room:
            table.add_row("", Text(f"and {len(rows) - room} more", "dim"))
        total = f"{len(self._over):,} of {count(len(self._all), 'state')}, {_clock(time.time() - self._started)}"
        return Group(table, Text(f"  {total}", "dim"))


def _bar(done: int, total: int) -> str:
    """Return a bar as long as the share that is done."""
    return ("━" * (_BAR * done // max(1, total))).ljust(_BAR, "─")


def _clock(seconds: float) -> str:
    """Return a span that is still running: no finer than the eye follows."""
    if seconds >= _MINUTE:
        return span(int(seconds) * 1000)
    return f"{max(seconds, 0):.1f} s"
