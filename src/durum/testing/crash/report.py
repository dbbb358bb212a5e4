"""What a crash test found."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from durum.testing.crash.judge import Fault
from durum.testing.crash.task import Crossing

if TYPE_CHECKING:
    from durum.core.canonical import JsonObject


class Boundary(msgspec.Struct, frozen=True):
    """One place where a process was to be killed, and whether one was; its crossing may not come in every run."""

    process: int  # of its round: 0 starts the run
    number: int  # of the crossing in its process
    crossing: Crossing
    met: bool


class CrashReport(msgspec.Struct):
    """The outcome of a crash test; ``faults`` is empty if nothing was found."""

    target: str
    seed: int
    compared: tuple[str, ...] = ()
    """In what every run had to come to the same as an undisturbed one: what two of these agreed in. Besides, each run was held
    against its own record and replay."""
    status: str = ""  # in which an undisturbed run ends
    rounds: int = 0
    kills: int = 0
    met: Counter[str] = msgspec.field(default_factory=Counter)
    """In the middle of what the kills landed; one kill may count for several."""
    answers: Counter[str] = msgspec.field(default_factory=Counter)
    """Of gates that asked for an unknown effect: ``happened`` and ``did_not_happen``."""
    boundaries: list[Boundary] = []
    held: int = 0  # boundaries of an undisturbed run that were not tried: an effect was under way, so a kill would have waited
    faults: list[Fault] = []
    kept: str | None = None  # the folder with a folder for each round that was kept
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.faults

    def to_json(self) -> JsonObject:
        """Return the report as JSON."""
        data: JsonObject = msgspec.to_builtins(self)
        return {"result": "ok" if self.ok else "found", **data}
