"""Golden files read back: a version's runs in a store, and what each came to."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from durum.codec import genesis_hash
from durum.core.digests import semantic_digest
from durum.core.payload import decode_payload, encode_payload
from durum.engine.artifacts import ArtifactReader
from durum.engine.recovery import load_run
from durum.ports import Head, StoredEvent
from durum.stores.memory import MemoryBackend, MemoryStore, _Run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durum.core.canonical import JsonObject
    from durum.core.plan import ExecutionPlan
    from durum.engine.engine import Store

HERE = Path(__file__).parent
STORES = HERE / "stores"
RUN = "01890a5d-ac96-774b-bcce-b302099a8057"
VERSIONS = sorted((folder.name for folder in HERE.glob("v*") if folder.is_dir()), key=lambda name: int(name[1:]))


def log_text(events: Sequence[StoredEvent]) -> str:
    """Return a log as a file: a line an event."""
    lines = [json.dumps({"hash": event.hash.hex(), "body": event.body.decode()}) for event in events]
    return "\n".join(lines) + "\n"


def log(version: str, name: str) -> list[StoredEvent]:
    """Return the events of a log."""
    lines = map(json.loads, (HERE / version / f"{name}.jsonl").read_text("utf-8").splitlines())
    return [StoredEvent(seq, bytes.fromhex(line["hash"]), line["body"].encode()) for seq, line in enumerate(lines, 1)]


def read(version: str, name: str) -> Any:
    """Return what a JSON file of a version holds."""
    return json.loads((HERE / version / name).read_text("utf-8"))


def artifacts_text(artifacts: dict[str, bytes]) -> dict[str, JsonObject]:
    """Return artifacts as JSON."""
    return {artifact_id: encode_payload(data) for artifact_id, data in artifacts.items()}


def store_of(version: str, name: str) -> MemoryStore:
    """Return a store with one of a version's runs."""
    backend, events = MemoryBackend(), log(version, name)
    last = events[-1].hash if events else genesis_hash(RUN)
    backend.runs[RUN] = _Run(Head(RUN, len(events), last, 9, None, 0), events=events)
    backend.artifacts = {key: decode_payload(payload) for key, payload in read(version, "artifacts.json").items()}
    return MemoryStore(backend)


def plan_of(version: str, name: str) -> ExecutionPlan:
    """Return the plan a version's run replays with."""
    plan: ExecutionPlan = importlib.import_module(f"tests.golden.{version}.flow").PLANS[name]()
    return plan


async def summary_of(store: Store, run_id: str = RUN) -> JsonObject:
    """Return what a run came to."""
    run = await load_run(store, ArtifactReader(store), run_id)
    state = run.state
    return {
        "status": state.status().value,
        "events": state.seq,
        "log_digest": state.hash,
        "semantic_digest": semantic_digest(state),
        "final_snapshot_id": None if state.completed is None else state.completed.final_snapshot_id,
        "effects": [*sorted(state.effects)],
        "facts": [*sorted({fact.key for progress in state.states for fact in progress.facts})],
        "states": {
            node.id: {
                "status": progress.status.value,
                "attempt": progress.attempt,
                "counted": progress.counted,
                "orphans": progress.orphans,
                "snapshot_id": progress.snapshot_id,
                "writes": [[write.key, write.op] for write in progress.writes],
                "skipped": None if progress.skip is None else progress.skip.reason.value,
                "error": None if progress.error is None else progress.error.info.code,
            }
            for node, progress in zip(state.plan.nodes, state.states, strict=True)
        },
    }
