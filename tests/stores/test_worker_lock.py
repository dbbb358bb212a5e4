"""Who owns a run is who lives: real processes, killed, stopped and forked."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from durum.core.lease import Lease
from durum.errors import RunOwnedError
from durum.stores import worker_lock
from durum.stores.sqlite import SqliteStore
from durum.stores.worker_lock import WorkerLock, describe, is_alive, look, roll
from durum.testing.conformance.contract import RUN, begun
from tests.stores.processes import workers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROUNDS = 20
QUIET_SECONDS = 3600  # a lease so long that no heart beats by itself within a test


def until(come: Callable[[], Any]) -> Any:
    """Ask again and again until the answer is neither nothing nor a refusal."""
    for _ in range(600):
        answer = come()
        if answer and not isinstance(answer, dict):
            return answer
        time.sleep(0.05)
    raise AssertionError("it never came")


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


def test_a_stopped_owner_is_not_robbed_while_its_lease_lasts(tmp_path: Path) -> None:
    """A process under SIGSTOP still lives: it may go on any moment and believes it owns the run."""
    path = tmp_path / "durum.db"
    with workers(1, path) as (owner,):
        owner.ask("claim", RUN, "create")
        owner.stop()
        with pytest.raises(RunOwnedError):
            claim(path)
        owner.kill()
        assert claim(path) == 2


@pytest.mark.slow
def test_a_hung_owner_loses_its_run_and_everything_it_tries_is_refused(tmp_path: Path) -> None:
    """Stopped for longer than its lease it is robbed; once it goes on it may neither append nor act, though it is alive."""
    path = tmp_path / "durum.db"
    with workers(2, path, lease_seconds=1) as (owner, other):
        owner.ask("claim", RUN, "create")
        owner.ask("append", RUN, 1, "one")
        assert owner.ask("act", RUN, 1) is None
        owner.stop()
        assert until(lambda: other.ask("claim", RUN)) == [1, 2]
        other.ask("append", RUN, 2, "two")
        owner.go_on()
        assert owner.ask("act", RUN, 1)["error"] == "event_store_concurrency"
        assert owner.ask("insist", RUN, 1, 1_000) == ["event_store_concurrency"] * 1_000
        assert other.ask("act", RUN, 2) is None
        assert other.ask("read", RUN) == ["one", "two"]
        assert is_alive(tmp_path / "durum.db.workers", owner.ask("worker"))


@pytest.mark.slow
def test_a_hung_owner_nobody_robbed_goes_on(tmp_path: Path) -> None:
    """It makes sure of its run in the store before it acts, and from then on nobody can take it for hung."""
    path = tmp_path / "durum.db"
    with workers(1, path, lease_seconds=1) as (owner,):
        owner.ask("claim", RUN, "create")
        name = owner.ask("worker")
        owner.stop()
        until(lambda: not is_alive(tmp_path / "durum.db.workers", name))
        owner.go_on()
        assert owner.ask("act", RUN, 1) is None
        with pytest.raises(RunOwnedError):
            claim(path)
        assert owner.ask("append", RUN, 1, "one") == 1


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

    def full(file: int, data: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), file, data, offset)

    monkeypatch.setattr(os, "pwrite", full)
    lock = WorkerLock(tmp_path)
    assert is_alive(tmp_path, lock.worker)
    assert describe(tmp_path, lock.worker) == f"worker {lock.worker}"
    lock.release()
    assert not is_alive(tmp_path, lock.worker)


class Seconds:
    """Monotonic time that a test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        monkeypatch.setattr(worker_lock, "now_ns", lambda: round(self.now * 1e9))


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> Seconds:
    """Let time stand still."""
    return Seconds(monkeypatch)


def test_a_worker_is_hung_once_its_lease_lapsed_and_alive_again_when_it_beats(tmp_path: Path, seconds: Seconds) -> None:
    """Two thirds of it the worker may act by itself; its file stays all the while, and the gap is not forgotten."""
    lock = WorkerLock(tmp_path, QUIET_SECONDS)
    seen = []
    for moment in (0, 2400, 2401, 3600, 3601):
        seconds.now = 1_000.0 + moment
        sighting = look(tmp_path, lock.worker)
        seen.append((sighting.state, sighting.silent_seconds, lock.held_since(0)))
    assert seen == [
        ("alive", 0, True),
        ("alive", 2400, True),
        ("alive", 2401, False),
        ("alive", 3600, False),
        ("hung", 3601, False),
    ]
    lock.beat()
    assert look(tmp_path, lock.worker).state == "alive"
    assert (lock.gaps, lock.held_since(0), lock.held_since(1)) == (1, False, True)
    lock.release()


def test_the_heart_beats_by_itself_until_the_lock_is_released(tmp_path: Path) -> None:
    """In a thread that holds up no end of the process, and that ends with the lock."""
    lock = WorkerLock(tmp_path, lease_seconds=0.05)
    (heart,) = (thread for thread in threading.enumerate() if thread.name == "durum-heartbeat" and of(thread) is lock)
    assert heart.daemon
    first = (tmp_path / f"{lock.worker}.lock").read_bytes()
    until(lambda: (tmp_path / f"{lock.worker}.lock").read_bytes() != first)
    lock.release()
    heart.join(10)
    assert not heart.is_alive()


def of(thread: threading.Thread) -> Any:
    """Return whose heart a thread is."""
    return getattr(thread._target, "__self__", None)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "left",
    [
        b"",
        b'{"pid": 1, "host": "h"}',
        b'{"pid": 1, "host": "h", "lease": {"beat": 1}}',
        b"not a record",
        b'{"pid":1,"host":"h","lease":{"boot_id":"another","beat_ns":1,"length_ns":1}}',
    ],
)
def test_who_left_no_beat_that_can_be_judged_is_not_hung(tmp_path: Path, seconds: Seconds, left: bytes) -> None:
    """An empty file, one of an older version or another boot: the lock alone counts, and while it is held its holder lives."""
    lock = WorkerLock(tmp_path, QUIET_SECONDS)
    (tmp_path / f"{lock.worker}.lock").write_bytes(left)
    seconds.now += 10 * QUIET_SECONDS
    assert look(tmp_path, lock.worker).state == "alive"
    lock.release()


def test_a_look_into_the_middle_of_a_beat_takes_nobody_for_hung(
    tmp_path: Path, seconds: Seconds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half an old beat and half a new one may read like one of long ago; a second look tells."""
    lock = WorkerLock(tmp_path, QUIET_SECONDS)
    whole = worker_lock._read(lock._file)
    torn = worker_lock._Record(1, "h", Lease(whole.lease.boot_id, 1, 1))  # type: ignore[union-attr]
    looks = iter([whole, torn, whole, torn, torn, torn])
    monkeypatch.setattr(worker_lock, "_read", lambda _: next(looks))
    assert look(tmp_path, lock.worker).state == "alive"
    assert look(tmp_path, lock.worker).state == "hung"
    assert seconds.now
    lock.release()


def test_the_wall_clock_is_never_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sets it, nobody is taken for hung or for alive by it."""

    def asked() -> float:
        raise AssertionError("the wall clock was asked")

    for name in ("time", "time_ns"):
        monkeypatch.setattr(time, name, asked)
    lock = WorkerLock(tmp_path, QUIET_SECONDS)
    lock.beat()
    assert lock.held_since(0)
    assert is_alive(tmp_path, lock.worker)
    lock.release()
    assert not is_alive(tmp_path, lock.worker)


def test_a_lock_that_can_be_seen_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever goes through the folder while a worker begins must not take its file for one of the dead and remove it."""
    take = fcntl.flock

    def watched(file: int, how: int) -> None:
        assert roll(tmp_path) == []
        take(file, how)

    monkeypatch.setattr(fcntl, "flock", watched)
    lock = WorkerLock(tmp_path)
    monkeypatch.undo()
    assert [seen.state for seen in roll(tmp_path)] == ["alive"]
    lock.release()


def test_the_roll_tells_the_dead_from_the_living_and_buries_them(tmp_path: Path, seconds: Seconds) -> None:
    """One works, one hangs, one is gone, one never came; a second roll does not know the dead any more."""
    assert roll(tmp_path / "nowhere") == []
    dead, hung = WorkerLock(tmp_path, QUIET_SECONDS), WorkerLock(tmp_path, QUIET_SECONDS)
    seconds.now += QUIET_SECONDS + 1
    alive = WorkerLock(tmp_path, QUIET_SECONDS)
    dead.forget()
    states = {alive.worker: "alive", hung.worker: "hung", dead.worker: "gone"}
    assert {seen.worker: seen.state for seen in roll(tmp_path)} == states
    assert {seen.worker: seen.state for seen in roll(tmp_path)} == {alive.worker: "alive", hung.worker: "hung"}
    for lock in (alive, hung):
        lock.release()


def test_a_forked_child_lets_go_though_the_heart_was_just_beating(tmp_path: Path) -> None:
    """The guard of the heart may be held for good there: nobody is left to give it back."""
    lock = WorkerLock(tmp_path, QUIET_SECONDS)
    with lock._guard:
        lock.forget()
    lock.beat()  # into nothing, and into no other file that got the same number
    assert not is_alive(tmp_path, lock.worker)


def test_who_cannot_leave_a_beat_any_more_may_not_act(
    tmp_path: Path, seconds: Seconds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others will take it for hung; one that never could is judged by its lock alone, and may."""
    lock = WorkerLock(tmp_path, QUIET_SECONDS)

    def broken(file: int, data: bytes, offset: int) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO), file, data, offset)

    monkeypatch.setattr(os, "pwrite", broken)
    mute = WorkerLock(tmp_path, QUIET_SECONDS)
    seconds.now += QUIET_SECONDS
    for each in (lock, mute):
        each.beat()
    assert (lock.held_since(lock.gaps), mute.held_since(0)) == (False, True)
    assert is_alive(tmp_path, mute.worker)
    for each in (lock, mute):
        each.release()
