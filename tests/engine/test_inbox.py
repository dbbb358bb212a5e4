"""Messages move into the log once, whatever somebody put into the inbox, and looking for them survives a store that is away."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from durum import Io, Workflow
from durum.engine import inbox, recorder
from durum.engine.inbox import Answer, ChildOver, Mailroom, Steer, message
from durum.errors import StoreUnavailableError
from durum.ports import Message
from durum.stores.memory import MemoryBackend, MemoryStore
from durum.testing.faulty import Fault, FaultyStore, failing
from tests.engine.crashes import RUN, opened
from tests.engine.doubles import Scripted, counting
from tests.engine.questions import AGAIN, BUSY, acting, answered, asked, told
from tests.engine.runs import Ran

if TYPE_CHECKING:
    from collections.abc import Callable

BY_TEST = Steer(actor="test")
OTHER = "00000000-0000-7000-8000-00000000c4a6"


def put(backend: MemoryBackend, kind: str, payload: bytes, number: int = 0) -> None:
    """Put bytes into the inbox past every check."""
    letter = Message(RUN, f"{kind}{number}", kind, payload, None)
    backend.runs[RUN].inbox[letter.message_id] = letter


def writing(store: FaultyStore, write: Callable[[], None], reads: int = 1) -> Workflow:
    """Return a workflow whose first step waits for a call that ends once what ``write`` wrote was read, and a second step."""

    async def answer(request: Any, call: Any) -> str:
        del request, call
        write()
        before = store.calls["inbox"]
        while store.calls["inbox"] < before + reads:  # noqa: ASYNC110 - it is read elsewhere
            await asyncio.sleep(0.01)
        return "done"

    flow = Workflow("told", transports={"fake": lambda: Scripted(answer)})

    @flow.step
    async def first(io: Io) -> Any:
        return await io.call("fake", {})

    @flow.step
    def second(first: Any) -> Any:
        return first

    return flow


def kinds(backend: MemoryBackend) -> list[str]:
    """Return the kinds of the unread messages."""
    return [letter.kind for letter in backend.runs[RUN].inbox.values()]


def start(store: MemoryBackend | FaultyStore, flow: Workflow) -> Ran:
    """Start the run."""
    service = opened(store)
    return Ran(service, flow, service.start(flow, run_id=RUN))


NONSENSE = {
    "cancel": b"{}",
    "pause": b"not json",
    "answer": b'{"gate":"g","digest":"d","answer":{"happened":"no"},"actor":"x"}',
    "child": b'{"child_run_id":"c","status":"completed"}',
    "later": b'{"of":"another version"}',
}


def test_a_message_that_makes_no_sense_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever anyone put there: the run goes on and ends; a kind this version does not know is left for one that does."""
    backend = MemoryBackend()

    def write() -> None:
        for kind, payload in NONSENSE.items():
            put(backend, kind, payload)
        put(backend, "cancel", b'{"actor":"%b"}' % (b"x" * 300), 1)
        put(backend, "cancel", b'{"actor":"x","reason":"%b"}' % (b"x" * 40_000), 2)
        told(backend, RUN, "child", ChildOver(OTHER, "completed"))  # type: ignore[arg-type]
        told(backend, RUN, "answer", Answer("none", "0" * 64, {"happened": True}, "x"))
        backend.runs[RUN].inbox["pause0"] = Message(RUN, "pause0", "child", b"\xff", None)

    store = FaultyStore(MemoryStore(backend))
    ran = start(store, writing(store, write, reads=3)).sound()
    assert (ran.status, ran.context["second"]) == ("completed", "done")
    assert len([row for row in caplog.records if "makes no sense" in row.message]) == 4, "each is read once"
    assert "later" in kinds(backend)


def test_a_thousand_messages_come_to_what_one_comes_to() -> None:
    """Many words of the same meaning at once: one of each enters the log, and all of them are off the inbox."""
    backend = MemoryBackend()

    def write() -> None:
        for _ in range(500):
            told(backend, RUN, "pause", BY_TEST)
            told(backend, RUN, "answer", Answer("none", "0" * 64, {"happened": True}, "x"))

    store = FaultyStore(MemoryStore(backend))
    ran = start(store, writing(store, write)).sound()
    assert (ran.status, len(ran.events("run.paused")), backend.runs[RUN].inbox) == ("paused", 1, {})
    again = ran.resume().sound()
    assert (again.status, len(again.events("run.paused"))) == ("completed", 1)


def test_a_cancellation_outweighs_whatever_comes_with_it() -> None:
    """Paused and cancelled at once, in either order: cancelled."""
    for order in (("pause", "cancel"), ("cancel", "pause")):
        backend = MemoryBackend()

        def write(backend: MemoryBackend = backend, order: tuple[str, ...] = order) -> None:
            for word in order:
                told(backend, RUN, word, BY_TEST)

        store = FaultyStore(MemoryStore(backend))
        assert start(store, writing(store, write)).sound().status == "cancelled"


UNFIT = {
    "another type": '{"happened":"no"}',
    "unknown field": '{"happened":true,"more":1}',
    "missing": "{}",
    "a result of nothing": '{"happened":false,"result":1}',
    "endless": '{"happened":true},"reason":"%s"' % ("x" * 40_000),
}


@pytest.mark.parametrize("payload", UNFIT.values(), ids=UNFIT)
def test_an_answer_that_does_not_fit_its_gate_is_none(payload: str) -> None:
    """It may have come past the checks of whoever sent it; the question stands."""
    backend, fake = MemoryBackend(), counting([BUSY])
    flow = acting("unfit", fake)

    @flow.step(effects="apply_side_effect", retry=AGAIN)
    async def act(io: Io) -> Any:
        return await io.call("fake", {}, read=False)

    ran = start(backend, flow)
    (opened_gate,) = ran.events("gate.opened")
    event = opened_gate["event"]
    body = f'{{"gate":"act","digest":"{event["digest"]}","answer":{payload},"actor":"x"}}'
    put(backend, "answer", body.encode())
    again = ran.resume().sound()
    assert (asked(again)["gate"], len(fake.seen)) == (asked(ran)["gate"], 1)
    assert again.events("effect.settled") == []


@pytest.mark.parametrize("beside", [0, 3_500, 4_060, 4_100, 16_300, 40_000])
@pytest.mark.parametrize("character", ["x", "\x1b", "\n", "ü"])
def test_an_answer_of_long_texts_is_recorded_whole(beside: int, character: str) -> None:
    """The longest reason, a result of any length, whatever their characters take in JSON: both events, or neither."""
    backend, fake = MemoryBackend(), counting([BUSY])
    flow = acting("long", fake)

    @flow.step(effects="apply_side_effect", retry=AGAIN)
    async def act(io: Io) -> Any:
        return await io.call("fake", {}, read=False)

    ran = start(backend, flow)
    result = {"text": "x" * beside}
    given = {"happened": True, "result": result}
    ran.service.answer(RUN, str(asked(ran)["gate"]), given, actor="é" * 256, reason=character * 4_000)
    answers = [row["event"]["kind"] for row in ran.events("gate.answered", "effect.settled")]
    assert (answers, backend.runs[RUN].inbox) == (["gate.answered", "effect.settled"], {})
    again = ran.resume().sound()
    assert (again.status, again.context["act"], len(fake.seen)) == ("completed", result, 1)


def test_an_answer_that_fits_no_event_leaves_the_question_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were an event ever shorter than the longest answer: not one of its two events is recorded, and another answer counts."""
    backend, fake = MemoryBackend(), counting([BUSY])
    flow = acting("unfit", fake)

    @flow.step(effects="apply_side_effect", retry=AGAIN)
    async def act(io: Io) -> Any:
        return await io.call("fake", {}, read=False)

    ran = start(backend, flow)
    (gate,) = [row["event"] for row in ran.events("gate.opened")]
    monkeypatch.setattr(recorder, "INLINE_EVENT_BYTES", 8_000)
    told(backend, RUN, "answer", Answer("act", gate["digest"], {"happened": True, "result": 1}, "eve", "\x1b" * 4_000))
    again = ran.resume().sound()
    assert asked(again)["gate"] == asked(ran)["gate"]
    assert again.events("effect.settled", "gate.answered") == []
    assert answered(again, happened=True, result=2).sound().context["act"] == 2


def test_looking_for_messages_survives_a_store_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading fails many times over while a step is under way; then the word gets through."""
    monkeypatch.setattr(inbox, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(recorder, "_RETRY_SECONDS", 0)
    backend = MemoryBackend()
    fails = [failing("inbox", Fault.NOT_DONE, 2, 40), failing("addressed", Fault.NOT_DONE, 1, 40)]
    store = FaultyStore(MemoryStore(backend), lambda *call: next((fault for plan in fails if (fault := plan(*call))), None))
    flow = writing(store, lambda: told(backend, RUN, "cancel", BY_TEST), reads=50)
    service = opened(store)
    ran = Ran(service, flow, service.start(flow, run_id=RUN))
    assert (ran.status, store.calls["addressed"] > 40) == ("cancelled", True)


def test_a_mailroom_tells_only_the_runs_it_watches() -> None:
    """Others are not its business; a run that is no longer watched is told nothing, and nothing is left running."""

    async def scenario() -> None:
        backend = MemoryBackend()
        store = MemoryStore(backend)
        for run_id in (RUN, OTHER):
            await store.claim(run_id, create=True, now_ms=1)
            await store.send(message(run_id, "pause", BY_TEST))
        room, rung = Mailroom(store), asyncio.Event()
        room.watch(RUN, rung.set)
        await asyncio.wait_for(rung.wait(), 5)
        assert [letter.run_id for letter in await room.read(RUN)] == [RUN]
        room.unwatch(RUN)
        room.unwatch(RUN)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scenario())


def test_reading_an_inbox_of_a_store_that_is_away_gives_nothing() -> None:
    """It may be back the next time."""

    async def scenario() -> None:
        store = FaultyStore(MemoryStore(), failing("inbox", Fault.NOT_DONE))
        with pytest.raises(StoreUnavailableError):
            await store.inbox(RUN)
        assert await Mailroom(store).read(RUN) == []

    asyncio.run(scenario())


def test_many_threads_may_read_their_first_message_at_once() -> None:
    """The decoders are made when the module is loaded, not by whoever comes first."""
    letter = message(RUN, "answer", Answer("g", "d", {"happened": True}, "x"))
    barrier, found = threading.Barrier(8), []

    def read() -> None:
        barrier.wait()
        found.append(inbox._DECODERS[letter.kind].decode(letter.payload))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [Answer("g", "d", {"happened": True}, "x")] * 8
