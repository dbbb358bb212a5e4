"""What the figures were measured on, as far as this system tells."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def machine() -> str:
    """Return date, commit, processor, disk and versions in one line."""
    return ", ".join(
        [
            f"{datetime.now(UTC):%Y-%m-%d}",
            f"commit {_commit()}",
            f"{os.cpu_count()} cores of {_processor()}",
            f"{_file_system(Path(tempfile.gettempdir()).resolve())} on {platform.system()} {platform.release()}",
            f"{platform.python_implementation()} {platform.python_version()}",
            f"SQLite {sqlite3.sqlite_version}",
        ]
    )


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _file_system(folder: Path) -> str:
    """Return the kind of file system the stores lie on; on one in memory a sync costs nothing and no figure holds."""
    try:
        mounts = [line.split(" ") for line in Path("/proc/mounts").read_text("utf-8").splitlines()]
    except OSError:
        return "an unknown file system"
    around = [(len(Path(place).parts), kind) for _, place, kind, *_ in mounts if folder.is_relative_to(place)]
    return max(around)[1]
