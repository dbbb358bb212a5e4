"""What is the world's fault is found behind whatever a transport made of it, and nothing else is."""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING, Any

import pytest

from durum import DurumError, Io, TransportError, Workflow
from durum.engine import artifacts
from durum.engine.world_faults import worlds_fault
from durum.errors import NotFoundError, OutOfFilesError, StoreUnavailableError, WorldError
from durum.stores.memory import MemoryBackend, MemoryStore
from durum.testing.faulty import Fault, FaultyStore, failing
from tests.engine.crashes import RUN, opened
from tests.engine.doubles import Scripted
from tests.engine.runs import Ran

if TYPE_CHECKING:
    from collections.abc import Callable

SHORT = OSError(errno.EMFILE, "Too many open files")
AWAY = StoreUnavailableError("x.db", "away")


def raised(error: BaseException, cause: BaseException | None = None, *, hidden: bool = False) -> BaseException:
    """Return an error as it is once it was raised in answer to another."""
    try:
        try:
            if cause is not None:
                raise cause
        except BaseException:  # noqa: BLE001
            if hidden:
                raise error from None
            raise error  # noqa: B904
        raise error
    except BaseException as found:  # noqa: BLE001
        return found


@pytest.mark.parametrize("hidden", [True, False])
@pytest.mark.parametrize("cause", [SHORT, AWAY, OSError(errno.ENFILE, "system"), OutOfFilesError("x")], ids=repr)
def test_it_is_found_behind_other_words(cause: BaseException, hidden: bool) -> None:  # noqa: FBT001
    """As itself, and behind the transport's own error, said so or not."""
    kind = StoreUnavailableError if cause is AWAY else OutOfFilesError
    assert isinstance(worlds_fault(cause), kind)
    assert isinstance(worlds_fault(raised(TransportError("mine"), cause, hidden=hidden)), kind)
    assert isinstance(worlds_fault(raised(ValueError("mine"), raised(TransportError("theirs"), cause))), kind)


@pytest.mark.parametrize("error", [OSError(errno.ENOENT, "x"), TransportError("x"), ValueError("x"), SystemExit(1)], ids=repr)
def test_anything_else_is_an_outcome(error: BaseException) -> None:
    """Also an error that has come to be its own cause."""
    assert worlds_fault(error) is None
    error.__context__ = error
    assert worlds_fault(error) is None


class Odd(Exception):  # noqa: N818 - it is anyone's
    """An exception that answers no question about itself."""

    def __getattribute__(self, name: str) -> Any:
        """Refuse."""
        raise RuntimeError(name)


def test_nothing_of_an_exceptions_own_is_asked() -> None:
    """What a transport raises is anyone's code, and so is all that is behind it."""
    assert worlds_fault(Odd()) is None
    odd = Odd()
    BaseException.__setattr__(odd, "__context__", SHORT)
    assert isinstance(worlds_fault(odd), OutOfFilesError)


def insisting(answer: Callable[[], Any], *, acts: bool) -> tuple[Workflow, list[str]]:
    """Return a workflow whose step takes no error for an answer, and what it did all the same."""
    did: list[str] = []

    def asked(request: Any, call: Any) -> Any:
        del request, call
        did.append("asked")
        return answer()

    flow = Workflow("insisting", transports={"world": lambda: Scripted(asked)})

    @flow.step(effects="apply_side_effect" if acts else "read_only_io")
    async def step(io: Io) -> str:
        for _ in range(3):
            try:
                return str(await io.call("world", {"say": "x"}, read=not acts))
            except DurumError:
                continue
        return "fell back"

    return flow, did


@pytest.mark.parametrize("acts", [False, True])
@pytest.mark.parametrize("error", [SHORT, AWAY], ids=["files", "store"])
def test_a_step_that_falls_back_does_not_make_it_an_outcome(error: BaseException, acts: bool) -> None:  # noqa: FBT001
    """Whatever the step does with it: the run stops at once, asks no more, and resumed comes to what it would have."""
    answers: list[BaseException] = [error]

    def answer() -> Any:
        if answers:
            raise answers.pop()
        return "answered"

    flow, did = insisting(answer, acts=acts)
    service = opened(MemoryBackend())
    with pytest.raises(WorldError):
        service.start(flow, run_id=RUN)
    assert did == ["asked"]
    ran = Ran(service, flow, service.resume(RUN, flow))
    if acts:  # it had begun: that is a question, as after a crash
        (gate,) = service.gates(RUN)
        service.answer(RUN, str(gate["gate"]), {"happened": False})
        ran = Ran(service, flow, service.resume(RUN, flow))
    assert (ran.sound().status, ran.context["step"]) == ("completed", "answered")


def test_readers_share_what_was_read_and_hear_of_an_outage_each_for_itself() -> None:
    """One run whose read failed does not stop those beside it."""
    store = FaultyStore(MemoryStore())
    heard: list[StoreUnavailableError] = []
    first = artifacts.ArtifactReader(store)
    other = first.sibling()
    first.on_away = heard.append
    first.cache.keep("a" * 64, b"x")
    assert other.cache.get("a" * 64) == b"x"
    store.plan = failing("get", Fault.NOT_DONE, 1, 2)
    with pytest.raises(NotFoundError):  # the third try went through
        asyncio.run(other.get("b" * 64))
    store.plan = failing("get", Fault.NOT_DONE)
    for reader in (first, other):
        with pytest.raises(StoreUnavailableError):
            asyncio.run(reader.get("b" * 64))
    assert len(heard) == 1


def test_a_context_that_cannot_be_read_is_no_failure_of_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even of one that has a fallback: that would be nowhere in the record."""
    monkeypatch.setattr(artifacts, "_LARGEST_CACHED", 0)
    store = FaultyStore(MemoryStore(MemoryBackend()))
    flow, times = Workflow("reading"), [1]

    @flow.step
    def large() -> str:
        return "l" * 100_000

    @flow.step
    def away(large: str) -> int:
        if times:
            times.clear()
            store.plan = failing("get", Fault.NOT_DONE)
        return len(large)

    @flow.step
    def reads(away: int, large: str) -> int:
        return away + len(large)

    service = opened(store)
    with pytest.raises(StoreUnavailableError):
        service.start(flow, run_id=RUN)
    store.plan = None
    ran = Ran(service, flow, service.resume(RUN, flow)).sound()
    assert (ran.status, ran.context["reads"]) == ("completed", 200_000)
