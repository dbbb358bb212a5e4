"""``durum doctor``: whether this machine and this store are fit to work with."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from durum.cli.next_steps import resume_command
from durum.cli.verb import ExitCode, Session, verb
from durum.cli.words import count, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from durum.core.canonical import JsonObject
    from durum.stores.worker_lock import Sighting

_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "fuse.sshfs", "fuse.s3fs"})
_MIB, _LITTLE_MIB = 1024 * 1024, 64
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
    from durum.app.wiring import probe_store, sqlite_url
    from durum.errors import DurumError, StoreUnavailableError

    url = store_url(session.store)
    try:
        probe = probe_store(url)
    except StoreUnavailableError as error:
        yield Check("store place", "problem", str(error))
        path = sqlite_url(url).file  # what can be read of it is worth knowing all the same
        if path.exists():
            yield from _contents(session, path)
        return
    except DurumError as error:
        yield Check("store place", "problem", str(error))
        return
    yield Check("sqlite", "ok", f"{probe['sqlite_version']}, schema {probe['schema_version']}")
    path, folder = Path(str(probe["path"])), Path(str(probe["folder"]))
    yield _durability(str(probe["durability"]))
    yield Check("store place", "ok", f"{folder} can be written")
    yield _space(folder)
    yield from _file_system(folder)
    if path.exists():
        yield from _contents(session, path)
        yield _writing(url)
    else:
        yield Check("store", "ok", f"{path} is not there yet; the first run makes it")


def _space(folder: Path) -> Check:
    """Tell how much room is left; a store that runs out of it parks its runs."""
    free = shutil.disk_usage(folder).free / _MIB
    if free < _LITTLE_MIB:
        return Check("space", "warning", f"only {free:,.1f} MiB are free on the disk of {folder}; free some, or runs will park")
    return Check("space", "ok", f"{free:,.0f} MiB are free")


def _writing(url: str) -> Check:
    from durum.app.wiring import probe_writing
    from durum.errors import DurumError

    try:
        probe_writing(url)
    except DurumError as error:
        return Check("writing", "problem", str(error))
    return Check("writing", "ok", "a run could be driven now")


def _durability(asked: str) -> Check:
    if asked == "full":
        return Check("durability", "ok", "full: every commit is on the disk before it counts")
    lost = "a crash of the system or a power cut can lose the last commits, and what is known of calls made just before"
    return Check("durability", "warning", f"{asked}: {lost}; the death of the process loses nothing")


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


def _quarantined(session: Session, runs: list[JsonObject]) -> Iterator[Check]:
    for run in runs:
        if run["status"] == "quarantined":
            again = resume_command(session, str(run["run_id"]), None)
            yield Check("quarantine", "warning", f"run {run['run_id']} is {run['paused']}; once that is mended: {again}")


def _workers(seen: list[Sighting]) -> Iterator[Check]:
    """Tell which processes drive runs of the store, or did when they died."""
    alive = [worker.name for worker in seen if worker.state == "alive"]
    yield Check("workers", "ok", f"{count(len(alive), 'worker')} at work" + (f": {', '.join(alive)}" if alive else ""))
    for worker in seen:
        if worker.state == "hung":
            silent = "" if worker.silent_seconds is None else f" for {worker.silent_seconds:.0f} s"
            yield Check("workers", "warning", f"{worker.name} shows no sign of life{silent}; its runs go to others, end it")
    if gone := sum(worker.state == "gone" for worker in seen):
        yield Check("workers", "ok", f"removed what {count(gone, 'worker')} left behind as it died")


def _contents(session: Session, path: Path) -> Iterator[Check]:
    from durum.app.wiring import workers
    from durum.errors import DurumError

    seen = workers(path)  # whoever looks for a run's owner removes what it left behind
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
    yield from _quarantined(session, runs)
    yield from _workers(seen)
    artifacts = path.with_name(path.name + ".artifacts")
    if not artifacts.exists():
        yield Check("artifacts", "ok", "no payload over 64 KiB yet")
    elif os.access(artifacts, os.R_OK | os.W_OK | os.X_OK):
        yield Check("artifacts", "ok", str(artifacts))
    else:
        yield Check("artifacts", "problem", f"{artifacts} cannot be read and written; correct its permissions")
