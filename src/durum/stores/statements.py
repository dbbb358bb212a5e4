"""SQL kept in ``.sql`` files: one named, commented statement each."""

from __future__ import annotations

import re
from importlib.resources import files

_NAMED = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def schema() -> str:
    """Return the script that makes an empty store."""
    return (files("durum.stores") / "sql" / "schema.sql").read_text(encoding="utf-8")


def changes(version: int) -> list[str]:
    """Return the statements that bring a store from the schema before to ``version``."""
    text = (files("durum.stores") / "sql" / f"to_{version}.sql").read_text(encoding="utf-8")
    return [bare for part in text.split(";\n") if (bare := _bare(part))]


def statements() -> dict[str, str]:
    """Return name -> SQL of every statement."""
    parts = _NAMED.split((files("durum.stores") / "sql" / "statements.sql").read_text(encoding="utf-8"))
    return {name: _bare(text) for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def _bare(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.startswith("--")).strip().rstrip(";")
