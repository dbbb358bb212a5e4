"""``durum doctor``: whether this machine and this store are fit to work with."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from durum.cli.verb import ExitCode, Session, verb
from durum.cli.words import count, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from durum.core.canonical import JsonObject

_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "fuse.sshfs", "fuse.s3fs"})
_MOUNTS = Path("/proc/mounts")  # absent on macOS: then the file system stays unknown


class Check(NamedTuple):
    """One thing looked at; ``result`` is ok, warning or problem."""

    name: str
    result: str
    detail: str


@verb
def doctor(session: Session) -> int:
    """Check this machine and the store; exit 4 if there is a problem."""
    checks = [*_machine(), *_store(session)]
    healthy = all(check.result != "problem" for check in checks)
    if session.json:
        rows: list[JsonObject] = [check._asdict() for check in checks]
        session.print_json({"result": "healthy" if healthy else "problems", "checks": [*rows]})
    else:
        _print(session, checks)
    return ExitCode.OK if healthy else ExitCode.FOUND


def _print(session: Session, checks: list[Check]) -> None:
    from rich.text import Text

    from durum.cli.render import MARKS, STYLES, rendered

    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        mark, style = MARKS[check.result], STYLES[check.result]
        detail = (one_line(check.detail), "" if check.result == "ok" else style)
        lines.append(Text.assemble((mark, style), f" {check.name.ljust(width)}  ", detail))
    session.streams.data(rendered(session.streams, *lines))


def _machine() -> Iterator[Check]:
    from durum.app.provenance import durum_version

    yield Check("durum", "ok", durum_version())
    yield Check("python", "ok", f"{platform.python_implementation()} {platform.python_version()}")
    if shutil.which("git") is None:
        yield Check("git", "warning", "not on PATH: manifests will not say which commit a run came from")
    else:
        yield Check("git", "ok", "present")


def _store(session: Session) -> Iterator[Check]:
    """Check where the store is or would be, then the store itself."""
    from durum.app.service import store_url
    from durum.app.wiring import probe_store
    from durum.errors import DurumError

    url = store_url(session.store)
    try:
        probe = probe_store(url)
    except DurumError as error:
        yield Check("store place", "problem", str(error))
        return
    yield Check("sqlite", "ok", f"{probe['sqlite_version']}, schema {probe['schema_version']}")
    path = Path(str(probe["path"]))
    yield Check("store place", "ok", f"{probe['folder']} can be written")
    yield from _file_system(Path(str(probe["folder"])))
    if path.exists():
        yield from _contents(session, path)
    else:
        yield Check("store", "ok", f"{path} is not there yet; the first run makes it")


def _file_system(folder: Path) -> Iterator[Check]:
    kind = _file_system_of(folder.resolve())
    if kind in _NETWORK:
        yield Check(
            "file system", "warning", f"{kind} is a network file system; SQLite needs a local one, choose another with --store"
        )
    elif kind:
        yield Check("file system", "ok", kind)


def _file_system_of(folder: Path) -> str:
    """Return the type of the mount a folder lies in, empty if this system does not tell."""
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    mounts = [(Path(place.replace("\\040", " ")), kind) for _, place, kind, *_ in (line.split(" ") for line in lines)]
    around = [(len(place.parts), number, kind) for number, (place, kind) in enumerate(mounts) if folder.is_relative_to(place)]
    return max(around)[2] if around else ""  # of two mounts on one place the later one counts


def _contents(session: Session, path: Path) -> Iterator[Check]:
    from durum.errors import DurumError

    try:
        with session.open() as service:
            runs = service.runs()
    except DurumError as error:
        yield Check("store", "problem", str(error))
        return
    damaged = [str(run["run_id"]) for run in runs if run["status"] == "damaged"]
    if damaged:
        yield Check(
            "runs",
            "problem",
            f"{len(damaged)} of {count(len(runs), 'run')} cannot be read: {', '.join(damaged)}; see: durum verify RUN",
        )
    else:
        yield Check("store", "ok", f"{path} holds {count(len(runs), 'run')}")
    artifacts = path.with_name(path.name + ".artifacts")
    if not artifacts.exists():
        yield Check("artifacts", "ok", "no payload over 64 KiB yet")
    elif os.access(artifacts, os.R_OK | os.W_OK | os.X_OK):
        yield Check("artifacts", "ok", str(artifacts))
    else:
        yield Check("artifacts", "problem", f"{artifacts} cannot be read and written; correct its permissions")
