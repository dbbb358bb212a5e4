"""Poison by every entrance: it comes back as its canonical form says, or is refused at the write, and the run goes on."""

from __future__ import annotations

from typing import Any

import pytest

from durum import DependencyEdge, ExecutionPlan, Io, StateNode, Workflow
from durum.core.canonical import decode_json
from durum.errors import CallerError
from tests.engine.states import Does
from tests.properties.liars import LyingText
from tests.properties.poison import CORPUS, REFUSED
from tests.properties.poisoned import Answers, Stop, check, drive, same


@pytest.fixture(autouse=True)
def _no_git(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask no git where the code is from: a process for each of so many runs costs more than the runs."""
    monkeypatch.setenv("PATH", "")


@pytest.mark.parametrize("name", CORPUS)
def test_a_written_value(name: str) -> None:
    """By ``DynContext.write`` of a raw state."""
    case, stop = CORPUS[name], Stop()
    seen: list[Any] = []

    def write(ctx: Any, io: Any, rec: Any) -> None:
        del io, rec
        ctx.write("k", case.make())

    def read(ctx: Any, io: Any, rec: Any) -> None:
        del io, rec
        stop.here()
        seen.append(ctx.read("k"))

    nodes = (StateNode("p.one.main", Does(write)), StateNode("p.two.main", Does(read)))
    ran = drive(ExecutionPlan("p", nodes, (DependencyEdge("p.one.main", "p.two.main"),)))
    check(case, ran, lambda: seen[-1])
    if case.reads_back is not REFUSED:
        assert same(ran.context["k"], case.reads_back)


@pytest.mark.parametrize("name", CORPUS)
def test_an_appended_item(name: str) -> None:
    """By ``DynContext.append`` of a raw state."""
    case, stop = CORPUS[name], Stop()
    seen: list[Any] = []

    def write(ctx: Any, io: Any, rec: Any) -> None:
        del io, rec
        ctx.append("k", [0])
        ctx.append("k", [case.make()])

    def read(ctx: Any, io: Any, rec: Any) -> None:
        del io, rec
        stop.here()
        seen.append(ctx.read("k")[1])

    nodes = (StateNode("p.one.main", Does(write)), StateNode("p.two.main", Does(read)))
    ran = drive(ExecutionPlan("p", nodes, (DependencyEdge("p.one.main", "p.two.main"),), {"k": "append"}))
    check(case, ran, lambda: seen[-1])


@pytest.mark.parametrize("name", CORPUS)
def test_a_transport_response(name: str) -> None:
    """As what a transport answers."""
    case, stop = CORPUS[name], Stop()
    fake = Answers(lambda _: case.make())
    flow = Workflow("p", transports={"fake": lambda: fake})

    @flow.step
    async def one(io: Io) -> Any:
        return await io.call("fake", {})

    @flow.step
    async def two(one: Any) -> Any:
        stop.here()
        return one

    ran = drive(flow)
    check(case, ran, lambda: ran.context["two"])


@pytest.mark.parametrize("name", CORPUS)
def test_a_request(name: str) -> None:
    """As what a transport is asked."""
    case: Any = CORPUS[name]
    got: list[Any] = []
    fake = Answers(lambda request: got.append(request["q"]))
    flow = Workflow("p", transports={"fake": lambda: fake})

    @flow.step
    async def one(io: Io) -> None:
        await io.call("fake", {"q": case.make()})

    ran = drive(flow)
    check(case, ran, lambda: got[-1])
    if case.reads_back is REFUSED:
        assert fake.calls == 0
    else:
        assert type(got[0]) is type(case.reads_back)


@pytest.mark.parametrize("name", CORPUS)
def test_a_recorded_value(name: str) -> None:
    """By ``record_value``, read back under its key."""
    case, stop = CORPUS[name], Stop()
    flow = Workflow("p")

    @flow.step
    async def one(io: Io) -> int:
        await io.record_value("k", case.make())
        return 1

    @flow.step
    async def two(one: int, io: Io) -> Any:
        del one
        stop.here()
        return await io.recorded("k")

    ran = drive(flow)
    check(case, ran, lambda: ran.context["two"])


@pytest.mark.parametrize("name", CORPUS)
def test_an_emitted_payload(name: str) -> None:
    """As what a domain event carries."""
    case = CORPUS[name]
    flow = Workflow("p")

    @flow.step
    async def one(io: Io) -> None:
        io.emit("said", case.make())

    ran = drive(flow)

    def found() -> object:
        (row,) = ran.events("domain")
        event = row["event"]
        reference = event.get("payload_ref")
        return event["payload"] if reference is None else decode_json(ran.service.artifact(reference))

    check(case, ran, found)


@pytest.mark.parametrize("name", CORPUS)
def test_a_bare_input(name: str) -> None:
    """As the context a bare plan starts from; what is refused leaves no run."""
    case = CORPUS[name]
    stop = Stop()
    seen: list[Any] = []

    def read(ctx: Any, io: Any, rec: Any) -> None:
        del io, rec
        stop.here()
        seen.append(ctx.read("k"))

    plan = ExecutionPlan("p", (StateNode("p.one.main", Does(read)),))
    if case.reads_back is REFUSED:
        with pytest.raises(CallerError):
            drive(plan, {"k": case.make()})
        return
    ran = drive(plan, {"k": case.make()})
    check(case, ran, lambda: seen[-1])
    assert same(ran.context["k"], case.reads_back)


def ascii_of(value: object) -> str:
    """Return a short name of a test's value."""
    return ascii(value)[:20] if type(value) is not LyingText else "lying"


TEXTS_FOR_NAMES = [
    "",
    "a\x00",
    "\ud83d",
    "durum-node/1\n",
    "k" * 100_000,
    "a b",
    "|",
    LyingText("honest"),
    5,
    None,
    b"a",
    ("a",),
]


@pytest.mark.parametrize("name", TEXTS_FOR_NAMES, ids=ascii_of)
@pytest.mark.parametrize("entrance", ["write", "read", "fact", "record", "recorded", "emit", "namespace"])
def test_a_name(entrance: str, name: Any) -> None:  # noqa: C901 - one arm an entrance
    """As context key, fact key, event name or namespace: kept as the text it is, or refused by an error of ours."""
    held: list[object] = []

    async def act(ctx: Any, io: Any, rec: Any) -> None:
        match entrance:
            case "write":
                ctx.write(name, 1)
            case "read":
                held.append(ctx.read(name))
            case "fact":
                await io.call("fake", {}, fact_key=name)
            case "record":
                await io.record_value(name, 1)
            case "recorded":
                await io.get_recorded_fact(name)
            case "emit":
                rec.emit(name, 1)
            case "namespace":
                await io.call(name, {})

    ran = drive(ExecutionPlan("p", (StateNode("p.one.main", Does(act)),)))
    if ran.status == "failed":
        assert ran.error["code"] in {"invalid_id", "invalid_config", "not_canonical_json", "unknown_namespace"}, ran.error
        assert "fact_recorded" not in ran.error["message"]
        assert len(ran.error["message"]) < 500
    ran.sound()
    assert "fact_recorded" not in [row["event"].get("name") for row in ran.events("domain")]
