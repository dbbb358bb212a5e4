"""One journey through the harbour: driven by one process after the other, its questions answered from the journal."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from durum.app.blocking import wait
from durum.codec import decode_log
from durum.engine.engine import Watcher
from durum.errors import WorldError
from durum.testing.faulty import FaultyStore, FaultyTransport
from tests.engine.crashes import RUN, opened
from tests.faults.harbour import World, harbour

if TYPE_CHECKING:
    from collections.abc import Callable

    from durum import Durum
    from durum.core.events import Envelope
    from durum.engine.engine import Store
    from durum.testing.faulty import MakeError, Plan

MOST_PROCESSES = 40
BEGIN = 3


class Came(NamedTuple):
    """What a run came to."""

    status: str
    final_snapshot_id: str
    semantic_digest: str
    context: dict[str, Any]


class Journey:
    """A run on a store whose calls fail by plan, and what was seen of it on the way."""

    def __init__(self, handle: Callable[[], Store], plan: Plan, error: MakeError, *, transport: bool = False) -> None:
        self.world = World()
        self.told: list[Envelope] = []
        self.errors: list[Exception] = []
        self.processes = 0
        self._handle = handle
        self._plan = None if transport else plan
        self._error = error
        self.flow = harbour(lambda: FaultyTransport(self.world, plan if transport else None, error))

    def go(self) -> Journey:
        """Drive it to its end; a process that meets an error is over, and the next one goes on."""
        while self.processes < MOST_PROCESSES:
            self.processes += 1
            service = opened(FaultyStore(self._handle(), self._plan, self._error))
            try:
                if self._drive(service):
                    return self
            except (WorldError, OSError) as error:
                self.errors.append(error)
            finally:
                service.close()
        message = f"not over after {MOST_PROCESSES} processes: {self.errors[-3:]}"
        raise AssertionError(message)

    def _drive(self, service: Durum) -> bool:
        """Drive it on as a person would, and tell whether it is over."""
        watcher = Watcher(event=self.told.append, child=self.told.append)
        if any(run["run_id"] == RUN for run in service.runs()):
            summary = service.resume(RUN, self.flow, actor="test", watcher=watcher)
        else:
            summary = service.start(self.flow, {"n": BEGIN}, run_id=RUN, watcher=watcher)
        for gate in service.gates():
            done = [answer for key, answer in self.world.journal if key == gate["subject"]]
            given: dict[str, object] = {"happened": bool(done), **({"result": done[0]} if done else {})}
            service.answer(str(gate["run_id"]), str(gate["gate"]), given, actor="test")
        return summary["status"] not in {"paused", "running", "interrupted"}

    @cached_property
    def came(self) -> Came:
        """Return what it came to, read through a store that works; check what every run must be."""
        service = opened(self._handle())
        try:
            for run in service.runs():
                run_id = str(run["run_id"])
                assert service.verify(run_id).first_bad is None
                log = {each.seq: each for each in self._log(service, run_id)}
                told = [each for each in self.told if each.run_id == run_id]
                assert list(log) == list(range(1, len(log) + 1)), "there is a gap"
                assert all(log[each.seq] == each for each in told), "an event was acknowledged and is another now, or gone"
                assert len({each.seq for each in told}) == len(told), "an event was told twice"
            summary: dict[str, Any] = dict(service.show(RUN))
            context: Any = service.context(RUN)
            replayed = service.replay(RUN, "reproduce", self.flow)
            assert replayed.divergence is None, replayed.divergence
            return Came(summary["status"], summary["final_snapshot_id"], summary["semantic_digest"], context)
        finally:
            service.close()

    @staticmethod
    def _log(service: Durum, run_id: str) -> list[Envelope]:
        return list(decode_log(run_id, wait(service._store.read_range(run_id))))
