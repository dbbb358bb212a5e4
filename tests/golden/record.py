"""Makes the golden files of a new version: ``python -m tests.golden.record v2``. Files that are there are never written again."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from durum.core.canonical import JsonObject, JsonValue, canonical_json, digest_bytes
from durum.core.config import RunConfig
from durum.core.facts import KeyMaker, request_object
from durum.core.manifest import BuildProvenance, RunManifest, manifest_bytes
from durum.core.payload import encode_payload
from durum.core.plan import shape_bytes
from durum.core.tree import tree_of
from durum.engine.engine import Engine, StartRun
from durum.engine.transports import TransportRegistry
from durum.errors import StoreUnavailableError, TransportError
from durum.stores.memory import MemoryBackend, MemoryStore
from durum.stores.sqlite_file import open_database
from durum.testing.clock import ManualClock
from durum.testing.entropy import SeededEntropy
from durum.testing.faulty import Fault, FaultyStore, failing
from tests.golden import flow

if TYPE_CHECKING:
    from durum.core.fold import RunState
    from durum.core.plan import ExecutionPlan
    from durum.engine.engine import Store
    from durum.ports import TransportCall

HERE = Path(__file__).parent
RUN = "01890a5d-ac96-774b-bcce-b302099a8057"
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


class World:
    """The outside, scripted; ``hurt`` is what the announcement does to the store."""

    def __init__(self) -> None:
        self.clock = ManualClock(START_MS, auto_advance=True)
        self.counter = 0
        self.store: FaultyStore | None = None

    async def call(self, request: JsonObject, call: TransportCall) -> JsonValue:
        """Answer by what is asked for, some milliseconds later."""
        del call
        self.clock.advance(7)
        path = str(request.get("url", "")).removeprefix(flow.SITE)
        match path:
            case "":
                return self.local(request)
            case "/missing":
                return response(404, "no such page")
            case "/limited":
                return response(429, "slow down", retry_after="3")
            case "/down":
                message = "the connection was lost"
                raise TransportError(message, code="http_read", retryable=True)
            case "/refused":
                message = "no connection"
                raise TransportError(message, code="http_connect", retryable=True, details={"host": "example.org"})
            case "/slow":
                await asyncio.Event().wait()
            case "/counter":
                self.counter += 1
                return response(200, str(self.counter))
            case "/announce" if self.store is not None:
                self.store.plan = failing("append", Fault.NOT_DONE)
        return response(200, f"body of {path}", content_type="text/plain")

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
        step_digests={node.id: node.digest for node in shape.nodes if node.digest is not None},
    )
    return RunManifest(
        op_id=shape.op_id,
        op_version="1",
        input_params=msgspec.Raw(canonical_json(flow.CONTEXT)),
        run_config=config,
        build=build,
        plan_id=digest_bytes(shape_bytes(shape)),
        allow={"exec": ("git",), "private_hosts": ()},
    )


def engine(store: Store, world: World, entropy: SeededEntropy) -> Engine:
    """Return an engine that reaches the scripted world only."""
    registry = TransportRegistry(dict.fromkeys(("http", "exec", "file"), lambda: world))
    return Engine(store, registry, world.clock, entropy)


async def run_once(plan: ExecutionPlan, config: RunConfig) -> MemoryBackend:
    """Drive a run to its end."""
    backend = MemoryBackend()
    start = StartRun(RUN, manifest_of(plan, config), plan, flow.CONTEXT)
    await engine(worker(backend, "writer000001"), World(), SeededEntropy(1)).start(start)
    return backend


async def run_with_a_crash() -> MemoryBackend:
    """Drive a run whose process dies in an effect; another takes it over with changed code, and a person decides."""
    backend, world, entropy = MemoryBackend(), World(), SeededEntropy(1)
    world.store = store = FaultyStore(worker(backend, "writer000001"))
    start = StartRun(RUN, manifest_of(flow.completed(), flow.CONFIG), flow.completed(), flow.CONTEXT)
    try:
        await engine(store, world, entropy).start(start)
    except StoreUnavailableError:
        await store.close()
    world.store = None
    world.clock.advance(60_000)
    second = worker(backend, "writer000002")
    state: RunState = await engine(second, world, entropy).resume(RUN, flow.completed("2"))
    assert state.paused is not None
    world.clock.advance(3_600_000)
    await engine(second, world, entropy).resume(RUN, flow.completed("2"), repeat=state.paused.effect_key)
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
    }


def schema_dump(path: Path) -> str:
    """Return everything SQLite knows of the shape of a new store."""
    connection = open_database(path, create=True)
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall()
    numbers = [f"{name} = {connection.execute(f'PRAGMA {name}').fetchone()[0]}" for name in ("application_id", "user_version")]
    connection.close()
    return "\n".join([*numbers, *(f"\n-- {kind} {name}\n{sql or ''}" for kind, name, sql in rows)]) + "\n"


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


def files(backends: dict[str, MemoryBackend], spare: Path) -> dict[str, str]:
    """Return file name -> text of everything that is frozen."""

    written: dict[str, str] = {}
    artifacts: dict[str, JsonObject] = {}
    summaries = {}
    for name, backend in backends.items():
        events = backend.runs[RUN].events
        lines = [json.dumps({"hash": event.hash.hex(), "body": event.body.decode()}) for event in events]
        written[f"{name}.jsonl"] = "\n".join(lines) + "\n"
        artifacts |= {artifact_id: encode_payload(data) for artifact_id, data in backend.artifacts.items()}
        summaries[name] = summary_of(RUN, events, backend.artifacts)
    plan = flow.completed("2")
    written["artifacts.json"] = pretty(artifacts)
    written["summaries.json"] = pretty(summaries)
    written["snapshots.json"] = pretty({name: {"value": SNAPSHOTS[name], "id": found} for name, found in snapshot_ids().items()})
    written["fact_keys.json"] = pretty(fact_keys())
    written["schema.sql.txt"] = schema_dump(spare / "durum.db")
    del plan
    return written


def main(version: str, spare: Path) -> None:
    """Write a version's folder."""
    folder = HERE / version
    folder.mkdir()  # fails if it is there
    for name, text in files(asyncio.run(runs()), spare).items():
        (folder / name).write_text(text, encoding="utf-8")
    shutil.copy(HERE / "flow.py", folder / "flow.py")


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        main(sys.argv[1], Path(place))
