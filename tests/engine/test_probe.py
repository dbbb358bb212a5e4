"""A reconcile hook looks at the outside: its verdict is recorded, its own reads are not, and it can do nothing else."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from durum import Io, StepError, TransportError
from durum.core.state import Happened, IoCall, UnknownEffect
from durum.errors import IoError, StoreUnavailableError
from durum.stores.memory import MemoryBackend, MemoryStore
from durum.testing.faulty import Fault, FaultyStore, failing
from tests.engine.crashes import RUN, cut, opened
from tests.engine.doubles import Scripted
from tests.engine.questions import AGAIN, BUSY, acting, answered, asked
from tests.engine.runs import Ran, run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from durum import Workflow

    Hook = Callable[[UnknownEffect, Any], Awaitable[Any]]


class Receiver:
    """The outside: it does what it is asked for, and then says that it is busy, ``doubts`` times."""

    def __init__(self, doubts: int = 1, *, does: bool = True) -> None:
        self.done: list[Any] = []
        self.looked = 0
        self._doubts = doubts
        self._does = does
        self.transport = Scripted(self._answer)

    def _answer(self, request: Any, call: Any) -> Any:
        if call.effect_key is None:
            self.looked += 1
            return self.done[-1:]
        self._doubts -= 1
        if self._doubts < 0 or self._does:
            self.done.append(request["n"])
        if self._doubts >= 0:
            raise BUSY
        return f"paid {request['n']}"


def flow_of(receiver: Receiver, hook: Hook, **options: Any) -> Workflow:
    """Return a workflow whose one step pays and swallows whatever comes of it the second time."""
    flow = acting("looked_up", receiver.transport)

    @flow.step(effects="apply_side_effect", idempotency="k", reconcile=hook, retry=AGAIN, **options)
    async def act(io: Io) -> Any:
        try:
            return await io.call("fake", {"n": 1}, read=False)
        except TransportError as error:
            raise StepError("mine", retryable=True) from error
        except Exception:  # noqa: BLE001 - hostile
            return "fell back"

    return flow


async def looks(effect: UnknownEffect, io: Io) -> Any:
    """Ask the receiver."""
    there = await io.call("fake", effect.request)
    effect.request["n"] = "changed"
    return Happened(f"found {there}") if there else False


@pytest.mark.parametrize("does", [True, False])
def test_the_hook_says_what_happened(does: bool) -> None:  # noqa: FBT001
    """It is asked once; what it found is the call's result, else the call is made again, as it was asked for."""
    receiver = Receiver(does=does)
    ran = run(flow_of(receiver, looks)).sound()
    assert (ran.status, ran.context["act"]) == ("completed", "found [1]" if does else "paid 1")
    assert (receiver.done, receiver.looked) == ([1], 1)
    (settled,) = ran.events("effect.settled")
    assert (settled["event"]["happened"], settled["event"]["source"]) == (does, "reconcile")
    reads = [fact for fact in ran.facts() if fact["key"].endswith("|0") and "fake" in fact["key"]]
    assert len(reads) == len(ran.events("effect.intended")) + does, "the hook's own read is no fact"


def test_every_doubt_is_asked_about_once() -> None:
    """Two failures in a row: two doubts, two looks, and every try of the effect has the same key."""
    receiver = Receiver(doubts=2, does=False)
    ran = run(flow_of(receiver, looks)).sound()
    assert (ran.status, ran.context["act"], receiver.looked) == ("completed", "paid 1", 2)
    assert receiver.transport.effect_keys == ["k", None, "k", None, "k"]


@pytest.mark.parametrize(("verdict", "status"), [(True, "completed"), (False, "completed"), (None, "paused")])
def test_plain_words_do(verdict: object, status: str) -> None:
    """True: it happened and gave nothing back; False: it did not; None: cannot tell, so a person is asked."""

    async def hook(effect: UnknownEffect, io: Io) -> Any:
        del effect, io
        return verdict

    receiver = Receiver()
    ran = run(flow_of(receiver, hook)).sound()
    assert (ran.status, len(receiver.done)) == (status, 2 if verdict is False else 1)
    if verdict is None:
        assert "reconcile could not tell" in asked(ran)["prompt"]
        assert answered(ran, happened=True, result=5).sound().context["act"] == 5
        assert len(receiver.done) == 1


class Strange(Exception):  # noqa: N818 - hostile
    """Cannot be told."""

    def __str__(self) -> str:
        raise RuntimeError


def refuses(what: str) -> Hook:
    """Return a hook that oversteps or breaks in one way."""

    async def hook(effect: UnknownEffect, io: Any) -> Any:
        del effect
        ways: dict[str, Callable[[], Any]] = {
            "effect": lambda: io.call("fake", {"n": 9}, read=False),
            "record": lambda: io.record_value("k", 1),
            "write": lambda: io.write_file("never", "x"),
            "secret": lambda: io.call("fake", {"password": "hunter2hunter2"}),
        }
        if what in ways:
            await ways[what]()
        if what == "emit":
            io.emit("seen")
        if what in RAISES:
            raise RAISES[what]
        if what == "own cancellation":
            raise asyncio.CancelledError
        return {"nonsense": "yes", "result": Happened(NO_JSON), "number": 1, "class": Happened}[what]

    return hook


NO_JSON: Any = object()
RAISES: dict[str, BaseException] = {
    "error": ValueError("no idea"),
    "exit": SystemExit(2),
    "strange": Strange(),
    "endless": ValueError("x" * 100_000),
    "surrogate": ValueError("\udc80"),
}
SAID = {
    "effect": "only looks",
    "record": "only looks",
    "write": "only looks",
    "emit": "only looks",
    "secret": "SecretsDetectedError",
    "error": "ValueError: no idea",
    "exit": "SystemExit",
    "strange": "Strange",
    "endless": "xxx",
    "surrogate": "ValueError",
    "own cancellation": "did not answer",
    "nonsense": "returned str",
    "number": "returned int",
    "class": "must return Happened",
    "result": "CanonicalJsonError",
}


@pytest.mark.parametrize("what", SAID)
def test_a_hook_that_oversteps_or_breaks_leaves_the_question_to_a_person(what: str) -> None:
    """The prompt says why; nothing was done or recorded by it; the answer then counts without asking the hook again."""
    receiver = Receiver()
    ran = run(flow_of(receiver, refuses(what))).sound()
    assert SAID[what] in asked(ran)["prompt"]
    assert (receiver.done, ran.events("domain"), ran.events("effect.settled")) == ([1], [], [])
    assert answered(ran, happened=True, result="yes").sound().context["act"] == "yes"
    assert receiver.done == [1]


@pytest.mark.parametrize("swallows", [True, False])
def test_a_hook_that_hangs_leaves_the_question_to_a_person(swallows: bool) -> None:  # noqa: FBT001
    """The step's time is up. What the hook says after that counts nothing, and its io is closed."""
    late: list[str] = []

    async def hook(effect: UnknownEffect, io: Io) -> Any:
        del effect
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            if not swallows:
                raise
        await asyncio.sleep(0.3)  # longer than it is given
        try:
            await io.call("fake", {"n": 1})
        except asyncio.CancelledError:
            late.append("closed")
        return False

    receiver = Receiver()
    flow = flow_of(receiver, hook, timeout=timedelta(milliseconds=50))

    @flow.step
    async def lasts(io: Io) -> int:
        await io.sleep(timedelta(seconds=0.9))
        return 1

    ran = run(flow).sound()
    assert "did not answer in time" in asked(ran)["prompt"]
    assert (receiver.done, ran.attempts("act")) == ([1], ["step_failed", "effect_unknown"])
    assert late == (["closed"] if swallows else [])
    assert ran.events("effect.settled") == []


def test_a_step_that_stops_waiting_for_the_hook_has_no_answer_either() -> None:
    """wait_for around the call, then a fallback: the state does not complete with an effect in doubt."""

    async def hook(effect: UnknownEffect, io: Io) -> Any:
        del effect, io
        await asyncio.sleep(3600)

    receiver = Receiver()
    flow = acting("impatient", receiver.transport)

    @flow.step(effects="apply_side_effect", reconcile=hook, retry=AGAIN)
    async def act(io: Io) -> Any:
        try:
            return await asyncio.wait_for(io.call("fake", {"n": 1}, read=False), 0.01)
        except TimeoutError:
            return "fell back"
        except TransportError as error:
            raise StepError("mine", retryable=True) from error

    ran = run(flow).sound()
    assert "did not answer in time" in asked(ran)["prompt"]
    assert receiver.done == [1]


def test_the_verdict_is_durable_before_anything_else_happens() -> None:
    """Killed after any event: whoever resumes asks again only where the verdict is not on record."""
    backend, receiver = MemoryBackend(), Receiver(does=False)
    flow = flow_of(receiver, looks)
    whole = opened(backend)
    ran = Ran(whole, flow, whole.start(flow, run_id=RUN)).sound()
    kinds = [row["event"]["kind"] for row in ran.events()]
    assert kinds.count("effect.settled") == 1
    for events in range(kinds.index("effect.settled"), len(kinds)):
        again = Receiver(doubts=0)
        after = opened(cut(backend, events))
        rest = Ran(after, flow_of(again, looks), after.resume(RUN, flow_of(again, looks))).sound()
        recorded = "effect.settled" in kinds[:events]
        known = "fact.recorded" in kinds[kinds.index("effect.settled") : events]
        doubt = "effect.intended" in kinds[kinds.index("effect.settled") : events] and not known
        assert (rest.status, len(again.done)) == ("completed", 0 if known else 1)
        assert again.looked == (1 if doubt or not recorded else 0)


def test_a_verdict_that_cannot_be_stored_counts_nothing() -> None:
    """The store goes away with the verdict: the effect is not made, and whoever resumes asks the hook again."""
    backend, receiver = MemoryBackend(), Receiver(does=False)
    store = FaultyStore(MemoryStore(backend))
    flow = flow_of(receiver, looks)
    tries = receiver.transport.seen

    async def breaks(effect: UnknownEffect, io: Io) -> Any:
        found = await looks(effect, io)
        store.plan = failing("append", Fault.NOT_DONE)
        return found

    with pytest.raises(StoreUnavailableError):
        opened(store).start(flow_of(receiver, breaks), run_id=RUN)
    assert len(tries) == 2
    backend.alive.clear()
    after = opened(backend)
    assert Ran(after, flow, after.resume(RUN, flow)).sound().context["act"] == "paid 1"
    assert (receiver.looked, receiver.done) == (2, [1])


def test_a_hook_reads_time_chance_and_what_is_on_record() -> None:
    """It has the whole of Io for looking; raw calls too. Nothing of that enters the log."""
    seen: list[Any] = []

    async def hook(effect: UnknownEffect, io: Io) -> Any:
        seen.append((effect.key, effect.namespace, effect.request))
        await io.now()
        await io.uuid()
        await io.sleep(timedelta(0))
        io.progress("looking")
        result = await io.call(IoCall("fake", {"n": 1}))
        assert result.recorded_payload_id is None
        assert await io.get_recorded_fact("none") is None
        with pytest.raises(IoError):
            io.emit("never")
        return True

    ran = run(flow_of(Receiver(), hook)).sound()
    assert (ran.status, seen) == ("completed", [("k", "fake", {"n": 1})])
    assert {fact["namespace"] for fact in ran.facts()} == {"fake"}


def test_the_engine_gives_a_receiver_that_does_it_once_the_same_key_again() -> None:
    """``idempotent`` needs no hook: it is asked again under the same key, whatever the hook would have said."""
    receiver = Receiver(does=False)
    ran = run(flow_of(receiver, looks, idempotent=True)).sound()
    assert (ran.context["act"], receiver.looked, receiver.transport.effect_keys) == ("paid 1", 0, ["k", "k"])
