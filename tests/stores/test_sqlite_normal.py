"""``durability=normal``: what a power cut can take along is the last commits, whole ones; a killed process loses nothing."""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from durum.core.artifact_kind import ArtifactKind
from durum.core.canonical import digest_bytes
from durum.ports import Artifact
from durum.stores.sqlite import SqliteStore
from durum.stores.sqlite_file import Durability
from durum.testing.conformance.contract import RUN, chained

if TYPE_CHECKING:
    from pathlib import Path

COMMITS = 40
CUTS = 60
PAGE = 4096
KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from tests.stores.test_sqlite_normal import write
asyncio.run(write(Path(sys.argv[1])))
os.kill(os.getpid(), signal.SIGKILL)
"""


async def write(path: Path) -> SqliteStore:
    """Make commits of two events and an artifact each."""
    store = SqliteStore(path, durability=Durability.NORMAL)
    head = await store.claim(RUN, create=True)
    last = head.hash
    for number in range(COMMITS):
        data = f"artifact {number} ".encode() * 100
        events = chained(last, number * 2 + 1, f"{number} a".encode(), f"{number} b".encode())
        artifacts = [Artifact(digest_bytes(data), ArtifactKind.OTHER, data)]
        assert await store.append(RUN, number * 2, head.epoch, events, artifacts) == number * 2 + 2
        last = events[-1].hash
    return store


def whole_commits(path: Path) -> int:
    """Return how many commits a store holds, each of them whole and none missing before it."""

    async def read() -> int:
        store = SqliteStore(path, create=False)
        bodies = [event.body.decode() for event in await store.read_range(RUN)]
        count = len(bodies) // 2
        assert bodies == [f"{number} {part}" for number in range(count) for part in "ab"]
        for number in range(COMMITS):
            identity = digest_bytes(f"artifact {number} ".encode() * 100)
            assert await store.exists(identity) == (number < count)
        await store.close()
        return count

    return asyncio.run(read())


def test_a_killed_process_loses_nothing(tmp_path: Path) -> None:
    """What it committed is the system's, synced or not."""
    path = tmp_path / "durum.db"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert whole_commits(path) == COMMITS


def test_a_power_cut_leaves_whole_commits_and_no_gap(tmp_path: Path) -> None:
    """However much of the log beside the file never came to the disk: its end, or any page of it."""
    chance = random.Random(4)
    store = asyncio.run(write(tmp_path / "durum.db"))
    log = (tmp_path / "durum.db-wal").read_bytes()
    found = set()
    for number in range(CUTS):
        crashed = tmp_path / f"{number}.db"
        shutil.copy(tmp_path / "durum.db", crashed)
        place = chance.randrange(len(log))
        lost_page = log[:place] + bytes(min(PAGE, len(log) - place)) + log[place + PAGE :]
        (tmp_path / f"{number}.db-wal").write_bytes(log[:place] if number % 2 else lost_page)
        found.add(whole_commits(crashed))
    asyncio.run(store.close())
    assert min(found) < COMMITS // 4
    assert len(found) > CUTS // 4
