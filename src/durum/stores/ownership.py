"""Who owns which run of one SQLite file: this handle as a worker, and what the rows say of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durum.codec import genesis_hash
from durum.errors import ConcurrencyError, NotFoundError, RunExistsError, RunOwnedError, StoreUnavailableError
from durum.ports import DueRun, Head
from durum.stores.outage import handle_closed, unavailable
from durum.stores.statements import statements
from durum.stores.worker_lock import WorkerLock, describe, is_alive

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

_SQL = statements()


class Ownership:
    """The ownership half of a store; whoever calls holds the store's mutex, and gives the connection of a transaction."""

    def __init__(self, folder: Path, lease_seconds: float) -> None:
        self._folder = folder
        self._lease_seconds = lease_seconds
        self._lock: WorkerLock | None = None
        self._closed = False
        self._unheld: dict[str, int] = {}  # run id -> epoch that may stand under our name though nobody drives the run in it
        self.held: dict[str, tuple[int, int]] = {}  # run driven here -> epoch it is ours in, the lock's gaps when that was seen

    @property
    def lock(self) -> WorkerLock:
        """This worker's lock, taken when first needed."""
        if self._closed:
            raise handle_closed(str(self._folder))
        if self._lock is None:
            try:
                self._lock = WorkerLock(self._folder, self._lease_seconds)
            except OSError as error:
                raise unavailable(self._folder, error) from error
        return self._lock

    def forget(self) -> None:
        """Begin anew in a forked child: what this worker holds is its parent's."""
        if self._lock is not None:
            self._lock.forget()
        self._lock, self._unheld, self.held = None, {}, {}

    def close(self) -> None:
        """Give the lock up, for good."""
        self._closed = True
        if self._lock is not None:
            self._lock.release()
        self._lock, self._unheld, self.held = None, {}, {}

    def is_alive(self, worker: str) -> bool:
        """Tell whether a worker lives and is not to be taken for hung; whoever can ask is neither."""
        return (self._lock is not None and worker == self._lock.worker) or is_alive(self._folder, worker)

    def take(self, connection: sqlite3.Connection, run_id: str, now_ms: int, *, create: bool) -> Head:
        """Become the owner of a run; ``settled`` is to be called once that is durable."""
        worker = self.lock.worker
        row = connection.execute(_SQL["find_run"], (run_id,)).fetchone()
        if row is None:
            if not create:
                raise NotFoundError("run", run_id)
            genesis = genesis_hash(run_id)
            connection.execute(_SQL["add_run"], (run_id, now_ms, genesis, worker))
            head = Head(run_id, 0, genesis, 1, worker, now_ms)
        else:
            run_no, seq, head_hash, epoch, owner, created_ms, strikes = row
            if create and seq:
                raise RunExistsError(run_id)
            if owner is not None and self._is_held(run_id, owner, epoch):
                raise RunOwnedError(run_id, describe(self._folder, owner))
            strikes = 0 if owner in {None, worker} else strikes + 1
            connection.execute(_SQL["take_run"], (worker, strikes, run_no))
            head = Head(run_id, seq, head_hash, epoch + 1, worker, created_ms, strikes)
        self._unheld[run_id] = head.epoch  # should the commit be acknowledged to nobody
        self.held[run_id] = (head.epoch, self.lock.gaps)
        return head

    def settled(self, run_id: str, epoch: int) -> None:
        """Know that a claim or a release is durable."""
        if self._unheld.get(run_id) == epoch:
            del self._unheld[run_id]

    def _is_held(self, run_id: str, owner: str, epoch: int) -> bool:
        """Tell whether the owner a row names may be driving the run."""
        if self._lock is not None and owner == self._lock.worker:
            return self._unheld.get(run_id) != epoch
        return is_alive(self._folder, owner)

    def let_go(self, run_id: str, epoch: int) -> None:
        """Drive a run no more; that counts here at once, and elsewhere once ``release`` is durable and ``settled`` called."""
        self._unheld[run_id] = epoch
        self.held.pop(run_id, None)

    def release(self, connection: sqlite3.Connection, run_id: str, epoch: int, wake_ms: int | None) -> None:
        """Give a run up if this worker still owns it in ``epoch``."""
        connection.execute(_SQL["release_run"], (wake_ms, run_id, self.lock.worker, epoch))

    def is_certain(self, run_id: str, epoch: int) -> bool:
        """Tell whether nobody can have taken a run of ours over, nor can for a while, without a look at the store."""
        owned_in, gaps = self.held.get(run_id, (None, 0))
        return owned_in == epoch and self._lock is not None and self._lock.held_since(gaps)

    def renew(self, connection: sqlite3.Connection, run_id: str, epoch: int) -> None:
        """Make sure of it by the store: who takes a run over needs the lock this transaction holds, and looks for a beat."""
        self.lock.beat()
        row = connection.execute(_SQL["find_run"], (run_id,)).fetchone()
        if row is None:
            raise NotFoundError("run", run_id)
        if (row[3], row[4]) != (epoch, self.lock.worker):
            raise ConcurrencyError(run_id, row[1], row[1], epoch, row[3])
        if not self.lock.held_since(self.lock.gaps):
            raise StoreUnavailableError(str(self._folder), "no sign of life can be left there; look at it with: durum doctor")
        self.held[run_id] = (epoch, self.lock.gaps)

    def due(self, connection: sqlite3.Connection, now_ms: int) -> list[DueRun]:
        """Return the runs that want to be driven and that nobody drives."""
        rows = connection.execute(_SQL["due_runs"], (now_ms, now_ms)).fetchall()
        living = {owner for owner in {row[1] for row in rows} if owner is not None and self.is_alive(owner)}
        return [
            DueRun(run_id, owner is not None, wake_ms, strikes, epoch)
            for run_id, owner, epoch, wake_ms, strikes in rows
            if owner not in living or not self._is_held(run_id, owner, epoch)
        ]
