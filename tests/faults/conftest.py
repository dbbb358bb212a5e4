"""A small disk, and what the run comes to on one that is large enough."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.machine import DISK_BYTES, OK, Machine, system

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of 2 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    if not system("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place)):
        pytest.skip("a small file system can be mounted by root only")
    try:
        yield place
    finally:
        system("umount", "-l", str(place))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[tuple[int, int]], tuple[Any, ...]]:
    """Give what a run of a certain weight comes to when nothing is the matter."""
    known: dict[tuple[int, int], tuple[Any, ...]] = {}

    def come(weight: tuple[int, int]) -> tuple[Any, ...]:
        if weight not in known:
            folder = tmp_path_factory.mktemp("undisturbed")
            machine = Machine(folder, folder, weight)
            assert machine(*machine.run_arguments()).code == OK
            known[weight] = machine.came()
        return known[weight]

    return come


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the library that makes a disk forget."""
    compiler = shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("a disk that forgets is made by gcc, on Linux")
    source, made = Path(__file__).with_name("losing_disk.c"), tmp_path_factory.mktemp("losing") / "losing.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(made), str(source), "-ldl", "-lpthread"], check=True)
    return made
