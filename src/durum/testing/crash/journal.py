"""The journal of effects: a file outside the store that knows which effects were really performed, whatever the log says."""

from __future__ import annotations

import os
from collections import Counter
from os import fsync  # as it is before anybody watches it: the journal is no part of what is tested
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from durum.core.state import Happened
from durum.engine.live_io import NOT_BEGUN

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """An effect began or ended."""

    key: str
    what: Literal["begun", "done", "failed", "given_up"]
    state_id: str
    request_id: str
    idempotent: bool = False
    result: Any = None  # of one that is done: what it gave back, as it is recorded
    code: str = ""  # of one that failed


def write_line(path: Path, line: Line) -> None:
    """Add a line, durably."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, msgspec.json.encode(line) + b"\n")
        fsync(file)
    finally:
        os.close(file)


def read_lines(path: Path) -> list[Line]:
    """Return what was written so far; none if no effect was begun."""
    try:
        return msgspec.json.decode(b"[" + b",".join(path.read_bytes().splitlines()) + b"]", type=list[Line])
    except FileNotFoundError:
        return []


def verdict(lines: Iterable[Line], key: str) -> Happened | Literal[False] | None:
    """Return what became of an effect; None if the journal cannot tell: it began, and nobody saw its end."""
    found: Happened | Literal[False] | None = False
    for line in lines:
        if line.key != key:
            continue
        match line.what:
            case "done":
                return Happened(line.result)
            case "failed" if line.code in NOT_BEGUN:
                found = False
            case _:
                found = None
    return found


def repeated(lines: Iterable[Line]) -> list[str]:
    """Return which effects were done more than once though their steps do not say that they may be."""
    done = Counter((line.key, line.state_id) for line in lines if line.what == "done" and not line.idempotent)
    return [f"{key} of {state_id} was done {count} times" for (key, state_id), count in sorted(done.items()) if count > 1]


def why_unknown(lines: Iterable[Line], key: str) -> str:
    """Return why the journal cannot tell what became of an effect."""
    last = [line for line in lines if line.key == key][-1]
    return f"it failed with {last.code}, perhaps after it happened" if last.code else "it was begun, and nobody saw its end"
