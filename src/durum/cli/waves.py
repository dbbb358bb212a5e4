"""A plan as text: its waves from top to bottom, each state with what it waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from durum.cli.items import Folded, folded
from durum.cli.render import MARKS, STYLES
from durum.cli.words import count, state_name, step_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from durum.core.canonical import JsonObject, JsonValue

_EFFECTS = {"pure": "", "read_only_io": "reads", "apply_side_effect": "applies an effect"}


def wave_lines(waves: Sequence[JsonObject]) -> list[Text]:
    """Return the lines of a plan."""
    states = [row for wave in waves for row in _objects(wave["states"])]
    names = {str(row["state_id"]): state_name(row) for row in states}
    shown = [(wave, folded(_objects(wave["states"]))) for wave in waves]
    width = max((len(_name(row)) for _, rows in shown for row in rows), default=0)
    name = str(states[0]["state_id"]).partition(".")[0] if states else "empty plan"
    lines = [Text.assemble((name, "bold"), (f"  {count(len(states), 'state')} in {count(len(waves), 'wave')}", "dim"))]
    for wave, rows in shown:
        lines.append(Text(f"wave {wave['wave']}", "dim"))
        lines += [_line(row, names, width, last=row is rows[-1]) for row in rows]
    return lines


def _name(row: JsonObject | Folded) -> str:
    return row.name if isinstance(row, Folded) else state_name(row)


def _line(row: JsonObject | Folded, names: Mapping[str, str], width: int, *, last: bool) -> Text:
    status = row.status if isinstance(row, Folded) else str(row.get("status", ""))
    mark = f"{MARKS.get(status, ' ')} " if status else ""
    line = Text.assemble(("└─ " if last else "├─ ", "dim"), (mark + _name(row).ljust(width), STYLES.get(status, "")))
    first = row.rows[0] if isinstance(row, Folded) else row
    notes = [row.text()] if isinstance(row, Folded) else []
    deps = [names.get(str(dep)) or step_name(dep) for dep in first["deps"]] if isinstance(first["deps"], list) else []
    notes += [f"← {', '.join(deps)}" if deps else "", _EFFECTS.get(str(first["effects"]), "")]
    tags = first["tags"] if isinstance(first["tags"], list) else []
    notes += ["#" + " #".join(map(str, tags)) if tags else ""]
    return line.append("  " + "  ".join(note for note in notes if note), "dim")


def _objects(value: JsonValue) -> list[JsonObject]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
