"""Makes the golden store of a new schema: ``python -m tests.golden.record_store v2``. A folder that is there is left alone."""

from __future__ import annotations

import asyncio
import shutil
import sys
from typing import TYPE_CHECKING

import msgspec

from durum.app.service import Durum
from durum.core.config import RunConfig
from durum.core.payload import encode_payload
from durum.engine.engine import StartRun
from durum.engine.inbox import Answer, message
from durum.errors import StoreUnavailableError
from durum.stores.sqlite import SqliteStore
from durum.stores.sqlite_file import SCHEMA_VERSION, open_database
from durum.testing.entropy import SeededEntropy
from tests.golden import store_flow
from tests.golden.reading import STORES, summary_of
from tests.golden.record import World, engine, manifest_of, pretty, undated

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from durum.core.canonical import JsonObject, JsonValue
    from durum.ports import Artifact, StoredEvent, TransportCall

GROWING = "01890a5d-ac96-774b-bcce-b302099a8001"
ASKING = "01890a5d-ac96-774b-bcce-b302099a8002"
CUT = "01890a5d-ac96-774b-bcce-b302099a8003"
CLAIMED = "01890a5d-ac96-774b-bcce-b302099a8004"


class Archive(World):
    """The scripted world with a file that is streamed into the store."""

    async def call(self, request: JsonObject, call: TransportCall) -> JsonValue:
        """Answer."""
        if request.get("op") != "store":
            return await super().call(request, call)

        async def chunks() -> object:
            yield b"notes of a day\n" * 5_000

        stored = await call.store(chunks())  # type: ignore[arg-type]  # an async generator of bytes
        return {"stored": {"id": stored.id, "size": stored.size}}


class DyingStore(SqliteStore):
    """A store whose process dies at a certain append: nothing is written any more, the run is not given up."""

    left = 1_000

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
        """Append, as long as the process lives."""
        self.left -= 1
        if self.left < 0:
            raise StoreUnavailableError("of a dying process", "it is gone")
        return await super().append(run_id, expected_seq, epoch, events, artifacts, consumed, sync=sync)

    async def release(self, run_id: str, epoch: int, *, wake_ms: int | None = None) -> None:
        """Give the run up, as long as the process lives."""
        if self.left >= 0:
            await super().release(run_id, epoch, wake_ms=wake_ms)


def start_of(run_id: str, name: str) -> StartRun:
    """Return what a run is started from."""
    plan = undated(store_flow.PLANS[name]())
    manifest = msgspec.structs.replace(manifest_of(plan, RunConfig(max_concurrency=1)), input_params=msgspec.Raw(b"{}"))
    return StartRun(run_id, manifest, plan, {})


async def fill(path: Path) -> None:
    """Make every run, one process after the other."""
    world = Archive()
    for run_id, name, appends in ((GROWING, "growing", 1_000), (ASKING, "asking", 1_000), (CUT, "cut", 4)):
        store = DyingStore(path)
        store.left = appends
        try:
            await engine(store, world, SeededEntropy(1)).start(start_of(run_id, name))
        except StoreUnavailableError:
            assert run_id == CUT
        world.clock.advance(60_000)
        await store.close()
    store = DyingStore(path)
    await store.claim(CLAIMED, create=True, now_ms=world.clock.now_ms())
    await store.close()


def answer(path: Path) -> None:
    """Leave an answer in the inbox that nobody has read yet, beside its key."""
    with Durum(f"sqlite:///{path}", create=False) as service:
        (gate,) = service.gates(ASKING)
    name, digest = str(gate["gate"]).partition("@")[0], str(gate["digest"])
    given: JsonObject = {
        "happened": True,
        "result": {"status": 200, "url": "", "headers": [], "body": encode_payload(b"hello")},
    }
    letter = message(ASKING, "answer", Answer(name, digest, given, "ann", "seen"), f"gate:{name}@{digest}")
    store = SqliteStore(path)
    assert asyncio.run(store.send(letter))
    asyncio.run(store.close())


async def summaries(path: Path) -> JsonObject:
    """Return run id -> what it came to, for every run that has begun."""
    store = SqliteStore(path, create=False)
    found: JsonObject = {head.run_id: await summary_of(store, head.run_id) for head in await store.heads()}
    await store.close()
    return found


def schema_dump(path: Path) -> str:
    """Return everything SQLite knows of the shape of a new store."""
    connection = open_database(path, create=True)
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall()
    numbers = [f"{name} = {connection.execute(f'PRAGMA {name}').fetchone()[0]}" for name in ("application_id", "user_version")]
    connection.close()
    return "\n".join([*numbers, *(f"\n-- {kind} {name}\n{sql or ''}" for kind, name, sql in rows)]) + "\n"


def main(version: str) -> None:
    """Write a schema's folder; it must not be there."""
    assert version == f"v{SCHEMA_VERSION}", f"this Durum writes schema v{SCHEMA_VERSION}"
    folder = STORES / version
    folder.mkdir(parents=True)
    path = folder / "durum.db"
    (folder / "schema.txt").write_text(schema_dump(path), encoding="utf-8")
    asyncio.run(fill(path))
    answer(path)
    (folder / "summaries.json").write_text(pretty(asyncio.run(summaries(path))), encoding="utf-8")
    shutil.rmtree(folder / "durum.db.workers")
    shutil.copy(STORES.parent / "store_flow.py", folder / "flow.py")


if __name__ == "__main__":
    main(sys.argv[1])
