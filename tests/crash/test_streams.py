"""Streams in real processes: memory stays flat, and what a kill in the middle leaves is removed by the next one."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import durum
from tests.crash.driving import PATIENCE_SECONDS, Place, ended, killed
from tests.workflows.large_files import COPIED, MIB, PIECES, interrupted

if TYPE_CHECKING:
    from collections.abc import Sequence

CODE = Path(__file__).parent.parent / "workflows" / "large_files.py"
ROOT = CODE.parent.parent.parent
GROWTH_KIB = 64 * 1024
BLOCKS = 8  # of random bytes in a sparse file


def make(path: Path, size: int) -> None:
    """Make a sparse file with some random blocks."""
    chance = random.Random(size)
    with path.open("wb") as file:
        file.truncate(size)
        for _ in range(BLOCKS):
            file.seek(chance.randrange(size - 4096))
            file.write(chance.randbytes(4096))


class Took(NamedTuple):
    """What a run in a process of its own came to."""

    status: str
    broken: str
    peak_kib: int
    run_id: str


def driven(folder: Path, name: str) -> Took:
    """Store a file by a run in a fresh process."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
    done = subprocess.run([sys.executable, str(CODE), name], cwd=folder, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    status, broken, peak, run_id = done.stdout.decode().split()
    return Took(status, broken, int(peak), run_id)


def files_of(folder: Path) -> list[str]:
    """Return the names of the artifact files of a store."""
    artifacts = folder / "durum.db.artifacts"
    return sorted(path.relative_to(artifacts).as_posix() for path in artifacts.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Took:
    """Give what a file of 1 MB takes."""
    folder = tmp_path_factory.mktemp("small")
    make(folder / "file", MIB)
    took = driven(folder, "file")
    assert (took.status, took.broken) == ("completed", "None")
    return took


@pytest.mark.slow
@pytest.mark.parametrize("size", [COPIED, 1024 * MIB])
def test_memory_stays_flat_however_large_a_file_is(tmp_path: Path, small: Took, size: int) -> None:
    """1 GB is recorded, read back and verified, the smaller one written too, in little more memory than 1 MB."""
    make(tmp_path / "file", size)
    try:
        took = driven(tmp_path, "file")
        assert (took.status, took.broken) == ("completed", "None")
        assert took.peak_kib - small.peak_kib < GROWTH_KIB
        assert [(tmp_path / "durum.db.artifacts" / name).stat().st_size for name in files_of(tmp_path)] == [size]
        if size == COPIED:
            with durum.open(f"sqlite:///{tmp_path}/durum.db") as service:
                assert service.context(took.run_id, "measured") == size
            assert flat(tmp_path, "artifact", files_of(tmp_path)[0].replace("/", ""), small=small) == size
            assert subprocess.run(["cmp", "file", "copy"], cwd=tmp_path, check=False).returncode == 0
    finally:
        for path in (*tmp_path.glob("durum.db.artifacts/*/*"), tmp_path / "file", tmp_path / "copy"):
            path.unlink(missing_ok=True)


PEAK = """
import resource, subprocess, sys
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)
size = 0
while found := child.stdout.read(65536):
    size += len(found)
assert child.wait() == 0
unit = 1 if sys.platform != "darwin" else 1024
print(size, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // unit)
"""


def flat(folder: Path, *arguments: str, small: Took) -> int:
    """Call the command line, see that it takes little memory, and return how much it wrote."""
    command = [sys.executable, "-c", PEAK, sys.executable, "-m", "durum", *arguments, "--store", "sqlite:///durum.db"]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    size, peak = map(int, done.stdout.split())
    assert peak - small.peak_kib < GROWTH_KIB
    return size


def test_a_file_over_5_gb_is_refused_at_once_and_the_run_goes_on(tmp_path: Path, small: Took) -> None:
    """Told by its length: memory is flat, nothing is left in the store, and the step's fallback is on record."""
    make(tmp_path / "file", 6_000_000_000)
    took = driven(tmp_path, "file")
    assert (took.status, took.broken) == ("completed", "None")
    assert took.peak_kib - small.peak_kib < GROWTH_KIB
    assert not (tmp_path / "durum.db.artifacts").exists()
    with durum.open(f"sqlite:///{tmp_path}/durum.db") as service:
        events: Sequence[Any] = [row["event"] for row in service.events(took.run_id)]
        assert [event["payload"] for event in events if event["kind"] == "domain"] == [{"code": "file_too_large"}]
        assert service.context(took.run_id, "measured") == 0


def test_killed_in_the_middle_of_a_stream_a_run_completes(tmp_path: Path) -> None:
    """What the dead process had written has no name and is cleaned up by the next; one artifact is left, and all is intact."""
    place = Place(tmp_path / "durum.db", tmp_path, Path(f"{CODE}:interrupted"), str(uuid.uuid4()))
    process = place.drive("start")
    until = time.monotonic() + PATIENCE_SECONDS
    while not (tmp_path / "streaming").exists() and time.monotonic() < until:
        time.sleep(0.003)
    killed(process)
    (left,) = files_of(tmp_path)
    assert left.startswith(".incoming-")
    assert (tmp_path / "durum.db.artifacts" / left).stat().st_size >= MIB
    code, said = ended(place.drive("resume"))
    assert code == 0, said
    with durum.open(place.url) as service:
        (streamed,) = [str(service.context(place.run_id, "streamed"))]
        assert files_of(tmp_path) == [f"{streamed[:2]}/{streamed[2:]}"]
        assert service.artifact(streamed) == b"".join(bytes([number]) * MIB for number in range(PIECES))
        assert service.verify(place.run_id).first_bad is None
        facts: Sequence[Any] = [row["event"] for row in service.events(place.run_id)]
        assert [event["artifact_ids"] for event in facts if event["kind"] == "fact.recorded"] == [[streamed]]
        assert service.replay(place.run_id, "reproduce", interrupted).divergence is None
