"""Where the code of a run comes from, for its manifest."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING

from durum.core.canonical import digest_bytes
from durum.core.manifest import BuildProvenance

if TYPE_CHECKING:
    from pathlib import Path

    from durum.core.plan import PlanShape

ENV_ALLOWLIST = (
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LOGNAME",
    "PATH",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
    "TZ",
    "USER",
)
"""Environment variables a process started by a step inherits."""

_LOCK_FILES = ("uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "requirements.lock", "requirements.txt")
_GIT_SECONDS = 5


def provenance(shape: PlanShape, folder: Path) -> BuildProvenance:
    """Return what is known of the code in ``folder`` and of the Python that runs it."""
    lock = _lock_file(folder)
    commit, dirty = _git(folder)
    return BuildProvenance(
        git_commit=commit,
        git_dirty=dirty,
        lock_hash=None if lock is None else digest_bytes(lock.read_bytes()),
        lock_file=None if lock is None else lock.name,
        interpreter=f"{platform.python_implementation()} {platform.python_version()}",
        platform=f"{sys.platform}-{platform.machine()}",
        durum_version=durum_version(),
        env_allowlist=ENV_ALLOWLIST,
        step_digests={node.id: node.digest for node in shape.nodes if node.digest is not None},
    )


@cache
def durum_version() -> str:
    """Return the installed version."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - costs 10 ms at import

    try:
        return version("durum")
    except PackageNotFoundError:
        return "unknown"


def _lock_file(folder: Path) -> Path | None:
    for place in (folder, *folder.parents):
        for name in _LOCK_FILES:
            if (place / name).is_file():
                return place / name
        if (place / ".git").exists():
            return None
    return None


def _git(folder: Path) -> tuple[str | None, bool | None]:
    """Return (commit, whether tracked files differ from it); (None, None) where there is no repository or no git."""
    if shutil.which("git") is None or not any((place / ".git").exists() for place in (folder, *folder.parents)):
        return None, None
    status = _git_says(folder, "status", "--porcelain=v2", "--branch", "--untracked-files=no")
    if status is None:
        return None, None
    commit = None
    dirty = False
    for line in status.splitlines():
        if line.startswith("# branch.oid "):
            commit = line.removeprefix("# branch.oid ")
        elif not line.startswith("#"):
            dirty = True
    return (None, None) if commit in {None, "(initial)"} else (commit, dirty)


def _git_says(folder: Path, *arguments: str) -> str | None:
    command = ["git", "-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            check=True,
            timeout=_GIT_SECONDS,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
