"""What SQLite adds to the contract: many writers at once, commits in doubt, threads, forks and full queues."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from durum.errors import ConcurrencyError, NotFoundError, RunOwnedError, StoreUnavailableError
from durum.stores import sqlite_file
from durum.stores.artifact_files import INLINE_BYTES
from durum.stores.memory import MemoryBackend, MemoryStore
from durum.stores.sqlite import SqliteStore
from durum.testing.conformance.contract import OTHER_RUN, RUN, begun, chained, named, opening, present
from tests.stores.processes import workers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from durum.engine.engine import Store

WRITERS = 8
EACH = 25
LATE = 1_000


@asynccontextmanager
async def open_twice(path: Path) -> AsyncIterator[tuple[SqliteStore, SqliteStore]]:
    """Yield two handles on a store."""
    handles = SqliteStore(path), SqliteStore(path)
    yield handles
    for handle in handles:
        await handle.close()


def check_race(log: list[str], acknowledged: list[list[Any]]) -> None:
    """Check that every acknowledged event stands at its seq, and that nothing else is there."""
    assert len(log) == WRITERS * EACH
    assert {seq: text for seq, text in acknowledged} == dict(enumerate(log, 1))  # noqa: C416 - pairs are lists
    for name in range(WRITERS):
        own = [text for text in log if text.startswith(f"{name} ")]
        assert own == [f"{name} {number}" for number in range(EACH)]


def test_processes_that_race_for_one_log_leave_no_gap(tmp_path: Path) -> None:
    """Eight writers with the same epoch: what was acknowledged is what is stored, each event once, in each writer's order."""
    path = tmp_path / "durum.db"
    with workers(WRITERS, path) as racers:
        assert racers[0].ask("claim", RUN, "create") == [0, 1]
        for name, racer in enumerate(racers):
            racer.tell("race", RUN, 1, str(name), EACH)
        acknowledged = [pair for racer in racers for pair in racer.answer()]
        check_race(racers[0].ask("read", RUN), acknowledged)


@pytest.mark.parametrize("shared", [True, False])
def test_threads_that_race_for_one_log_leave_no_gap(tmp_path: Path, *, shared: bool) -> None:
    """The same in one process, with a handle for each thread or one for all."""
    path = tmp_path / "durum.db"
    handles = [SqliteStore(path)] * WRITERS if shared else [SqliteStore(path) for _ in range(WRITERS)]
    asyncio.run(begun(handles[0]))
    acknowledged: list[list[Any]] = []

    async def race(name: int) -> None:
        store, number = handles[name], 0
        while number < EACH:
            head, text = await present(store), f"{name} {number}"
            try:
                seq = await store.append(RUN, head.seq, head.epoch, chained(head.hash, head.seq + 1, text.encode()))
            except ConcurrencyError:
                continue
            acknowledged.append([seq, text])
            number += 1

    threads = [threading.Thread(target=lambda name=name: asyncio.run(race(name))) for name in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log = asyncio.run(handles[0].read_range(RUN))
    check_race([event.body.decode() for event in log], acknowledged)
    for handle in handles:
        asyncio.run(handle.close())


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_a_thousand_late_appends_are_refused(kind: str, tmp_path: Path) -> None:
    """An owner that lost its run while it slept may try as often as it likes, while the new owner writes on."""

    async def scenario(late: Store, owner: Store) -> None:
        old = await begun(late, b"1")
        await late.release(RUN, old.epoch)
        head = await owner.claim(RUN)
        refused = 0
        for number in range(LATE):
            if number % 100 == 0:
                await owner.append(RUN, head.seq, head.epoch, chained(head.hash, head.seq + 1, b"owner's"))
                head = await present(owner)
            try:
                await late.append(RUN, head.seq, old.epoch, chained(head.hash, head.seq + 1, b"late"), [named(b"late")])
            except ConcurrencyError as error:
                refused += (error.actual_seq, error.actual_epoch) == (head.seq, head.epoch)
        assert refused == LATE
        assert {event.body for event in (await owner.read_range(RUN))[1:]} == {b"owner's"}
        assert not await owner.exists(named(b"late").id)

    async def run() -> None:
        if kind == "memory":
            backend = MemoryBackend()
            await scenario(MemoryStore(backend), MemoryStore(backend))
        else:
            async with open_twice(tmp_path / "durum.db") as (late, owner):
                await scenario(late, owner)

    asyncio.run(run())


class Doubtful:
    """A connection whose next commit fails, before or after it is done."""

    def __init__(self, connection: sqlite3.Connection, *, done: bool) -> None:
        self._connection = connection
        self._done = done

    def execute(self, statement: str, *parameters: Any) -> sqlite3.Cursor:
        """Execute, or fail as a full or broken disk does."""
        if statement == "COMMIT":
            if self._done:
                self._connection.execute(statement)
            message = "disk I/O error"
            raise sqlite3.OperationalError(message)
        return self._connection.execute(statement, *parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def fail_commit(store: SqliteStore, *, done: bool) -> None:
    """Make the next commit of a handle fail."""
    assert store._database.connection is not None
    store._database.connection = Doubtful(store._database.connection, done=done)  # type: ignore[assignment]


@pytest.mark.parametrize("done", [True, False])
def test_after_a_doubtful_commit_the_store_tells_what_is_there(tmp_path: Path, *, done: bool) -> None:
    """The handle begins anew: the head it reads is the durable one, and the next append fits it."""

    async def scenario() -> None:
        async with open_twice(tmp_path / "durum.db") as (store, other):
            head = await begun(store, b"1")
            events = chained(head.hash, 2, b"2")
            fail_commit(store, done=done)
            with pytest.raises(StoreUnavailableError, match="disk I/O error"):
                await store.append(RUN, 1, head.epoch, events, [named(b"x")])
            now = await present(store)
            assert now == await present(other)
            assert (now.seq, await other.exists(named(b"x").id)) == ((2, True) if done else (1, False))
            assert await store.append(RUN, now.seq, head.epoch, chained(now.hash, now.seq + 1, b"next")) == now.seq + 1

    asyncio.run(scenario())


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize("create", [True, False])
def test_a_claim_in_doubt_can_be_repeated(tmp_path: Path, *, create: bool, done: bool) -> None:
    """Whether the first was stored or not, its worker gets the run at the second try, and nobody else in between."""

    async def scenario() -> None:
        async with open_twice(tmp_path / "durum.db") as (store, other):
            if not create:
                await other.release(RUN, (await begun(other, b"1")).epoch)
            fail_commit(store, done=done)
            with pytest.raises(StoreUnavailableError):
                await store.claim(RUN, create=create)
            if done:
                with pytest.raises(RunOwnedError):
                    await other.claim(RUN)
            head = await store.claim(RUN, create=create)
            assert head.owner == store.worker
            await store.append(RUN, head.seq, head.epoch, chained(head.hash, head.seq + 1, b"x"))
            for handle in (store, other):
                with pytest.raises(RunOwnedError):
                    await handle.claim(RUN)

    asyncio.run(scenario())


@pytest.mark.parametrize("done", [True, False])
def test_a_release_in_doubt_counts_for_its_own_worker(tmp_path: Path, *, done: bool) -> None:
    """A process that goes on living can resume what it could not give up; others wait for it to be stored."""

    async def scenario() -> None:
        async with open_twice(tmp_path / "durum.db") as (store, other):
            head = await begun(store, b"1")
            fail_commit(store, done=done)
            with pytest.raises(StoreUnavailableError):
                await store.release(RUN, head.epoch)
            if not done:
                with pytest.raises(RunOwnedError):
                    await other.claim(RUN)
            again = await store.claim(RUN)
            assert (again.epoch, again.owner) == (head.epoch + 1, store.worker)
            with pytest.raises(RunOwnedError):
                await store.claim(RUN)

    asyncio.run(scenario())


def test_a_store_that_is_locked_for_too_long_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program keeps a transaction open: writing says that the store is locked, reading goes on, then all is well."""
    monkeypatch.setattr(sqlite_file, "BUSY_SECONDS", 0.01)
    path = tmp_path / "durum.db"

    async def scenario() -> None:
        async with open_twice(path) as (store, _):
            head = await begun(store, b"1")
            blocker = sqlite3.connect(path, isolation_level=None)
            blocker.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailableError, match="locked"):
                await store.append(RUN, 1, head.epoch, chained(head.hash, 2, b"2"))
            assert await store.head(RUN) == head
            blocker.execute("COMMIT")
            blocker.close()
            assert await store.append(RUN, 1, head.epoch, chained(head.hash, 2, b"2")) == 2

    asyncio.run(scenario())


def test_another_working_directory_is_no_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handle that must open its file anew finds the same one."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)

    async def scenario() -> None:
        async with open_twice((tmp_path / "durum.db").relative_to(tmp_path)) as (store, _):
            await begun(store, b"1")
            monkeypatch.chdir(tmp_path / "elsewhere")
            fail_commit(store, done=False)
            with pytest.raises(StoreUnavailableError):
                await store.put(named(b"x"))
            await store.put(named(bytes(100_000)))
            assert len(await store.read_range(RUN)) == 1

    asyncio.run(scenario())
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("sync", [False, True])
def test_a_link_names_the_store_that_lies_where_it_points(tmp_path: Path, *, sync: bool) -> None:
    """Whoever comes by it meets the same owners, logs and artifacts; while it names nothing, or another, nothing counts."""
    (tmp_path / "there").mkdir()
    real, link = tmp_path / "there" / "durum.db", tmp_path / "link.db"
    link.symlink_to(real)

    async def scenario() -> None:
        by_file, by_link = SqliteStore(real), SqliteStore(link, create=False)
        head = await by_link.claim(RUN, create=True)
        with pytest.raises(RunOwnedError):
            await by_file.claim(RUN)
        events = opening(b"1", b"2", b"3")
        for seq in range(3):
            await by_link.append(RUN, seq, head.epoch, events[seq : seq + 1], sync=sync)
        large = named(bytes(INLINE_BYTES + 1))
        await by_link.put(large)
        await SqliteStore(tmp_path / "there" / "other.db").close()
        link.unlink()
        for aim in (None, tmp_path / "there" / "other.db"):
            if aim is not None:
                link.symlink_to(aim)
            for _ in range(2):
                with pytest.raises(StoreUnavailableError, match="put it back"):
                    await by_link.append(RUN, 3, head.epoch, opening(b"1", b"2", b"3", b"4")[3:], sync=sync)
        link.unlink()
        link.symlink_to(real)
        await by_link.put(large)
        assert await by_file.get(large.id) == large.data
        await by_link.close()
        await by_file.close()

    asyncio.run(scenario())
    assert sorted(file.name for file in tmp_path.iterdir()) == ["link.db", "there"]
    assert sorted(file.name for file in real.parent.iterdir()) == [
        "durum.db",
        "durum.db.artifacts",
        "durum.db.workers",
        "other.db",
    ]


def test_a_run_that_was_deleted_behind_a_handle_is_not_found(tmp_path: Path) -> None:
    """A row that somebody removed is told as such, by the handle that knew it too."""
    path = tmp_path / "durum.db"

    async def scenario() -> None:
        async with open_twice(path) as (store, _):
            head = await begun(store, b"1")
            connection = sqlite3.connect(path)
            with connection:
                connection.execute("DELETE FROM runs")
            connection.close()
            with pytest.raises(NotFoundError):
                await store.append(RUN, 1, head.epoch, chained(head.hash, 2, b"2"))

    asyncio.run(scenario())


FORKING = """
import asyncio, os, sys
from pathlib import Path
from durum.stores.sqlite import SqliteStore
from durum.testing.conformance.contract import RUN, OTHER_RUN, begun, chained, present
store = SqliteStore(Path(sys.argv[1]))
asyncio.run(begun(store, b"parent's"))
parent = store.worker
child = os.fork()
if not child:
    asyncio.run(begun(store, b"child's", run_id=OTHER_RUN))
    os._exit(0 if store.worker != parent else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
head = asyncio.run(present(store))
asyncio.run(store.append(RUN, 1, head.epoch, chained(head.hash, 2, b"after")))
assert asyncio.run(store.is_alive(store.worker))
assert not asyncio.run(store.is_alive(asyncio.run(present(store, OTHER_RUN)).owner))
"""


def test_a_forked_child_is_a_worker_of_its_own(tmp_path: Path) -> None:
    """A handle that came along through a fork opens the store anew, under a new name; the parent's works on."""
    path = tmp_path / "durum.db"
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKING, str(path)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")

    async def scenario() -> None:
        async with open_twice(path) as (store, _):
            assert [event.body for event in await store.read_range(RUN)] == [b"parent's", b"after"]
            assert [event.body for event in await store.read_range(OTHER_RUN)] == [b"child's"]

    asyncio.run(scenario())


def test_runs_up_to_the_last_seq_do_not_reach_into_the_next(tmp_path: Path) -> None:
    """Positions of two runs are far apart: not even the highest seq a log could have touches another's."""

    async def scenario() -> None:
        async with open_twice(tmp_path / "durum.db") as (store, _):
            for run_id in (RUN, OTHER_RUN):
                head = await begun(store, run_id=run_id)
                assert await store.append(run_id, 0, head.epoch, opening(b"1", run_id=run_id)) == 1
            assert len(await store.read_range(RUN, 1, 2**32 + 1)) == 1
            assert await store.read_range(RUN, 2**32 - 1, 2**33) == []

    asyncio.run(scenario())
