"""A store file of any schema is opened for good: read, verified, replayed, and its runs go on.

``stores/v1/``, ``stores/v2/`` ... are never edited. When the tables change, ``python -m tests.golden.record_store vN`` makes
the folder of the new schema; every test here runs over all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import re
import shutil
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

import durum
from durum.core.artifact_kind import ArtifactKind
from durum.engine.artifacts import ArtifactReader
from durum.engine.inbox import Answer, message
from durum.history.verify import verify
from durum.stores.sqlite import SqliteStore
from durum.stores.sqlite_file import SCHEMA_VERSION, open_database
from durum.testing.entropy import SeededEntropy
from tests.golden import record_store
from tests.golden.reading import HERE, STORES, summary_of
from tests.golden.record import engine
from tests.golden.record_store import ASKING, CLAIMED, CUT, GROWING
from tools.project import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from durum import ExecutionPlan

SCHEMAS = sorted((folder.name for folder in STORES.iterdir()), key=lambda name: int(name[1:]))
NOT_WRITTEN = {ArtifactKind.OUTPUT, ArtifactKind.SECRET_PAYLOAD}  # kinds nothing of this version makes yet
over_schemas = pytest.mark.parametrize("schema", SCHEMAS)


@pytest.fixture
def path(schema: str, tmp_path: Path) -> Path:
    """Copy a schema's store."""
    shutil.copytree(STORES / schema, tmp_path / "store")
    return tmp_path / "store" / "durum.db"


def expected(schema: str) -> dict[str, Any]:
    """Return run id -> what it came to when the store was made."""
    found: dict[str, Any] = json.loads((STORES / schema / "summaries.json").read_text("utf-8"))
    return found


def plan_of(schema: str, op_id: str) -> ExecutionPlan:
    """Return the plan of a run's workflow, of its time."""
    plan: ExecutionPlan = importlib.import_module(f"tests.golden.stores.{schema}.flow").PLANS[op_id]()
    return plan


def replayed(service: durum.Durum, schema: str, run_id: str) -> None:
    """See a run pass every check and replay to where it stands."""
    summary = service.show(run_id)
    assert service.verify(run_id).first_bad is None
    assert service.verify(run_id, str(summary["head_hash"])).first_bad is None
    for mode, code in (("verify", None), ("reproduce", plan_of(schema, str(summary["op_id"])))):
        result = service.replay(run_id, mode, code)
        assert (result.divergence, result.live_calls) == (None, 0)
        assert result.final_snapshot_id == summary["final_snapshot_id"]


@over_schemas
def test_every_run_of_a_store_means_what_it_meant(schema: str, path: Path) -> None:
    """Once it was opened, and its tables brought up to date, each run folds, verifies and replays as it did."""
    with durum.open(f"sqlite:///{path}", create=False) as service:
        for run_id in expected(schema):
            replayed(service, schema, run_id)
        assert len(str(service.context(GROWING, "large"))) > 64 * 1024
    assert asyncio.run(record_store.summaries(path)) == expected(schema)


@over_schemas
def test_a_run_that_was_cut_off_goes_on(schema: str, path: Path) -> None:
    """Its owner is dead: it is adopted under a higher epoch, nothing answered is asked again, and the whole run replays."""

    async def scenario() -> None:
        store = SqliteStore(path, create=False)
        before = await store.head(CUT)
        assert before is not None
        state = await engine(store, record_store.Archive(), SeededEntropy(1)).resume(CUT, plan_of(schema, "cut"))
        after = await store.head(CUT)
        assert after is not None
        assert (state.status().value, after.epoch) == ("completed", before.epoch + 1)
        assert len({fact.key for progress in state.states for fact in progress.facts}) == 2
        await store.close()

    asyncio.run(scenario())
    with durum.open(f"sqlite:///{path}", create=False) as service:
        replayed(service, schema, CUT)


@over_schemas
def test_what_waited_in_the_inbox_is_taken_once(schema: str, path: Path) -> None:
    """The answer that nobody had read yet counts; the same answer again is told that another was first."""

    async def scenario() -> None:
        store = SqliteStore(path, create=False)
        (letter,) = await store.inbox(ASKING)
        state = await engine(store, record_store.Archive(), SeededEntropy(1)).resume(ASKING, plan_of(schema, "asking"))
        assert state.status().value == "completed"
        assert await store.inbox(ASKING) == []
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            ((key,),) = connection.execute("SELECT dedupe_key FROM inbox_keys WHERE dedupe_key LIKE 'gate:%'").fetchall()
        connection.close()
        assert not await store.send(message(ASKING, letter.kind, Answer("", "", {}, ""), key))
        await store.close()

    asyncio.run(scenario())
    with durum.open(f"sqlite:///{path}", create=False) as service:
        replayed(service, schema, ASKING)


@over_schemas
def test_a_store_takes_new_runs(schema: str, path: Path) -> None:
    """A run that was only claimed can be begun, beside a new one; those that were there stay as they were."""

    async def scenario() -> None:
        store = SqliteStore(path, create=False)
        for run_id in (CLAIMED, CLAIMED[:-1] + "5"):
            start = record_store.start_of(run_id, "growing")
            state = await engine(store, record_store.Archive(), SeededEntropy(2)).start(start)
            assert state.status().value == "completed"
        for run_id, summary in expected(schema).items():
            assert await summary_of(store, run_id) == summary
            assert (await verify(store, ArtifactReader(store), run_id)).first_bad is None
        await store.close()

    asyncio.run(scenario())


def columns(path: Path) -> set[tuple[Any, ...]]:
    """Return every column of a store: table, name, type, whether it may be null, its default, its place in the key."""
    connection = open_database(path, create=True)
    rows = connection.execute(
        'SELECT tables.name, columns.name, columns.type, "notnull", dflt_value, columns.pk '
        "FROM sqlite_master AS tables, pragma_table_info(tables.name) AS columns"
    ).fetchall()
    rows += connection.execute(
        'SELECT tables.name, indexes.name, "unique", origin, partial, columns.name FROM sqlite_master AS tables, '
        "pragma_index_list(tables.name) AS indexes, pragma_index_info(indexes.name) AS columns"
    ).fetchall()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    return {("user_version", version), *rows}


@over_schemas
def test_a_store_that_was_brought_up_to_date_is_as_a_new_one(path: Path, tmp_path: Path) -> None:
    """The same version, tables, columns and indexes."""
    assert columns(path) == columns(tmp_path / "new.db")


@over_schemas
def test_every_kind_of_artifact_is_in_a_store(path: Path) -> None:
    """Small ones in rows, large ones in files; a kind the source begins to write needs a new golden store."""
    connection = sqlite3.connect(path)
    kinds = {kind for (kind,) in connection.execute("SELECT DISTINCT kind FROM artifacts")}
    filed = connection.execute("SELECT count(*) FROM artifacts WHERE data IS NULL").fetchone()[0]
    connection.close()
    source = "\n".join(file.read_text("utf-8") for file in (ROOT / "src" / "durum").rglob("*.py"))
    written = {ArtifactKind[name] for name in re.findall(r"\bArtifactKind\.([A-Z_]+)", source)}
    assert (kinds, written) == (set(ArtifactKind) - NOT_WRITTEN, set(ArtifactKind) - NOT_WRITTEN)
    assert filed == 2


def test_the_tables_are_those_that_were_written_down(tmp_path: Path) -> None:
    """A new store has the tables, columns, indexes and marks of its schema's folder; others need another schema version."""
    assert SCHEMAS[-1] == f"v{SCHEMA_VERSION}", f"run: python -m tests.golden.record_store v{SCHEMA_VERSION}"
    assert record_store.schema_dump(tmp_path / "durum.db") == (STORES / SCHEMAS[-1] / "schema.txt").read_text("utf-8")


def test_the_newest_store_was_made_of_the_code_beside_it() -> None:
    """Each folder keeps the code of its time."""
    assert (STORES / SCHEMAS[-1] / "flow.py").read_text("utf-8") == (HERE / "store_flow.py").read_text("utf-8")
