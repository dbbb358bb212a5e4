"""Where the code of a run comes from, for its manifest."""

from __future__ import annotations

import inspect
import os
import platform
import shutil
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from durum.core.canonical import digest_bytes
from durum.core.manifest import BuildProvenance
from durum.workflow.code_digest import unwrapped

if TYPE_CHECKING:
    from durum.core.plan import ExecutionPlan, PlanShape

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
_BUILD_SECONDS = 5.0
_BUILDS_KEPT = 32
_builds: dict[tuple[Path, str], tuple[float, BuildProvenance]] = {}  # folder and plan -> when it was asked about, and found


def build_of(plan: ExecutionPlan) -> BuildProvenance:
    """Return where a plan's code comes from; for many runs started together the repository is asked once."""
    now, key = time.monotonic(), (code_folder(plan), digest_bytes(plan.shape.stored))
    asked_at, build = _builds.get(key, (-_BUILD_SECONDS, None))
    if build is None or now - asked_at >= _BUILD_SECONDS:
        build = provenance(plan.shape, key[0])
        if len(_builds) >= _BUILDS_KEPT:
            _builds.clear()
        _builds[key] = now, build
    return build


def provenance(shape: PlanShape, folder: Path) -> BuildProvenance:
    """Return what is known of the code in ``folder`` and of the Python that runs it."""
    lock_file, lock_hash = _lock(folder)
    commit, dirty = _git(folder)
    return BuildProvenance(
        git_commit=commit,
        git_dirty=dirty,
        lock_hash=lock_hash,
        lock_file=lock_file,
        interpreter=f"{platform.python_implementation()} {platform.python_version()}",
        platform=f"{sys.platform}-{platform.machine()}",
        durum_version=durum_version(),
        env_allowlist=ENV_ALLOWLIST,
        step_digests={node.id: node.digest for node in shape.nodes if node.digest is not None},
    )


def code_folder(plan: ExecutionPlan) -> Path:
    """Return the folder of the file a plan's first step is written in; the working directory where there is no such file."""
    for node in plan.states:
        function = unwrapped(getattr(node.state, "function", None))[1]
        try:
            file = Path(inspect.getfile(type(node.state) if function is None else function))
        except (OSError, TypeError):
            continue
        if file.is_file():
            return file.absolute().parent
    return Path.cwd()


@cache
def durum_version() -> str:
    """Return the installed version."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - costs 10 ms at import

    try:
        return version("durum")
    except PackageNotFoundError:
        return "unknown"


def _lock(folder: Path) -> tuple[str | None, str | None]:
    """Return name and hash of the nearest lock file upwards, as far as the repository goes."""
    for place in (folder, *folder.parents):
        for name in _LOCK_FILES:
            try:
                return name, digest_bytes((place / name).read_bytes())
            except OSError:  # not there, or not for us to read
                continue
        if (place / ".git").exists():
            break
    return None, None


def _git(folder: Path) -> tuple[str | None, bool | None]:
    """Return (commit, whether tracked files differ from it); None for what is not known."""
    if shutil.which("git") is None or not any((place / ".git").exists() for place in (folder, *folder.parents)):
        return None, None
    status = _git_says(folder, "status", "--porcelain=v2", "--branch", "--untracked-files=no")
    if status is None:  # git asks who owns it, for a status can start programs its settings name; reading the commit cannot
        commit = _git_says(folder, "-c", "safe.directory=*", "rev-parse", "--verify", "--quiet", "HEAD")
        return (None if commit is None else commit.strip()), None
    commit = None
    dirty = False
    for line in status.splitlines():
        if line.startswith("# branch.oid "):
            commit = line.removeprefix("# branch.oid ")
        elif not line.startswith("#"):
            dirty = True
    return (None, None) if commit in {None, "(initial)"} else (commit, dirty)


def _git_says(folder: Path, *arguments: str) -> str | None:
    settings = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}  # a hook's speak of its own
    command = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            check=True,
            env=settings | {"LC_ALL": "C"},
            timeout=_GIT_SECONDS,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
