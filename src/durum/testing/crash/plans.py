"""Which processes of a round are killed, and when: at random, or one at each boundary."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from durum.testing.crash.task import Crossing, Kill

if TYPE_CHECKING:
    import random
    from collections.abc import Collection, Iterator, Sequence

    from durum.testing.crash.task import Verb

NextKill = Callable[["Verb"], "Kill | None"]
"""Asked before each process of a round that may be killed."""

_ANSWER_SHARE = 0.25  # of those who answer gates, the rest is left in peace
_ANSWER_CROSSINGS = 12
_SEQ = re.compile(r"\b\d+( to \d+)? ")
_FILED = frozenset({"rename", "replace"})


class Pace(NamedTuple):
    """How long a process that nobody kills takes for a whole run, and what it crosses."""

    seconds: float
    crossings: Sequence[Crossing]


def at_random(chance: random.Random, pace: Pace) -> NextKill:
    """Draw a moment for each process: every other one by the clock, every other one by what it crosses."""

    def draw(verb: Verb) -> Kill | None:
        if verb == "answer":
            number = chance.randint(1, _ANSWER_CROSSINGS)
            return Kill(crossing=number) if chance.random() < _ANSWER_SHARE else None
        if chance.getrandbits(1):
            return Kill(seconds=chance.uniform(0, pace.seconds))
        return Kill(crossing=chance.randint(1, max(1, len(pace.crossings))))

    return draw


def in_order(kills: Sequence[Kill | None]) -> NextKill:
    """Hand out kills process by process."""
    left = iter(kills)
    return lambda _: next(left, None)


class Plan(NamedTuple):
    """The kills of a round, process by process; the last one is what it is made for, at ``crossing``."""

    kills: tuple[Kill | None, ...]
    crossing: Crossing

    @property
    def wanted(self) -> int:
        """How many processes are to die."""
        return sum(kill is not None for kill in self.kills)


def each_of(
    crossings: Sequence[Crossing], before: tuple[Kill | None, ...] = (), known: Collection[Crossing] = ()
) -> Iterator[Plan]:
    """Return a plan for each crossing of a process that is the next after those of ``before``, but for those that are known.

    Where a kill would wait for the end of an effect, it would come at a crossing that has a plan of its own.
    """
    seen = {_without_seq(crossing) for crossing in known}
    for number, crossing in enumerate(crossings, 1):
        if not crossing.held and _without_seq(crossing) not in seen:
            yield Plan((*before, Kill(crossing=number)), crossing)


def _without_seq(crossing: Crossing) -> tuple[str, str, str]:
    return _SEQ.sub("", crossing.name), crossing.when, crossing.site


def interruptions(crossings: Sequence[Crossing]) -> list[Kill]:
    """Return where a first process dies so that the next ones have something to make good.

    That is with an effect done and not recorded, and with a file written and not named, each in its turn; and in the middle.
    """
    found = [number for number, crossing in enumerate(crossings, 1) if not crossing.held and _leaves_something(crossing)]
    return [Kill(crossing=number) for number in (*found, len(crossings) // 2 + 1)]


def _leaves_something(crossing: Crossing) -> bool:
    return crossing.name.startswith("effect ") if crossing.when == "after" else crossing.name in _FILED
