"""A log is moved into the file while somebody reads, on a disk that forgets; later a sync of the file fails, once.

Whoever was told goes on itself, or another who came after that, whom the system tells nothing.
"""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
import sys
from pathlib import Path

from durum.errors import StoreUnavailableError
from durum.stores import database
from durum.stores.sqlite import SqliteStore
from durum.stores.sqlite_file import is_log_long, write_all_anew
from durum.testing.conformance.contract import RUN, named, opening
from tests.faults.driving_lossy import tell

EVENTS = 300
_FEW = 30
_BYTES = 60_000  # beside each event, so that the log is soon long


class Writer:
    """Appends one event after the other and says what was acknowledged."""

    def __init__(self, store: SqliteStore, epoch: int) -> None:
        self._store, self._epoch = store, epoch
        self.left = opening(*[b"1"] * EVENTS)

    async def append(self) -> None:
        """Append the next one; once more if the store says that it is away."""
        event = self.left.pop(0)
        artifact = named(event.seq.to_bytes(4, "big") * (_BYTES // 4))
        try:
            await self._store.append(RUN, event.seq - 1, self._epoch, [event], [artifact])
        except StoreUnavailableError:
            os.write(2, b"told\n")
            del os.environ["LOSING_FIRST"]
            if sys.argv[2] == "another":
                self._store = SqliteStore(Path(sys.argv[1]))
            await self._store.append(RUN, event.seq - 1, self._epoch, [event], [artifact])
        tell(RUN, event.seq, event.hash.hex())


def failed(connection: sqlite3.Connection, path: Path) -> None:
    """Stand for a disk that does not recover at once."""
    vars(database)["write_all_anew"] = write_all_anew
    del connection, path
    raise OSError(errno.EIO, os.strerror(errno.EIO))


async def main(path: Path) -> None:
    """Write until the log was begun anew a few times, and end at once."""
    if sys.argv[3] == "later":
        vars(database)["write_all_anew"] = failed
    store = SqliteStore(path)
    writer = Writer(store, (await store.claim(RUN, create=True)).epoch)
    for _ in range(_FEW):
        await writer.append()
    reader = sqlite3.connect(path, isolation_level=None)  # not closed: who opens the file next would get its descriptor
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM events").fetchone()
    while not is_log_long(path):
        await writer.append()
    await writer.append()  # the few are moved, and not synced, for the reader needs the others
    reader.execute("COMMIT")
    os.environ |= {"LOSING_ONLY": path.name, "LOSING_FIRST": "1", "LOSING_LAST": str(10**6)}
    while writer.left:
        await writer.append()
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
