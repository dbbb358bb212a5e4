"""One simulation: a world made from a seed, lived through to its end, and what the checker has to say of it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache

import msgspec

from durum.errors import DurumError
from tests.simulation.actors import PersonProcess, WorkerProcess
from tests.simulation.checker import Meaning, check, meaning
from tests.simulation.codes import Wanted
from tests.simulation.loop import Process, Stalled
from tests.simulation.shared_store import SimulatedStore, kind_of
from tests.simulation.world import Troubles, World

LAST_SECONDS = 600.0  # every run is over by then
WANTED = (("branches",), ("effects",), ("family",), ("effects", "branches"), ("effects", "family"))


class Doubles(msgspec.Struct, frozen=True):
    """What stands for the parts of a world. ``engine`` replaces names in modules of the shipped code, given as module:name."""

    world: Callable[[int, Troubles], World] = World
    store: Callable[[World, Process], SimulatedStore] = SimulatedStore
    engine: Mapping[str, object] = {}


HEALTHY = Doubles()


class Scenario(msgspec.Struct, frozen=True):
    """What a seed means beside the order of things."""

    troubles: Troubles
    wanted: Sequence[Wanted]
    workers: int


class Lived(msgspec.Struct):
    """A world that came to its end."""

    world: World
    wanted: Sequence[Wanted]
    findings: list[str]

    @property
    def trace(self) -> str:
        """All that happened, a line each."""
        return "\n".join(self.world.trace) + "\n"


def scenario(seed: int) -> Scenario:
    """Return what a seed means: in every world only some things go wrong, so that each meets others alone and in company."""
    draw = random.Random(f"durum {seed}")
    troubles = Troubles(
        dies=draw.choice((0.0, 0.004, 0.015, 0.04)),
        hangs=draw.choice((0.0, 0.0, 0.02, 0.08)),
        lost=draw.choice((0.0, 0.01, 0.05, 0.2)),
        away=draw.choice((0.0, 0.01, 0.05, 0.2)),
        fails=draw.choice((0.0, 0.05, 0.2)),
        slow=draw.choice((0.0, 0.02, 0.1)),
        deaths_left=draw.choice((0, 1, 2, 5, 8)),
        hangs_left=draw.choice((1, 2, 4)),
        failures_left=draw.choice((0, 1, 3)),
        jumps=draw.choice((0, 0, 1, 3)),
        outages=draw.choice((0, 0, 1, 3)),
        leaves=draw.choice((0, 0, 1, 3)),
    )
    names = draw.choice(WANTED)
    word = draw.choice(("", "", "", "", "pause", "pause", "cancel"))
    wanted = [Wanted(_run_id(place), name, "" if place else word) for place, name in enumerate(names)]
    return Scenario(troubles, wanted, draw.choice((1, 2, 2, 3)))


def _run_id(place: int) -> str:
    return str(uuid.UUID(int=(0x7 << 76) | (0x8 << 60) | (0xD000 + place)))


def simulate(seed: int, doubles: Doubles = HEALTHY) -> Lived:
    """Live through the world of a seed, and check it."""
    asked = scenario(seed)
    expected = {run.workflow: undisturbed(run.workflow) for run in asked.wanted}
    world = doubles.world(seed, asked.troubles)
    with replaced(doubles.engine):
        _live(world, asked, doubles)
    findings = check(world)
    for run in asked.wanted if not world.record.faults else ():
        findings += _differs(world, run, expected[run.workflow])
    return Lived(world, asked.wanted, findings)


def _differs(world: World, run: Wanted, expected: Meaning) -> Iterator[str]:
    """Say so if a run came to something else than one that nothing disturbed; the checker tells of a broken log."""
    with contextlib.suppress(DurumError):
        came_to = meaning(world, run.run_id)
        cancelled = run.word == "cancel" and came_to.status == "cancelled"
        if came_to != expected and not cancelled:
            yield f"{run.workflow} came to {came_to}, undisturbed to {expected}"


@contextlib.contextmanager
def replaced(names: Mapping[str, object]) -> Iterator[None]:
    """Let names in modules mean something else for a while."""
    before = []
    for place, double in names.items():
        module_name, _, name = place.partition(":")
        module = sys.modules[module_name]
        before.append((module, name, getattr(module, name)))
        setattr(module, name, double)
    try:
        yield
    finally:
        for module, name, healthy in before:
            setattr(module, name, healthy)


@cache
def undisturbed(workflow: str) -> Meaning:
    """Return what a run comes to when nothing goes wrong."""
    wanted = Wanted(_run_id(0), workflow)
    world = World(0, Troubles())
    _live(world, Scenario(world.troubles, [wanted], 1), HEALTHY)
    assert check(world) == []
    return meaning(world, wanted.run_id)


def _live(world: World, asked: Scenario, doubles: Doubles) -> None:
    try:
        world.loop.run(_main(world, asked, doubles))
    except Stalled:
        world.fault("nothing will ever happen again")
    finally:
        for run_id, run in world.backend.runs.items():
            world.tell(f"{run_id} ends at event {run.head.seq} {run.head.hash.hex()}")
        world.loop.close()


async def _main(world: World, asked: Scenario, doubles: Doubles) -> None:
    """Let everybody live until every run is over."""
    mishaps = world.context.run(world.loop.create_task, _mishaps(world))
    for number in range(asked.workers):
        world.start(f"worker{number}", WorkerProcess(world, doubles.store))
    world.start("person", PersonProcess(world, doubles.store, asked.wanted))
    while open_runs := _open_runs(world, asked.wanted):
        await asyncio.sleep(0.5)
        if world.now > LAST_SECONDS:
            world.fault(f"never over: {', '.join(open_runs)}")
            break
    mishaps.cancel()


def _open_runs(world: World, wanted: Sequence[Wanted]) -> list[str]:
    """Return what is not over, children that began included."""
    runs = world.backend.runs
    missing = [run.run_id for run in wanted if run.run_id not in runs or not runs[run.run_id].events]
    return missing + [run_id for run_id, run in runs.items() if run.events and kind_of(run.events[-1]) != "run.completed"]


async def _mishaps(world: World) -> None:
    """Set the wall clock, take the store away and ask workers to leave, now and then."""
    troubles = world.troubles
    mishaps = ["clock"] * troubles.jumps + ["store"] * troubles.outages + ["worker"] * troubles.leaves
    world.random.shuffle(mishaps)
    for mishap in mishaps:
        await asyncio.sleep(world.random.expovariate(1 / 3.0))
        if world.quiet:
            return
        if mishap == "clock":
            world.set_clock(world.random.choice((-20_000, -3_000, 0, 3_000, 60_000)))
        elif mishap == "store":
            world.take_store_away(world.random.choice((0.2, 2.0, 9.0)))
        else:
            world.ask_to_leave()
