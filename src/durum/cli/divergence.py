"""The report of a replay that went another way: where, what was expected, what came, what fed it, whose code changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from rich.text import Text

from durum.cli.render import STYLES, facts_of
from durum.cli.words import one_line, step_name

if TYPE_CHECKING:
    from durum.core.canonical import JsonValue
    from durum.core.replay import Divergence

_LONGEST_VALUE = 400
_CODE = {True: "this step's code changed since the run was recorded", False: "this step's code is as it was recorded"}


def divergence_lines(found: Divergence) -> list[Text]:
    """Return the report as lines."""
    place = "" if found.seq is None else f" at event {found.seq}"
    lines = {"what": found.what}
    if found.state_id is not None:
        lines["state"] = step_name(found.state_id) + ("" if found.attempt is None else f", attempt {found.attempt + 1}")
    if found.code_changed is not None:
        lines["code"] = _CODE[found.code_changed]
    report = facts_of((f"diverged{place}: {found.message}", STYLES["diverged"]), lines)
    return [*report, *_differences(found), *_facts(found)]


def _differences(found: Divergence) -> list[Text]:
    rows = [row for row in found.diff if isinstance(row, dict)]
    if not rows and (found.expected is not None or found.got is not None):
        rows = [{"path": "$", "expected": found.expected, "got": found.got}]
    if not rows:
        return []
    lines = [Text.assemble("  ", ("expected (-) and got (+)", "dim"))]
    for row in rows:
        lines.append(Text(f"    {one_line(str(row['path']))}"))
        lines += [Text(f"    - {_value(row['expected'])}", "red")] if "expected" in row else []
        lines += [Text(f"    + {_value(row['got'])}", "green")] if "got" in row else []
    return lines


def _facts(found: Divergence) -> list[Text]:
    rows = [row for row in found.facts if isinstance(row, dict)]
    if not rows:
        return []
    return [
        Text.assemble("  ", ("facts that fed it", "dim")),
        *(Text(f"    {row['namespace']} {row['outcome']}  {row['payload_id']}") for row in rows),
    ]


def _value(value: JsonValue) -> str:
    text = one_line(msgspec.json.encode(value).decode())
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}… ({len(text)} characters)"
