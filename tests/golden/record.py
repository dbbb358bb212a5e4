"""Makes the golden files of a new version: ``python -m tests.golden.record v2``. A folder that is there is never touched."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from durum.codec import Header, chain_hash, encode, genesis_hash
from durum.core import events as ev
from durum.core.canonical import JsonObject, JsonValue, canonical_json, digest_bytes
from durum.core.facts import KeyMaker, request_object
from durum.core.failure import ErrorCategory, ErrorInfo, StateError
from durum.core.manifest import BuildProvenance, Parent, RunManifest
from durum.core.payload import encode_payload
from durum.core.tree import tree_of
from durum.engine.delivery import deliver
from durum.engine.engine import Engine, StartRun
from durum.engine.inbox import Answer, Steer, message
from durum.engine.transports import TransportRegistry
from durum.errors import StoreUnavailableError, TransportError
from durum.ports import StoredEvent
from durum.stores.memory import MemoryBackend, MemoryStore
from durum.testing.clock import ManualClock
from durum.testing.entropy import SeededEntropy
from durum.testing.faulty import Fault, FaultyStore, failing
from durum.workflow.authoring import Workflow
from tests.golden import flow
from tests.golden.reading import HERE, RUN, artifacts_text, log_text, summary_of

if TYPE_CHECKING:
    from durum.core.config import RunConfig
    from durum.core.plan import ExecutionPlan, StateNode
    from durum.core.run_state import RunState
    from durum.engine.engine import Store
    from durum.ports import TransportCall

ID = "0123456789abcdef" * 4
STATE = "golden.encoded.main"
START_MS = 1_750_000_000_000
SNAPSHOTS: dict[str, JsonObject] = {
    "empty": {},
    "small": {"a": 1, "b": [True, None, "text"], "c": {"d": -0.5}},
    "unicode": {"topic": "ünïcode \u2028 \U0001f600 \x00\x7f", "z": "\ufb33", "a": "\U00010000"},
    "hundred keys": {f"key{number:03}": number * number for number in range(100)},
    "long list": {"list": [{"number": number, "square": number * number} for number in range(300)]},
    "list of lists": {"lists": [[number] * (number % 5) for number in range(400)]},
    "nested": {"a": {"b": {"c": {"d": [{"e": {}}, [[]]]}}}, "map": {f"inner{number}": {"n": number} for number in range(90)}},
    "large string": {"text": "0123456789abcdef" * 512, "small": "x" * 128, "edge": "x" * 127},
    "numbers": {"numbers": [0, -0.0, 1.0, 1.5, 1e21, 1e-7, 5e-324, 1.7976931348623157e308, 9007199254740991]},
}
REQUESTS: list[tuple[str, str, JsonObject]] = [
    ("golden.calls.main", "http", {"method": "GET", "url": "https://example.org/page"}),
    ("golden.calls.main", "http", {"method": "GET", "url": "https://example.org/page"}),
    ("golden.calls.main", "exec", {"argv": ["git", "log"]}),
    ("golden.other.main", "http", {"url": "https://example.org/page", "method": "GET"}),
    ("golden.other.main", "model", {"temperature": 0.5, "messages": ["ü", "\u2028"]}),
]


def response(status: int, text: str, **headers: str) -> JsonObject:
    """Return the outcome of an HTTP call."""
    pairs: list[JsonValue] = [[name.replace("_", "-"), value] for name, value in headers.items()]
    return {"status": status, "url": flow.SITE, "headers": pairs, "body": encode_payload(text.encode())}


ANSWERS = {"/missing": response(404, "no such page"), "/limited": response(429, "slow down", retry_after="3")}
FAILURES = {
    "/down": TransportError("the connection was lost", code="http_read", retryable=True),
    "/refused": TransportError("no connection", code="http_connect", retryable=True, details={"host": "example.org"}),
}


class World:
    """The outside, scripted; ``store`` goes away when the announcement is made."""

    def __init__(self) -> None:
        self.clock = ManualClock(START_MS, auto_advance=True)
        self.counter = 0
        self.store: FaultyStore | None = None

    async def call(self, request: JsonObject, call: TransportCall) -> JsonValue:
        """Answer by what is asked for, some milliseconds later."""
        del call
        self.clock.advance(7)
        path = str(request.get("url", "")).removeprefix(flow.SITE)
        if path in FAILURES:
            raise FAILURES[path]
        match path:
            case "":
                return self.local(request)
            case "/slow":
                await asyncio.Event().wait()
            case "/counter":
                self.counter += 1
                return response(200, str(self.counter))
            case "/announce" if self.store is not None:
                self.store.plan = failing("append", Fault.NOT_DONE)
        return ANSWERS.get(path) or response(200, f"body of {path}", content_type="text/plain")

    def local(self, request: JsonObject) -> JsonValue:
        """Answer for files and processes."""
        match request:
            case {"argv": ["git", "fail"]}:
                return {"exit_code": 3, "stdout": encode_payload(b""), "stderr": encode_payload(b"\xff failed")}
            case {"argv": _}:
                return {"exit_code": 0, "stdout": encode_payload(b"a commit\n"), "stderr": encode_payload(b"")}
            case {"op": "read"}:
                return {"content": encode_payload(b"notes")}
        return {"written": True}

    async def close(self) -> None:
        """Nothing is held."""


def worker(backend: MemoryBackend, name: str) -> MemoryStore:
    """Return a handle whose worker has a fixed name."""
    store = MemoryStore(backend)
    store._worker = name
    backend.alive.add(name)
    return store


def undated(plan: ExecutionPlan) -> ExecutionPlan:
    """Return a plan without its steps' code digests, which every Python makes in its own way."""
    states = tuple(
        msgspec.structs.replace(state, node=None if state.node is None else msgspec.structs.replace(state.node, digest=None))
        for state in plan.states
    )
    return msgspec.structs.replace(plan, states=tuple(map(_undated_items, states)))


def _undated_items(state: StateNode) -> StateNode:
    if state.node is None or state.node.each is None:
        return state
    body = tuple(msgspec.structs.replace(node, digest=None) for node in state.node.each.body)
    each = msgspec.structs.replace(state.node.each, body=body)
    return msgspec.structs.replace(state, node=msgspec.structs.replace(state.node, each=each))


def manifest_of(plan: ExecutionPlan, config: RunConfig) -> RunManifest:
    """Return a manifest with every field set."""
    shape = plan.shape
    build = BuildProvenance(
        git_commit="0123456789abcdef0123456789abcdef01234567",
        git_dirty=False,
        lock_hash="0" * 64,
        lock_file="requirements.lock",
        interpreter="CPython 3.11.7",
        platform="linux-x86_64",
        durum_version="0.1.0",
        env_allowlist=("LANG", "PATH"),
        step_digests={node.id: digest_bytes(node.id.encode()) for node in shape.nodes},
    )
    return RunManifest(
        op_id=shape.op_id,
        op_version="1",
        input_params=msgspec.Raw(canonical_json(flow.CONTEXT)),
        run_config=config,
        build=build,
        plan_id=digest_bytes(shape.stored),
        allow={"exec": ("git",), "private_hosts": ()},
    )


def engine(store: Store, world: World, entropy: SeededEntropy) -> Engine:
    """Return an engine that reaches the scripted world only."""
    registry = TransportRegistry(dict.fromkeys(("http", "exec", "file"), lambda: world))
    return Engine(store, registry, world.clock, entropy, child_codes=Undated)


class Undated:
    """The code of a child run, without its steps' digests."""

    def __init__(self, code: object) -> None:
        assert isinstance(code, Workflow)
        self.plan = undated(code.plan())

    @staticmethod
    def transports() -> TransportRegistry:
        """Reach nothing."""
        return TransportRegistry({})

    def start_run(self, run_id: str, inputs: JsonObject, config: RunConfig, parent: Parent) -> StartRun:
        """Return what the child is started from."""
        return StartRun(run_id, msgspec.structs.replace(manifest_of(self.plan, config), parent=parent), self.plan, inputs)


async def run_once(plan: ExecutionPlan, config: RunConfig) -> MemoryBackend:
    """Drive a run to its end."""
    backend, plan = MemoryBackend(), undated(plan)
    start = StartRun(RUN, manifest_of(plan, config), plan, flow.CONTEXT)
    await engine(worker(backend, "writer000001"), World(), SeededEntropy(1)).start(start)
    return backend


async def run_with_a_crash() -> MemoryBackend:
    """Drive a run whose process dies in an effect; another takes it over with changed code, and a person decides."""
    backend, world, entropy = MemoryBackend(), World(), SeededEntropy(1)
    world.store = store = FaultyStore(worker(backend, "writer000001"))
    before, after = undated(flow.completed()), undated(flow.completed("2"))
    start = StartRun(RUN, manifest_of(before, flow.CONFIG), before, flow.CONTEXT)
    try:
        await engine(store, world, entropy).start(start)
    except StoreUnavailableError:
        await store.close()
    world.store = None
    world.clock.advance(60_000)
    second = worker(backend, "writer000002")
    state: RunState = await engine(second, world, entropy).resume(RUN, after)
    (gate,) = state.gates.values()
    world.clock.advance(3_600_000)
    answer = Answer(gate=gate.gate, digest=gate.digest, answer={"happened": False}, actor="ann", reason="nobody got it")
    assert await deliver(second, world.clock, message(RUN, "answer", answer))
    await engine(second, world, entropy).resume(RUN, after)
    return backend


async def run_given_up() -> MemoryBackend:
    """Drive a run to a question, pause it, let it go on, and cancel it."""
    backend, world, entropy = MemoryBackend(), World(), SeededEntropy(1)
    plan = undated(flow.cancelled())
    store = worker(backend, "writer000001")
    await engine(store, world, entropy).start(StartRun(RUN, manifest_of(plan, flow.CONFIG), plan, flow.CONTEXT))
    assert await deliver(store, world.clock, message(RUN, "pause", Steer(actor="ann", reason="to look")))
    await engine(store, world, entropy).resume(RUN, plan, "bob")
    assert await deliver(store, world.clock, message(RUN, "cancel", Steer(actor="ann", reason="given up")))
    return backend


async def runs() -> dict[str, MemoryBackend]:
    """Return name -> what the store holds after the run."""
    stopping = msgspec.structs.replace(flow.CONFIG, fail_fast=True)
    return {
        "completed": await run_with_a_crash(),
        "failed": await run_once(flow.failed(), flow.CONFIG),
        "stopped": await run_once(flow.failed(), stopping),
        "conflict": await run_once(flow.conflict(), flow.CONFIG),
        "joined": await run_once(flow.joined(), flow.CONFIG),
        "extended": await run_once(flow.extended(), flow.CONFIG),
        "cancelled": await run_given_up(),
    }


def pretty(value: Any) -> str:
    """Return JSON for a file that people look at."""
    return json.dumps(value, indent=1, ensure_ascii=True, sort_keys=True) + "\n"


def snapshot_ids() -> dict[str, str]:
    """Return name -> snapshot id."""
    return {name: tree_of(value, lambda *_: None).id for name, value in SNAPSHOTS.items()}


def fact_keys() -> list[JsonValue]:
    """Return the key of each request, made in this order."""
    makers: dict[str, KeyMaker] = {}
    found: list[JsonValue] = []
    for state_id, namespace, request in REQUESTS:
        maker = makers.setdefault(state_id, KeyMaker(state_id))
        key = maker.key(namespace, digest_bytes(canonical_json(request_object(namespace, request))))
        found.append({"state_id": state_id, "namespace": namespace, "request": request, "key": key})
    return found


def encoded() -> list[StoredEvent]:
    """Return events in shapes the runs above have no occasion for."""
    info = ErrorInfo(category=ErrorCategory.RPC, code="some_code", details=msgspec.Raw(b"null"), message="", retryable=False)
    write = ev.Write("key", msgspec.Raw(b"null"), "delete")
    events: list[ev.Event] = [
        ev.StateCompleted(context_snapshot_id=ID, input_digest=ID, state_id=STATE, writes=None, writes_id=ID),
        ev.StateCompleted(context_snapshot_id=ID, input_digest=ID, state_id=STATE, reads=("a", "b"), writes=(write,)),
        ev.StateFailed(error=StateError(info, STATE), failure_snapshot_id=ID, state_id=STATE),
        ev.DomainEvent(name="ünïcode \u2028 \x00\x7f", payload=msgspec.Raw(b'{"\xc3\xbc":[1,1.5,"\\u0001"]}')),
        ev.FactRecorded(key="k", namespace="n", outcome="cancelled", payload_id=ID, scope="run", begun=7),
        ev.RunCompleted(status=ev.RunStatus.PARTIALLY_COMPENSATED),
        ev.RunCompleted(status=ev.RunStatus.CANCELLED, error=StateError(info)),
    ]
    stored: list[StoredEvent] = []
    previous = genesis_hash(RUN)
    for seq, event in enumerate(events, 1):
        header = Header(RUN, seq, START_MS, STATE, seq * 1_000, 2**40, "w", seq - 1)
        stored.append(encode(event, header, previous))
        previous = stored[-1].hash
    return stored


FUTURE = (
    """{"body":{"anything":[1,2,{"b":1,"a":2}]},"epoch":1,"kind":"alien.landed","seq":1,"ts_millis":1,"writer":"w"}""",
    """{"body":{"new":"shape"},"epoch":1,"kind":"state.entered","seq":2,"ts_millis":1,"v":2,"writer":"w"}""",
    """{ "writer":"w" ,"body": {"odd" :\t"spaces", "dup":1,"dup":2, "big":123456789012345678901234567890} ,"epoch":1,
    "kind":"alien.left","seq":3,"ts_millis":1,"v":99,"unheard":{"of":"field"}}""",
    """{"body":null,"epoch":1,"kind":"","seq":4,"state_id":"not an id","ts_millis":-1,"writer":""}""",
    """{"body":"text","epoch":1,"kind":"run.completed","seq":5,"ts_millis":1,"v":3,"writer":"w"}""",
)


def future() -> list[StoredEvent]:
    """Return events no version up to this one writes."""
    stored: list[StoredEvent] = []
    previous = genesis_hash(RUN)
    for seq, text in enumerate(FUTURE, 1):
        previous = chain_hash(previous, text.encode())
        stored.append(StoredEvent(seq, previous, text.encode()))
    return stored


def files(backends: dict[str, MemoryBackend]) -> dict[str, str]:
    """Return file name -> text of everything that is frozen."""
    artifacts: dict[str, bytes] = {}
    summaries: JsonObject = {}
    written = {"encoded.jsonl": log_text(encoded()), "future.jsonl": log_text(future())}
    for name, backend in backends.items():
        written[f"{name}.jsonl"] = log_text(backend.runs[RUN].events)
        artifacts |= backend.artifacts
        summaries[name] = asyncio.run(summary_of(MemoryStore(backend)))
    snapshots = {name: {"value": SNAPSHOTS[name], "id": found} for name, found in snapshot_ids().items()}
    return written | {
        "artifacts.json": pretty(artifacts_text(artifacts)),
        "summaries.json": pretty(summaries),
        "snapshots.json": pretty(snapshots),
        "fact_keys.json": pretty(fact_keys()),
    }


def main(version: str) -> None:
    """Write a version's folder; it must not be there."""
    folder = HERE / version
    folder.mkdir()
    for name, text in files(asyncio.run(runs())).items():
        (folder / name).write_text(text, encoding="utf-8")
    shutil.copy(HERE / "flow.py", folder / "flow.py")


if __name__ == "__main__":
    main(sys.argv[1])
