"""How things look: one palette, tables without frames, and text that is the same in a pipe, only uncoloured and uncut."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.text import Text

from durum.cli.words import one_line, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from durum.cli.streams import Streams

STYLES = {
    "completed": "green",
    "same": "green",
    "intact": "green",
    "ok": "green",
    "running": "cyan",
    "ready": "cyan",
    "waiting": "yellow",
    "awaiting_answer": "magenta",
    "retrying": "yellow",
    "tried": "yellow",
    "interrupted": "yellow",
    "paused": "magenta",
    "quarantined": "red",
    "warning": "yellow",
    "failed": "red",
    "diverged": "red",
    "broken": "red",
    "damaged": "red",
    "problem": "red",
    "cancelled": "red",
    "compensated": "red",
    "partially_compensated": "red",
    "skipped": "dim",
    "pending": "dim",
}
MARKS = {
    "completed": "✓",
    "ok": "✓",
    "running": "▸",
    "failed": "✗",
    "problem": "✗",
    "damaged": "✗",
    "cancelled": "✗",
    "retrying": "↻",
    "tried": "↻",
    "interrupted": "‖",
    "paused": "‖",
    "quarantined": "‖",
    "waiting": "‖",
    "awaiting_answer": "?",
    "warning": "!",
    "skipped": "-",
    "note": "·",
}
_UNCUT = 100_000
_LABEL_WIDTH = 9
_NARROWEST = 8  # columns a cut column keeps
_GAP = "  "


def console_for(stream: TextIO, *, terminal: bool) -> Console:
    """Return a console that takes every text as it is; where nobody's window ends, no line does either."""
    return Console(file=stream, markup=False, emoji=False, highlight=False, width=None if terminal else _UNCUT)


def width_of(streams: Streams) -> int:
    """Return how many columns data may take."""
    return console_for(streams.notes, terminal=True).width if streams.data_is_terminal else _UNCUT


def rendered(streams: Streams, *items: RenderableType) -> str:
    """Return what is to be printed as data."""
    terminal = streams.data_is_terminal
    console = Console(
        markup=False,
        emoji=False,
        highlight=False,
        force_terminal=terminal or None,
        width=None if terminal else _UNCUT,
    )
    with console.capture() as captured:
        for item in items:
            console.print(item, soft_wrap=isinstance(item, Text))
    return "\n".join(line.rstrip() for line in captured.get().split("\n"))


def status_text(status: str) -> Text:
    """Return a status with its mark and colour."""
    return Text(f"{MARKS.get(status, ' ')} {status.replace('_', ' ')}", STYLES.get(status, ""))


def facts_of(heading: tuple[str, str] | Text, lines: Mapping[str, str] | Sequence[tuple[str, str]]) -> list[Text]:
    """Return a heading with labelled lines below; a line may be longer than the window, so that it can be copied whole."""
    pairs = list(lines.items() if isinstance(lines, Mapping) else lines)
    width = max([_LABEL_WIDTH, *(len(label) + 1 for label, _ in pairs)])
    first = heading if isinstance(heading, Text) else Text(heading[0], f"bold {heading[1]}".strip())
    return [first, *(Text.assemble("  ", (label.ljust(width), "dim"), visible(value)) for label, value in pairs)]


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str | Text]],
    width: int,
    *,
    right: Sequence[str] = (),
    cut: str | None = None,
) -> list[Text]:
    """Return a table without a frame, line by line; only the column ``cut`` gives way where it is wider than ``width``."""
    header = [Text(name, "dim") for name in columns]
    cells = [header, *([cell if isinstance(cell, Text) else Text(one_line(cell)) for cell in row] for row in rows)]
    widths = [max(row[place].cell_len for row in cells) for place in range(len(columns))]
    if cut is not None:
        place = columns.index(cut)
        beyond = sum(widths) + len(_GAP) * (len(columns) - 1) - width
        widths[place] -= max(0, min(beyond, widths[place] - _NARROWEST))
    lines = []
    for row in cells:
        for place, cell in enumerate(row):
            cell.truncate(widths[place], overflow="ellipsis")
            cell.align("right" if columns[place] in right else "left", widths[place])
        line = Text(_GAP).join(row)
        line.rstrip()
        lines.append(line)
    return lines
