"""The public API as a user's type checker sees it: never run, only checked by mypy."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypedDict, assert_type

import durum
from durum import (
    DependencyEdge,
    Durum,
    DurumError,
    ExecResult,
    ExecutionPlan,
    HttpResponse,
    Io,
    IoCall,
    RateLimitedError,
    Retry,
    RunConfig,
    Secret,
    State,
    StateMeta,
    StateNode,
    StateOutcome,
    StepError,
    StoredFile,
    TransportError,
    Watcher,
    Workflow,
)
from durum.core.canonical import JsonValue
from durum.core.state import IoResult
from durum.history.replay import ReplayResult
from durum.history.verify import VerifyResult

if TYPE_CHECKING:
    from durum.core.canonical import JsonObject
    from durum.core.state import DynContext, EventRecorder, IoProvider
    from durum.ports import TransportCall


class Given(TypedDict):
    """Inputs of the workflow below."""

    repo: str


@dataclass(frozen=True)
class Found:
    """A type of the author's own."""

    name: str
    when: datetime


class Station:
    """A transport of the author's own."""

    async def call(self, request: JsonObject, call: TransportCall) -> JsonValue:
        """Answer with the effect key."""
        return [request, call.effect_key, call.secret("NAME")]

    async def close(self) -> None:
        """Hold nothing."""


flow = Workflow(
    "typed", version="2", inputs=Given, exec=["git"], private_hosts=["localhost:1"], transports={"station": Station}
)
flow.key("trail", merge="append")
flow.key("least", merge="min")
flow.key("own", merge=lambda old, new: [old, new])


@flow.step
def bare(repo: str) -> list[str]:
    """Decorate without options."""
    return [repo]


@flow.step(
    name="other",
    writes="trail",
    tags=["report"],
    retry=Retry(attempts=2, on=(StepError, OSError), backoff="fixed", delay=timedelta(seconds=1), jitter=0.0),
    timeout=timedelta(seconds=5),
    after=[bare, "bare"],
    blocking=True,
    version="3",
)
def configured(bare: list[str], *, optional: int = 0) -> list[Found]:
    """Decorate with every option a plain step may have."""
    return [Found(name, datetime.fromtimestamp(optional)) for name in bare]  # noqa: DTZ006 - only its type counts


@flow.step(effects="apply_side_effect", idempotency="{run_id}/publish")
async def publish(trail: list[Found], io: Io) -> str:
    """Call everything there is."""
    assert_type(
        await io.exec(["git", "log"], env={"A": "b", "C": Secret("D")}, stdin=b"", check=False, keep="attempt"), ExecResult
    )
    response = await io.http("GET", "https://example.org", headers={"authorization": Secret("T").reference("Bearer ")})
    assert_type(response, HttpResponse)
    assert_type(response.status, int)
    assert_type(response.json(), JsonValue)
    assert_type(await io.read_file("a"), bytes)
    await io.write_file("b", "text")
    assert_type(await io.store_file("a", max_bytes=1), StoredFile)
    async for chunk in io.chunks(StoredFile("0" * 64, 0)):
        assert_type(chunk, bytes)
    await io.write_file("b", StoredFile("0" * 64, 0))
    assert_type(await io.call("station", {"city": "x"}, fact_key="k", keep="run", read=True), JsonValue)
    assert_type(await io.call(IoCall("station", {"city": "x"})), IoResult)
    assert_type(await io.now(), datetime)
    assert_type(await io.uuid(), uuid.UUID)
    assert_type(await io.random_bytes(4), bytes)
    assert_type(await io.record_value("key", len(trail)), str)
    assert_type(await io.recorded("key"), JsonValue)
    io.emit("published", {"count": len(trail)}, verbose=True)
    io.progress("done")
    await io.sleep(timedelta(seconds=1))
    return response.text


class Kernel:
    """The kernel's own contract."""

    def meta(self) -> StateMeta:
        """Carry one tag."""
        return StateMeta(tags=("compute",))

    async def handle(self, ctx: DynContext, io: IoProvider, rec: EventRecorder) -> StateOutcome:
        """Read, call, write and report."""
        assert_type(ctx.read("text"), JsonValue)
        assert_type(await io.call(IoCall("http", {})), IoResult)
        ctx.write("words", 1)
        rec.emit("counted", {})
        return StateOutcome()


state: State = Kernel()
plan = ExecutionPlan("kernel", (StateNode("kernel.a.main", state),), (DependencyEdge("kernel.a.main", "kernel.a.main"),))


def decorated_functions_stay_what_they_are() -> None:
    """A step is still the function that was written, for callers too."""
    assert_type(bare("x"), list[str])
    assert_type(configured(["x"], optional=1), list[Found])
    bare(1)  # type: ignore[arg-type]
    configured()  # type: ignore[call-arg]
    flow.step(retries=3)  # type: ignore[call-overload]
    flow.step(effects="none")  # type: ignore[call-overload]
    flow.key("x", merge="add")  # type: ignore[arg-type]


def the_service_answers_in_json() -> None:
    """Every verb has a type a caller can go by."""
    with durum.open("memory://") as service:
        assert_type(service, Durum)
        watcher = Watcher()
        summary = service.start(flow, {"repo": "."}, key="once", config=RunConfig(max_concurrency=2), watcher=watcher)
        assert_type(summary, dict[str, JsonValue])
        run_id = str(summary["run_id"])
        assert_type(service.resume(run_id, flow), dict[str, JsonValue])
        assert_type(service.runs(), list[dict[str, JsonValue]])
        assert_type(service.context(run_id, "trail", at=3), JsonValue)
        assert_type(service.artifact("0" * 64), bytes)
        service.write_artifact("0" * 64, print)
        assert_type(service.replay(run_id, "reproduce", flow), ReplayResult)
        assert_type(service.verify(run_id, "0" * 64), VerifyResult)
        service.start(plan)


def errors_have_codes(error: DurumError) -> str:
    """A caller can tell errors apart without reading their messages."""
    if isinstance(error, RateLimitedError):
        assert_type(error.details, object)
    if isinstance(error, TransportError):
        return error.transport_code
    assert_type(error.retryable, bool)
    return error.code


def values_have_one_form() -> tuple[bytes, str]:
    """Canonical bytes and the digest of a value."""
    given: Any = {"a": 1}
    return durum.canonical_json(given), durum.digest(given)
