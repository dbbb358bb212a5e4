"""A simulated world: a seed, its time, its processes and what goes wrong in it."""

from __future__ import annotations

import asyncio
import contextvars
import random
from typing import TYPE_CHECKING

import msgspec

from durum.core.lease import Lease
from durum.engine.system import SystemClock
from durum.stores.memory import MemoryBackend
from tests.simulation.loop import Process, SimulatedLoop, current_process
from tests.simulation.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

EPOCH_MS = 1_700_000_000_000
LEASE_SECONDS = 6.0
LEASE_NS = int(LEASE_SECONDS * 1e9)
QUIET_SECONDS = 90.0  # nothing goes wrong any more after this moment
BOOT = "the one boot of this machine"
BEATS_A_LEASE = 8

current_world: contextvars.ContextVar[World] = contextvars.ContextVar("simulated_world")


class Troubles(msgspec.Struct):
    """What goes wrong in one world: chances for every message, and how often at most."""

    dies: float = 0.0
    hangs: float = 0.0
    lost: float = 0.0  # acknowledgements
    away: float = 0.0  # the store
    fails: float = 0.0  # the outside
    slow: float = 0.0
    deaths_left: int = 0
    hangs_left: int = 0
    failures_left: int = 0
    jumps: int = 0  # of the wall clock
    outages: int = 0  # of the store, for everybody
    leaves: int = 0  # of workers that are asked to


class Heart:
    """The heart of one worker: the lease it left last, and how often a beat came so late that others may have given it up."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.gaps = 0
        self.lease = Lease(BOOT, world.lease_ns(), LEASE_NS)
        self.beat_at = world.now  # the truth

    def beat(self) -> None:
        """Give a sign of life."""
        if not self.held:
            self.gaps += 1
        self.lease = Lease(BOOT, self._world.lease_ns(), LEASE_NS)
        self.beat_at = self._world.now

    @property
    def held(self) -> bool:
        """Whether the worker itself may act on the outside."""
        return self.lease.held(self._world.lease_ns())


class Living(set[str]):
    """The workers whose locks are held, as others judge them: one whose lease lapsed is taken for hung."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def __contains__(self, worker: object) -> bool:
        return self.holds(worker) and not self._world.hearts[str(worker)].lease.lapsed(self._world.lease_ns(), BOOT)

    def holds(self, worker: object) -> bool:
        """Tell whether a worker's lock is held."""
        return super().__contains__(worker)


class World:
    """One world, made from a seed."""

    def __init__(self, seed: int, troubles: Troubles) -> None:
        self.random = random.Random(seed)
        self.troubles = troubles
        self.loop = SimulatedLoop()
        self.record = Record()
        self.trace: list[str] = []
        self.context = contextvars.Context()  # of what belongs to no process
        self.context.run(current_world.set, self)
        self.workers: dict[str, Process] = {}  # by worker id
        self.hearts: dict[str, Heart] = {}  # by worker id
        self.living = Living(self)
        self.backend = MemoryBackend()
        self.backend.alive = self.living
        self._numbers = 0
        self.away_until = 0.0
        self._names: dict[str, str] = {}  # of messages, by the ids drawn for them

    # --- time and chance --------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """The true monotonic time in seconds."""
        return self.loop.time()

    def lease_ns(self) -> int:
        """Return the time by which leases are judged."""
        return int(self.now * 1e9)

    def wall_ms(self) -> int:
        """Return what the wall clock of the machine shows; it may have been set."""
        return EPOCH_MS + int(self.now * 1000) + self.record.offsets[-1][1]

    def set_clock(self, offset_ms: int) -> None:
        """Set the wall clock."""
        self.tell(f"the clock is set to {offset_ms:+d} ms")
        self.record.offsets.append((self.now, offset_ms))

    def reached(self, due_ms: int, since: float, until: float) -> bool:
        """Tell whether the wall clock showed a moment at any time between two true ones."""
        offsets = self.record.offsets
        for place, (begun, offset_ms) in enumerate(offsets):
            latest = min(offsets[place + 1][0], until) if place + 1 < len(offsets) else until
            if latest >= max(begun, since) and EPOCH_MS + latest * 1000 + offset_ms >= due_ms:
                return True
        return False

    def number(self) -> int:
        """Return the next number of this world."""
        self._numbers += 1
        return self._numbers

    def name_of(self, message_id: str) -> str:
        """Return what a message is called in this world."""
        return self._names.setdefault(message_id, f"m{len(self._names)}")

    @property
    def quiet(self) -> bool:
        """Whether nothing goes wrong any more."""
        return self.now >= QUIET_SECONDS

    def take_store_away(self, seconds: float) -> None:
        """Let no call reach the store for a while."""
        self.tell(f"the store is away for {seconds:.3f} s")
        self.away_until = self.now + seconds

    def chance(self, share: float) -> bool:
        """Draw whether something goes wrong now."""
        return share > 0 and not self.quiet and self.random.random() < share

    def delay(self) -> float:
        """Draw how long a message is under way."""
        if self.chance(self.troubles.slow):
            return self.random.uniform(0.2, 2.0)
        return self.random.uniform(0.0005, 0.02)

    async def hop(self) -> None:
        """Let a message travel."""
        await asyncio.sleep(self.delay())

    # --- the trace --------------------------------------------------------------------------------------------------

    def tell(self, what: str) -> None:
        """Add a line to the trace."""
        if not self.loop.is_closed():
            process = current_process.get()
            self.trace.append(f"{self.now:11.6f} {'world' if process is None else process.name:<10} {what}")

    def fault(self, what: str) -> None:
        """Note what must not happen."""
        self.tell(f"FAULT {what}")
        if not self.loop.is_closed():
            self.record.faults.append(what)

    # --- processes ----------------------------------------------------------------------------------------------------

    def start(self, name: str, main: Callable[[Process], Coroutine[object, object, None]]) -> None:
        """Start a process; when it dies, a new one of its kind begins after a while."""
        process = Process(f"{name}.{self.number()}", again=lambda: self.start(name, main))
        context = self.context.copy()
        context.run(current_process.set, process)
        context.run(self.tell, "starts")
        process.main = self.loop.create_task(self._live(process, main), context=context)

    async def _live(self, process: Process, main: Callable[[Process], Coroutine[object, object, None]]) -> None:
        try:
            await main(process)
        except Exception as error:  # noqa: BLE001 - whatever a process did not expect is a finding
            self.fault(f"{process.name} ended by {type(error).__name__}: {error}")
        else:
            self.tell("ends")
            self._end(process)

    def open_handle(self, worker: str, process: Process) -> Heart:
        """Note a new worker id, and let its heart beat while its process runs and its handle is open."""
        self.workers[worker] = process
        self.hearts[worker] = heart = Heart(self)
        self.living.add(worker)

        def beat() -> None:
            if self.living.holds(worker):
                heart.beat()
                self.loop.call_later(LEASE_SECONDS / BEATS_A_LEASE, beat)

        self.loop.call_later(LEASE_SECONDS / BEATS_A_LEASE, beat)
        return heart

    def ask_to_leave(self) -> None:
        """Ask one of the workers to let go of its runs and end."""
        asked = [process for process in self.workers.values() if process.alive and process.leave is not None]
        if asked:
            process = self.random.choice(asked)
            self.tell(f"{process.name} is asked to leave")
            assert process.leave is not None
            process.leave()

    def well(self, worker: str) -> bool:
        """Tell whether a worker lives and beat within its lease: the truth, whatever anyone judges by."""
        lives = self.workers[worker].alive and self.living.holds(worker)
        return lives and self.now - self.hearts[worker].beat_at <= LEASE_SECONDS

    def kill(self, process: Process) -> None:
        """Let a process die here and now."""
        if process.alive:
            self.troubles.deaths_left -= 1
            self.tell(f"{process.name} dies")
            self._end(process)

    def _end(self, process: Process) -> None:
        """Let the kernel free a process's locks: nobody hears another word of it, and the next of its kind begins later."""
        process.alive = False
        for worker, owner in self.workers.items():
            if owner is process:
                self.living.discard(worker)
        assert process.again is not None
        self.loop.call_later(self.random.uniform(0.05, 4.0), process.again, context=self.context)

    def hang(self, process: Process, seconds: float) -> None:
        """Stop a process for a while."""
        self.troubles.hangs_left -= 1
        self.tell(f"{process.name} hangs for {seconds:.3f} s")
        self.loop.hang(process)
        self.loop.call_later(seconds, self._go_on, process, context=self.context)

    def _go_on(self, process: Process) -> None:
        if process.alive:
            self.tell(f"{process.name} goes on")
            self.loop.go_on(process)

    async def may_stop(self, weight: int = 1) -> None:
        """Let the process that runs die or hang, if its time has come; of one that dies nothing more happens."""
        process = current_process.get()
        if process is None:
            return
        troubles = self.troubles
        if troubles.deaths_left > 0 and self.chance(troubles.dies * weight):
            self.kill(process)
            await self.loop.create_future()
        if troubles.hangs_left > 0 and self.chance(troubles.hangs * weight):
            self.hang(process, LEASE_SECONDS * self.random.choice((0.8, 1.5, 4.0)))
            await asyncio.sleep(0)


class SimulatedClock(SystemClock):
    """Implements ``Clock`` as the shipped one does, over the wall clock of the world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now_ms(self) -> int:
        """Return what the wall clock shows."""
        return self._world.wall_ms()


class SimulatedEntropy:
    """Implements ``Entropy``; the bytes depend on how many are asked for alone, so an undisturbed run draws the same ones."""

    def __init__(self, world: World) -> None:
        self._world = world

    def random_bytes(self, n: int) -> bytes:
        """Return the ``n`` bytes of every world."""
        return bytes((37 * n + 11 * place) % 251 for place in range(n))

    def uniform(self) -> float:
        """Return a float in [0, 1)."""
        return self._world.random.random()
