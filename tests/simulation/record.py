"""What really happened in a simulated world, kept beside the code that is simulated and never by it."""

from __future__ import annotations

import msgspec

from durum.core.canonical import JsonValue


class Claimed(msgspec.Struct, frozen=True):
    """A worker became the owner of a run; ``robbed`` is the owner it took it from, ``living`` whether that one was well."""

    number: int  # the order of all that is recorded
    run_id: str
    epoch: int
    worker: str
    robbed: str | None
    living: bool


class Committed(msgspec.Struct, frozen=True):
    """An append became durable."""

    number: int
    at: float  # true monotonic seconds, as everywhere here
    run_id: str
    epoch: int
    worker: str
    first: int
    last: int
    consumed: tuple[str, ...]


class Acknowledged(msgspec.Struct, frozen=True):
    """Somebody was told that an append is durable."""

    run_id: str
    seq: int
    hash: bytes


class Performed(msgspec.Struct, frozen=True):
    """The outside did something: a line of its journal."""

    at: float
    key: str
    request: dict[str, JsonValue]
    answer: JsonValue
    idempotent: bool


class Record(msgspec.Struct):
    """All that really happened."""

    claims: list[Claimed] = []
    commits: list[Committed] = []
    acknowledged: list[Acknowledged] = []
    journal: list[Performed] = []
    witnessed: list[float] = []  # when the outside was told what a step of ``branches`` drew
    sent: dict[str, tuple[str, str]] = {}  # message id -> run and kind, of what an inbox accepted
    offsets: list[tuple[float, int]] = msgspec.field(default_factory=lambda: [(0.0, 0)])  # of the wall clock, and since when
    faults: list[str] = []  # what must not happen in any process

    def times(self, run_id: str) -> dict[int, float]:
        """Return when each event of a run became durable, by seq."""
        mine = [commit for commit in self.commits if commit.run_id == run_id]
        return {seq: commit.at for commit in mine for seq in range(commit.first, commit.last + 1)}
