"""A plan as text: its waves from top to bottom, each state with what it waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from durum.cli.render import MARKS, STYLES
from durum.cli.words import count, number_in, step_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durum.core.canonical import JsonObject, JsonValue

_EFFECTS = {"pure": "", "read_only_io": "reads", "apply_side_effect": "applies an effect"}


def wave_lines(waves: Sequence[JsonObject]) -> list[Text]:
    """Return the lines of a plan."""
    states = [(number_in(wave["wave"]), row) for wave in waves for row in _objects(wave["states"])]
    width = max((len(step_name(row["state_id"])) for _, row in states), default=0)
    name = str(states[0][1]["state_id"]).partition(".")[0] if states else "empty plan"
    lines = [Text.assemble((name, "bold"), (f"  {count(len(states), 'state')} in {count(len(waves), 'wave')}", "dim"))]
    for wave in waves:
        rows = _objects(wave["states"])
        lines.append(Text(f"wave {wave['wave']}", "dim"))
        lines += [_line(row, width, last=row is rows[-1]) for row in rows]
    return lines


def _line(row: JsonObject, width: int, *, last: bool) -> Text:
    status = str(row.get("status", ""))
    style = STYLES.get(status, "")
    mark = f"{MARKS.get(status, ' ')} " if status else ""
    line = Text.assemble(("└─ " if last else "├─ ", "dim"), (mark + step_name(row["state_id"]).ljust(width), style))
    deps = row["deps"] if isinstance(row["deps"], list) else []
    notes = [f"← {', '.join(map(step_name, deps))}" if deps else "", _EFFECTS.get(str(row["effects"]), "")]
    tags = row["tags"] if isinstance(row["tags"], list) else []
    notes += ["#" + " #".join(map(str, tags)) if tags else ""]
    return line.append("  " + "  ".join(note for note in notes if note), "dim")


def _objects(value: JsonValue) -> list[JsonObject]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
