"""Workflows that start runs of others, a store that keeps what was durable after every write, and a drive in a thread."""

from __future__ import annotations

import asyncio
import copy
import threading
from typing import TYPE_CHECKING, Any, TypedDict

import msgspec

from durum import Durum, Io, Workflow
from durum.errors import NotFoundError
from durum.stores.memory import MemoryBackend, MemoryStore
from tests.engine.crashes import opened

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from durum.core.canonical import JsonObject
    from durum.ports import Artifact, Head, Message, StoredEvent
    from durum.workflow.options import StepOptions

PATIENCE_SECONDS = 30
_FAR = 20  # turns of the loop


class Number(TypedDict):
    """What a child is given."""

    n: int


def doubling(name: str = "kid") -> Workflow:
    """Return a workflow of two steps that gives ``doubled``."""
    kid = Workflow(name, inputs=Number)

    @kid.step
    async def read(n: int, io: Io) -> int:
        await io.random_bytes(1)
        return n

    @kid.step
    def doubled(read: int) -> int:
        return read * 2

    return kid


def starting(child: Workflow, name: str = "parent", result: str | None = "doubled") -> Workflow:
    """Return a workflow with one child run, whose result goes on to another step."""
    flow = Workflow(name, inputs=Number)
    options: StepOptions = {"child": child}
    if result is not None:
        options["result"] = result

    @flow.step(**options)
    def given(n: int) -> Number:
        return {"n": n}

    @flow.step
    def end(given: Any) -> Any:
        return given

    return flow


def three_deep() -> Workflow:
    """Return a workflow with children for each of two items, each with a child of its own."""
    middle = starting(doubling(), "middle")
    flow = Workflow("top", inputs=Number)

    @flow.step
    def numbers(n: int) -> list[int]:
        return [n, n + 1]

    @flow.step(each="numbers", child=middle, result="end", writes="many")
    def spread(item: int) -> Number:
        return {"n": item}

    @flow.step
    def total(many: list[int]) -> int:
        return sum(many)

    return flow


def rows(service: Durum, run_id: str, *kinds: str) -> list[dict[str, Any]]:
    """Return the events of a run, of some kinds or all, each with its own fields only; none if it has not begun."""
    try:
        events: list[Any] = [row["event"] for row in service.events(run_id)]
    except NotFoundError:
        return []
    return [event for event in events if not kinds or event["kind"] in kinds]


def child_of(service: Durum, run_id: str) -> str:
    """Return the one child a run ever started."""
    (spawned,) = rows(service, run_id, "child.spawned")
    return str(spawned["child_run_id"])


def statuses(service: Durum) -> dict[str, str]:
    """Return workflow -> status of the runs of a store that has one of each."""
    return {str(row["op_id"]): str(row["status"]) for row in service.runs()}


def meanings(service: Durum) -> dict[str, tuple[object, ...]]:
    """Return run id -> what it came to."""
    keys = ("status", "final_snapshot_id", "semantic_digest")
    return {str(row["run_id"]): tuple(row[key] for key in keys) for row in service.runs()}


class Slow:
    """A workflow whose one step holds until it is let go, and how often it ran."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.free = threading.Event()
        self.ran: list[int] = []
        self.flow = Workflow("kid", inputs=Number)

        @self.flow.step(blocking=True)
        def doubled(n: int) -> int:
            self.ran.append(n)
            self.entered.set()
            assert self.free.wait(30)
            return n * 2


class Filming(MemoryStore):
    """A store in memory that keeps a copy of all it holds after every write."""

    def __init__(self) -> None:
        self.backend = MemoryBackend()
        super().__init__(self.backend)
        self.film: list[MemoryBackend] = []

    def _keep(self) -> None:
        left = MemoryBackend()
        left.artifacts = dict(self.backend.artifacts)  # too many are harmless
        left.runs = copy.deepcopy(self.backend.runs)
        for run in left.runs.values():  # whoever owned it died just then
            run.head = msgspec.structs.replace(run.head, owner="dead" if run.head.owner else None)
        self.film.append(left)

    async def claim(self, run_id: str, *, create: bool = False, now_ms: int = 0) -> Head:
        """Claim, and keep what is there now."""
        head = await super().claim(run_id, create=create, now_ms=now_ms)
        self._keep()
        return head

    async def append(
        self,
        run_id: str,
        expected_seq: int,
        epoch: int,
        events: Sequence[StoredEvent],
        artifacts: Sequence[Artifact] = (),
        consumed: Sequence[str] = (),
        *,
        sync: bool = True,
    ) -> int:
        """Append as a store far away does, while others go on, and keep what is there now."""
        for _ in range(_FAR):
            await asyncio.sleep(0)
        seq = await super().append(run_id, expected_seq, epoch, events, artifacts, consumed, sync=sync)
        self._keep()
        return seq

    async def send(self, message: Message) -> bool:
        """Send, and keep what is there now."""
        sent = await super().send(message)
        self._keep()
        return sent


def filmed(flow: Workflow, run_id: str, inputs: JsonObject) -> tuple[dict[str, tuple[object, ...]], list[MemoryBackend]]:
    """Run a workflow and return what its runs came to, and what was durable after every write on the way."""
    store = Filming()
    service = opened(store)
    service.start(flow, inputs, run_id=run_id)
    return meanings(service), store.film


class Driven:
    """A drive in a thread of its own."""

    def __init__(self, drive: Callable[[], object]) -> None:
        self._drive = drive
        self.outcome: Any = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.outcome = self._drive()
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.outcome = error

    @property
    def under_way(self) -> bool:
        """Whether it has not come back."""
        return self._thread.is_alive()

    def ended(self) -> Any:
        """Wait for it and return what it returned or raised."""
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive(), "it did not come back"
        return self.outcome


def until(true: Callable[[], bool]) -> None:
    """Wait until something holds."""
    pause = threading.Event()
    for _ in range(PATIENCE_SECONDS * 50):
        if true():
            return
        pause.wait(0.02)
    raise AssertionError("it never came to that")
