"""Who owns a run is who lives: real processes, killed, stopped and forked."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from typing import TYPE_CHECKING

import pytest

from durum.errors import RunOwnedError
from durum.stores.sqlite import SqliteStore
from durum.stores.worker_lock import WorkerLock, describe, is_alive
from durum.testing.conformance.contract import RUN, begun
from tests.stores.processes import workers

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS = 20


def claim(path: Path) -> int:
    """Claim the run in this process and return its epoch."""

    async def scenario() -> int:
        store = SqliteStore(path)
        try:
            return (await store.claim(RUN)).epoch
        finally:
            await store.close()

    return asyncio.run(scenario())


def test_a_killed_owners_run_is_adopted_at_once(tmp_path: Path) -> None:
    """After ``kill -9`` nothing has to time out, what it appended is there, and its lock file goes."""
    path = tmp_path / "durum.db"
    with workers(1, path) as (owner,):
        assert owner.ask("claim", RUN, "create") == [0, 1]
        assert owner.ask("append", RUN, 1, "one", "two") == 2
        with pytest.raises(RunOwnedError, match=f"process {owner.process.pid} on "):
            claim(path)
        owner.kill()
        assert claim(path) == 2
    assert list((tmp_path / "durum.db.workers").iterdir()) == []
    with workers(1, path) as (reader,):
        assert reader.ask("read", RUN) == ["one", "two"]


def test_a_stopped_owner_is_not_robbed(tmp_path: Path) -> None:
    """A process under SIGSTOP still lives: it may go on any moment and believes it owns the run."""
    path = tmp_path / "durum.db"
    with workers(1, path) as (owner,):
        owner.ask("claim", RUN, "create")
        owner.stop()
        with pytest.raises(RunOwnedError):
            claim(path)
        owner.kill()
        assert claim(path) == 2


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_a_child_does_not_keep_its_dead_parent_alive(tmp_path: Path, how: str) -> None:
    """Neither a forked child nor a program that was started holds on to the lock."""
    path = tmp_path / "durum.db"
    with workers(1, path) as (owner,):
        owner.ask("claim", RUN, "create")
        child = owner.have_child(how)
        with pytest.raises(RunOwnedError):
            claim(path)
        owner.kill()
        assert claim(path) == 2
        os.kill(child, 0)  # it is still there


def test_of_two_processes_that_claim_at_once_one_wins(tmp_path: Path) -> None:
    """Many times over, for a run whose owner just died: one gets it, under the next epoch, the other is told who has it."""
    path = tmp_path / "durum.db"
    runs = [f"{RUN[:-2]}{number:02}" for number in range(ROUNDS)]

    async def leave_orphans() -> None:
        dead = SqliteStore(path)
        for run_id in runs:
            await begun(dead, b"1", run_id=run_id)
        await dead.close()

    asyncio.run(leave_orphans())
    with workers(2, path) as pair:
        for run_id in runs:
            for worker in pair:
                worker.tell("claim", run_id)
            answers = [worker.answer() for worker in pair]
            assert [1, 2] in answers
            assert sorted(type(answer).__name__ for answer in answers) == ["dict", "list"], answers
            assert next(answer["error"] for answer in answers if isinstance(answer, dict)) == "run_owned"


def test_two_who_ask_do_not_take_each_other_for_the_worker(tmp_path: Path) -> None:
    """While one process looks whether a dead worker lives, another that looks too still learns that it is dead."""
    lock = WorkerLock(tmp_path)
    worker, file = lock.worker, tmp_path / f"{lock.worker}.lock"
    asking = os.open(file, os.O_RDONLY)
    assert is_alive(tmp_path, worker)
    lock.forget()
    fcntl.flock(asking, fcntl.LOCK_SH)
    assert not is_alive(tmp_path, worker)
    os.close(asking)


def test_a_lock_lives_until_it_is_released(tmp_path: Path) -> None:
    """Also for the process that holds it; releasing twice, or after someone tidied the folder, is no error."""
    first, second = WorkerLock(tmp_path), WorkerLock(tmp_path)
    assert first.worker != second.worker
    assert is_alive(tmp_path, first.worker)
    assert describe(tmp_path, first.worker).startswith(f"process {os.getpid()} on ")
    first.release()
    first.release()
    assert not is_alive(tmp_path, first.worker)
    assert is_alive(tmp_path, second.worker)
    (tmp_path / f"{second.worker}.lock").unlink()
    second.release()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_needs_no_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in the file is for people only: without it the lock holds all the same, and no handle is lost."""

    def full(file: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), file, data)

    monkeypatch.setattr(os, "write", full)
    lock = WorkerLock(tmp_path)
    assert is_alive(tmp_path, lock.worker)
    assert describe(tmp_path, lock.worker) == f"worker {lock.worker}"
    lock.release()
    assert not is_alive(tmp_path, lock.worker)
