"""The table of bench/README.md, and the short one of docs/performance.md: each between its page's two marks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.figures import Figure

    Row = tuple[str, Sequence[Figure], str]  # name, figures, why there are none

FOLDER = Path(__file__).resolve().parent
BEGIN, END = "<!-- table -->", "<!-- end of table -->"


def full(rows: Sequence[Row]) -> str:
    """Return all there is to say of the rows."""
    lines = [
        _line("row", "measure", "value", "rounds", "floor", "goal", "", "of what, and where the time goes"),
        _line(*["---"] * 8),
    ]
    for row, figures, why_not in rows:
        script = f"[`{row}`]({row}.py)"
        lines += [_line(script, *figure.cells) for figure in figures]
        if why_not:
            lines.append(_line(script, f"not measured: {why_not}", *[""] * 6))
    return "\n".join(lines)


def brief(rows: Sequence[Row]) -> str:
    """Return the figures that have bounds."""
    lines = [_line("measure", "value", "floor", "goal"), _line(*["---"] * 4)]
    for figure in (figure for _, figures, _ in rows for figure in figures if figure.bounds is not None):
        measure, value, _, floor, goal, *_ = figure.cells
        lines.append(_line(measure, value, floor, goal))
    return "\n".join(lines)


PAGES: dict[Path, Callable[[Sequence[Row]], str]] = {
    FOLDER / "README.md": full,
    FOLDER.parent / "docs" / "performance.md": brief,
}


def written(page: str, machine: str, table: str) -> str:
    """Return the page with another table; nothing else of it is touched."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\nMeasured {machine}.\n\n{table}\n\n{END}{after}"


def _line(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
