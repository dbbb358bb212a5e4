"""Poison by every entrance: it comes back as its canonical form says, or is refused at the write, and the run goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from typing_extensions import TypedDict

from durum import DependencyEdge, Durum, ExecutionPlan, Io, StateNode, Workflow
from durum.core.canonical import canonical_json, decode_json
from durum.errors import CallerError
from tests.engine.doubles import InstantClock
from tests.engine.runs import Ran
from tests.engine.states import Does
from tests.properties.poison import CORPUS, KEYS, REFUSED, SHAPES, TEXTS, Case, LyingText

if TYPE_CHECKING:
    from collections.abc import Callable

RUN = "01890a5d-ac96-774b-bcce-b302099a8057"
REFUSALS = {"not_canonical_json", "context_serialization", "invalid_outcome"}


class Answers:
    """A transport that does what the test's function does with a request."""

    def __init__(self, answer: Callable[[Any], object]) -> None:
        self._answer = answer
        self.calls = 0

    async def call(self, request: Any, call: object) -> Any:
        """Answer."""
        del call
        self.calls += 1
        return self._answer(request)

    async def close(self) -> None:
        """Nothing is held."""


class Stop:
    """Interrupts the process once, as Ctrl-C does, so that what came before is read back by a resume."""

    def __init__(self) -> None:
        self._left = 1

    def here(self) -> None:
        """Interrupt, the first time."""
        if self._left:
            self._left = 0
            raise KeyboardInterrupt


def same(found: object, wanted: object) -> bool:
    """Tell whether two JSON values are one, true and 1 apart."""
    return canonical_json(found) == canonical_json(wanted)


def check(case: Case, ran: Ran, found: Callable[[], object]) -> None:
    """Hold a run against what the corpus says of the value that came in by one of its steps."""
    if case.reads_back is REFUSED:
        assert ran.error["code"] in REFUSALS, ran.error
        assert len(ran.error["message"]) < 1000
    else:
        assert ran.status == "completed", ran.error
        assert same(found(), case.reads_back)
    ran.sound()


def drive(code: Workflow | ExecutionPlan, inputs: dict[str, object] | None = None) -> Ran:
    """Run code that is interrupted once, and resume it."""
    service = Durum("memory://", clock=InstantClock())
    try:
        summary = service.start(code, inputs, run_id=RUN)
    except KeyboardInterrupt:
        summary = service.resume(RUN, code)
    return Ran(service, code, summary)


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


class Declared(TypedDict):
    """Inputs of any type."""

    value: Any


def taking(stop: Stop) -> Workflow:
    """Return a workflow that gives back its input."""
    flow = Workflow("taking", inputs=Declared)

    @flow.step
    def back(value: Any) -> Any:
        stop.here()
        return value

    return flow


# Pydantic converts keys and odd objects by rules of its own, and walks what lies or never ends.
BY_PYDANTIC = {
    case.name for case in [*SHAPES, *KEYS, *TEXTS] if "lie" in case.name or "end" in case.name or case.reads_back is REFUSED
}
HONEST = [
    name
    for name, case in CORPUS.items()
    if name not in BY_PYDANTIC and (case.reads_back is not REFUSED or type(case.make()) is int)
]


@pytest.mark.parametrize("name", HONEST)
def test_a_declared_input(name: str) -> None:
    """As the input of a workflow, called from Python."""
    case, flow = CORPUS[name], taking(Stop())
    if case.reads_back is REFUSED:
        with pytest.raises(CallerError):
            drive(flow, {"value": case.make()})
        return
    ran = drive(flow, {"value": case.make()})
    check(case, ran, lambda: ran.context["back"])


@pytest.mark.parametrize("kind", [Any, dict, list])
@pytest.mark.parametrize("name", CORPUS)
def test_a_result(name: str, kind: Any) -> None:
    """As a step's result under each kind of annotation."""
    case = CORPUS[name]
    wraps: dict[Any, Callable[[Any], Any]] = {
        Any: lambda value: value,
        dict: lambda value: {"value": value},
        list: lambda value: [value],
    }
    stop, flow = Stop(), Workflow("p")

    def one() -> object:
        return wraps[kind](case.make())

    def two(one: object) -> Any:
        stop.here()
        return one["value"] if kind is dict else one[0] if kind is list else one  # type: ignore[index]

    one.__annotations__ = {"return": kind}
    two.__annotations__ = {"one": kind, "return": Any}
    flow.step(one)
    flow.step(two)
    ran = drive(flow)
    check(case, ran, lambda: ran.context["two"])


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
@pytest.mark.parametrize("entrance", ["write", "read", "fact", "record", "emit", "namespace"])
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
            case "emit":
                rec.emit(name, 1)
            case "namespace":
                await io.call(name, {})

    ran = drive(ExecutionPlan("p", (StateNode("p.one.main", Does(act)),)))
    own = set() if type(name) is str else {"step_raised", "transport_raised"}  # what its own type raises
    if ran.status == "failed":
        assert ran.error["code"] in {"invalid_id", "invalid_config", "not_canonical_json", "unknown_namespace", *own}, ran.error
    ran.sound()
    assert "fact_recorded" not in [row["event"].get("name") for row in ran.events("domain")]
