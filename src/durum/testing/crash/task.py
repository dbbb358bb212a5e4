"""What a process of a crash test is asked to do, and the files it shares with whoever asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

Verb = Literal["start", "resume", "answer", "judge"]
UNKNOWN_EFFECT = "unknown_effect"
"""The kind of gate that a crash test answers."""


class Kill(msgspec.Struct, frozen=True, omit_defaults=True):
    """When a process kills itself: at its n-th crossing, or so many seconds after it began; the earlier counts."""

    crossing: int | None = None  # 1-based
    seconds: float | None = None

    def __str__(self) -> str:
        """Return it for people."""
        return f"crossing {self.crossing}" if self.seconds is None else f"{self.seconds:.3f} s"


class Task(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing to do with the run of one round, in a process of its own."""

    verb: Verb
    folder: str  # of the round: store, journal and the rest
    desk: str  # the working directory of the steps
    run_id: str
    target: str
    inputs: dict[str, Any] = {}
    texts: bool = False
    max_concurrency: int = 8
    kill: Kill | None = None
    patience_seconds: float = 60.0


class Ended(msgspec.Struct, frozen=True):
    """How a process ended; it was killed from outside if it was not over in time."""

    code: int  # as the system has it: a signal is negative
    seconds: float
    hung: bool = False


decode_ended = msgspec.json.Decoder(Ended).decode  # made here: see ``core/plan.py``


class Answers(msgspec.Struct):
    """What came of answering the open gates of a round."""

    happened: int = 0
    did_not: int = 0
    open: list[str] = []  # what nobody could answer, and why


decode_answers = msgspec.json.Decoder(Answers).decode  # made here: see ``core/plan.py``


class Crossing(msgspec.Struct, frozen=True, omit_defaults=True):
    """One side of a boundary that a process came to."""

    name: str
    when: Literal["before", "after"]
    site: str = ""  # module:line of the call in Durum's source
    held: bool = False  # an effect was under way, so that a kill would have waited for its end

    def __str__(self) -> str:
        """Return it for people."""
        return f"{self.when} {self.name}"


class Files:
    """What lies in the folder of a round."""

    def __init__(self, folder: Path) -> None:
        self.store = folder / "durum.db"
        self.url = f"sqlite:///{self.store}"
        self.journal = folder / "effects"  # one line when an effect begins and one when it ends, durable
        self.acknowledged = folder / "acknowledged"  # one line an event, once the append has returned
        self.crossings = folder / "crossings"  # of the last process
        self.result = folder / "result.json"  # of the last process
        self.said = folder / "said"  # what the processes printed
