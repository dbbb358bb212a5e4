"""Small workflows that a crash test finds something in, or nothing."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from durum import Io, Retry, TransportError, Workflow
from tests.workflows.journal import Tides

sound = Workflow("sound", transports={"tides": Tides})


@sound.step
async def drawn(io: Io) -> str:
    """Draw something that differs from run to run."""
    return (await io.random_bytes(8)).hex()


@sound.step(effects="apply_side_effect")
async def written(drawn: str, io: Io) -> str:
    """Write a file."""
    await io.write_file("page", drawn)
    return drawn


@sound.step
def left(drawn: str) -> int:
    """Stand beside another one."""
    return len(drawn)


@sound.step
def right(drawn: str) -> int:
    """Stand beside another one."""
    return len(drawn) + 1


tiny = Workflow("tiny")


@tiny.step
def one() -> int:
    """Give something."""
    return 1


# --- workflows with a mistake of their author's -----------------------------------------------------------------------

careless = Workflow("careless")
_seen: list[int] = []  # which does not survive the process


@careless.step
def first() -> int:
    """Remember something outside the context."""
    _seen.append(1)
    return 1


@careless.step(after=[first])
def second() -> int:
    """Go by what another step remembered."""
    _seen.append(2)
    return len(_seen)


@careless.step(after=[second])
def third() -> int:
    """Go by it too."""
    return len(_seen)


class Counter:
    """Implements ``Transport``: its answers go by how often this process asked."""

    def __init__(self) -> None:
        self._asked = 0

    async def call(self, request: object, call: object) -> int:
        """Count."""
        del request, call
        self._asked += 1
        return self._asked

    async def close(self) -> None:
        """Hold nothing."""


counting = Workflow("counting", transports={"counter": Counter})


@counting.step
async def once(io: Io) -> object:
    """Ask."""
    return await io.call("counter", {})


@counting.step(after=[once])
async def twice(io: Io) -> object:
    """Ask again."""
    return await io.call("counter", {"again": True})


class Dead:
    """Implements ``Transport``: fails, and nobody knows how far it came."""

    async def call(self, request: object, call: object) -> None:
        """Fail."""
        del request, call
        raise TransportError("the line went dead", code="line_dead", retryable=True)

    async def close(self) -> None:
        """Hold nothing."""


dead = Workflow("dead", transports={"dead": Dead})


@dead.step(effects="apply_side_effect")
async def tried(io: Io) -> None:
    """Fail in a way that may be retried, so that somebody has to say what became of the first try."""
    await io.call("dead", {}, read=False)


endless = Workflow("endless")


@endless.step
def dies() -> None:
    """End the process, each time."""
    os.kill(os.getpid(), signal.SIGKILL)


stuck = Workflow("stuck")


@stuck.step
def hangs() -> None:
    """Hold the process."""
    if Path("stuck").exists():
        time.sleep(60)
    Path("stuck").touch()


asking = Workflow("asking", transports={"dead": Dead})


@asking.step(effects="apply_side_effect", retry=Retry(attempts=2))
async def unsure(io: Io) -> None:
    """Try again what failed, so that the run asks even if nobody disturbs it."""
    await io.call("dead", {}, read=False)
