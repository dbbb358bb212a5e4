"""Two handles write in turn on a disk that forgets; a sync behind a commit of the one fails, and the other goes on."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from durum.errors import StoreUnavailableError
from durum.stores.sqlite import SqliteStore
from durum.testing.conformance.contract import OTHER_RUN, RUN, opening
from tests.faults.driving_lossy import tell

EVENTS = 3
ALL = 10**6


async def main(path: str) -> None:
    """Append in turn, say what was acknowledged, and end at once: nobody looks what became of the sync that failed."""
    one, other = SqliteStore(Path(path)), SqliteStore(Path(path))
    first, second = opening(*[b"1"] * 4), opening(*[b"2"] * 4, run_id=OTHER_RUN)
    ahead = (await one.claim(RUN, create=True)).epoch
    epoch = (await other.claim(OTHER_RUN, create=True)).epoch
    await other.append(OTHER_RUN, 0, epoch, second[:1])
    for event in first[:3]:
        await one.append(RUN, event.seq - 1, ahead, [event], sync=False)
    await one.sync()
    os.environ |= {"LOSING_FIRST": "1", "LOSING_LAST": str(ALL)}
    await one.append(RUN, 3, ahead, first[3:], sync=False)
    del os.environ["LOSING_FIRST"], os.environ["LOSING_LAST"]
    for event in second[1:]:
        try:
            await other.append(OTHER_RUN, event.seq - 1, epoch, [event])
        except StoreUnavailableError:
            os.write(2, b"told\n")
            head = await other.head(OTHER_RUN)  # as a recorder asks, and it is made sure what it is told
            if head is None or head.seq < event.seq:
                await other.append(OTHER_RUN, event.seq - 1, epoch, [event])
        tell(OTHER_RUN, event.seq, event.hash.hex())
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
