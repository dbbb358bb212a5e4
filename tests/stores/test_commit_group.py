"""Commits that several runs share: one transaction a turn of the loop, each write on its own merits."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from typing import TYPE_CHECKING, TypeVar

import pytest

from durum.errors import ConcurrencyError, CorruptionError, StoreUnavailableError
from durum.stores.commit_group import CommitGroup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")


class Disk:
    """A table of its own behind real transactions, which it counts; ``fails`` says what becomes of a commit."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.connection.execute("CREATE TABLE kept (word TEXT NOT NULL)")
        self.commits = 0
        self.fails: Callable[[], None] = lambda: None

    def transact(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run one transaction."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            result = job(self.connection)
            self.fails()
        except sqlite3.DatabaseError as error:
            self.connection.execute("ROLLBACK")
            raise CorruptionError("store", str(error)) from error
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")
        self.commits += 1
        return result

    def words(self) -> list[str]:
        """Return what is durable."""
        return sorted(word for (word,) in self.connection.execute("SELECT word FROM kept"))


@pytest.fixture
def disk() -> Iterator[Disk]:
    """A disk of its own."""
    made = Disk()
    yield made
    made.connection.close()


def keep(word: str | None) -> Callable[[sqlite3.Connection], str | None]:
    """Return a job that keeps a word; None cannot be kept, and breaks the transaction."""

    def job(connection: sqlite3.Connection) -> str | None:
        connection.execute("INSERT INTO kept VALUES (?)", (word,))
        return word

    return job


def refuse(connection: sqlite3.Connection) -> str:
    """Stand for a write whose guard found another head."""
    del connection
    raise ConcurrencyError("run", 1, 2, 1, 1)


def group_of(disk: Disk) -> CommitGroup:
    """Return a group over a disk."""
    return CommitGroup(disk.transact, threading.RLock())


async def together(group: CommitGroup, *jobs: Callable[[sqlite3.Connection], str | None]) -> list[object]:
    """Ask for writes in one turn of the loop; return what each gave or raised."""
    writes = [group.write(job, None) for job in jobs]
    return [*await asyncio.gather(*writes, return_exceptions=True)]


def test_a_hundred_writes_of_one_turn_are_one_commit(disk: Disk) -> None:
    """Each gets its own result, and all of it was durable by then."""
    words = [f"w{place:02}" for place in range(100)]
    assert asyncio.run(together(group_of(disk), *map(keep, words))) == words
    assert (disk.commits, disk.words()) == (1, words)


def test_a_write_that_is_refused_fails_alone(disk: Disk) -> None:
    """The others in its commit know nothing of it."""
    first, second, third = asyncio.run(together(group_of(disk), keep("a"), refuse, keep("c")))
    assert (first, type(second), third) == ("a", ConcurrencyError, "c")
    assert (disk.commits, disk.words()) == (1, ["a", "c"])


def test_a_write_that_breaks_the_transaction_fails_alone(disk: Disk) -> None:
    """Nothing of the shared transaction was stored, so each is tried again on its own."""
    first, second, third = asyncio.run(together(group_of(disk), keep("a"), keep(None), keep("c")))
    assert (first, type(second), third) == ("a", CorruptionError, "c")
    assert (disk.commits, disk.words()) == (2, ["a", "c"])


def test_nobody_is_told_of_success_where_the_commit_failed(disk: Disk) -> None:
    """The outcome is in doubt for all of them, and none is tried again here: who waits looks at the head first."""

    def away() -> None:
        raise StoreUnavailableError("store", "gone")

    disk.fails = away
    noted: list[str] = []
    group = group_of(disk)

    async def ask() -> list[object]:
        writes = [group.write(keep(word), lambda: noted.append("after")) for word in "ab"]
        return [*await asyncio.gather(*writes, return_exceptions=True)]

    assert [type(result) for result in asyncio.run(ask())] == [StoreUnavailableError] * 2
    assert (disk.words(), noted) == ([], [])


def test_what_follows_from_a_commit_comes_before_anybody_else_gets_a_turn(disk: Disk) -> None:
    """Behind the commit, and before the one that waits goes on."""
    seen: list[str] = []
    group = group_of(disk)

    async def ask(word: str) -> None:
        await group.write(keep(word), lambda: seen.append(f"after {word}, kept {len(disk.words())}"))
        seen.append(f"told {word}")

    async def both() -> None:
        await asyncio.gather(ask("a"), ask("b"))

    asyncio.run(both())
    assert seen == ["after a, kept 2", "after b, kept 2", "told a", "told b"]


def test_a_write_whose_asker_has_gone_is_not_made(disk: Disk) -> None:
    """It was cancelled before the commit; the others are made."""
    group = group_of(disk)

    async def ask() -> object:
        gone = group.write(keep("gone"), None)
        here = group.write(keep("here"), None)
        gone.cancel()
        return await here

    assert asyncio.run(ask()) == "here"
    assert disk.words() == ["here"]


def test_loops_in_two_threads_do_not_wait_for_each_other(disk: Disk) -> None:
    """Each loop commits what was asked for in it; a loop that ended takes nothing of another's along."""
    disk.connection.close()
    disk.connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    disk.connection.execute("CREATE TABLE kept (word TEXT NOT NULL)")
    mutex = threading.RLock()

    def locked(job: Callable[[sqlite3.Connection], T]) -> T:
        with mutex:
            return disk.transact(job)

    group = CommitGroup(locked, mutex)

    def work(name: str) -> None:
        for place in range(20):
            asyncio.run(together(group, keep(f"{name}{place:02}a"), keep(f"{name}{place:02}b")))

    threads = [threading.Thread(target=work, args=(name,)) for name in "xyz"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(disk.words()), disk.commits) == (120, 60)
