"""The boundaries a process can be killed at: counted as they are crossed, before and after, and named.

A boundary is a call that makes something durable or lets the outside see something. Durum's own code knows nothing of this:
the ports are wrapped, and what they come to in files and in SQLite is watched where Python hands it to the system.
"""

from __future__ import annotations

import inspect
import os
import signal
import sqlite3
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from durum.ports import ArtifactStore, EventStore
from durum.testing.crash.task import Crossing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path
    from types import FrameType
    from typing import Literal

    from durum.engine.engine import Store
    from durum.ports import StoredEvent
    from durum.testing.crash.task import Kill

_READING = frozenset(
    {
        "addressed",
        "check_lease",
        "chunks",
        "close",
        "due",
        "exists",
        "get",
        "get_many",
        "head",
        "heads",
        "inbox",
        "is_alive",
        "read_range",
        "worker",
    }
)
WRITING = frozenset(name for port in (EventStore, ArtifactStore) for name in vars(port) if name[0] != "_") - _READING
"""Every method of the store's ports that is not known to read only: a new one is a boundary until somebody says otherwise."""

FILE_CALLS = ("fsync", "link", "mkdir", "rename", "replace", "rmdir", "unlink")
"""Functions of ``os`` after which something is durable, or gone, that was not before."""

_STANDARD = frozenset({"contextlib", "os", "pathlib", "shutil", "sqlite3", "tempfile"})
_MOST_NAMED = 2


class Boundaries:
    """Counts the crossings of this process and kills it when it is due.

    While an effect is under way nobody could tell afterwards what became of it; so unless ``inside`` is set, a kill that is due
    waits for its end, and comes before the log hears of it.
    """

    def __init__(self, file: Path, kill: Kill | None, *, inside: bool = False) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._at = None if kill is None else kill.crossing
        self._inside = inside
        self._count = 0
        self._under_way = 0
        self._due = False
        self._lock = threading.RLock()
        if kill is not None and kill.seconds is not None:
            timer = threading.Timer(kill.seconds, self._time_is_up)
            timer.daemon = True
            timer.start()

    def cross(self, name: str, when: Literal["before", "after"], site: str = "") -> None:
        """Count a crossing; do not return from one at which the process shall die."""
        with self._lock:
            self._count += 1
            crossing = Crossing(name, when, site, held=self._held)
            os.write(self._file, msgspec.json.encode(crossing) + b"\n")
            self._due = self._due or self._count == self._at
            self._die_if_due()

    def begin_effect(self) -> None:
        """From now on nobody knows what is becoming of an effect."""
        with self._lock:
            self._under_way += 1

    def end_effect(self) -> None:
        """It is in the journal what became of it."""
        with self._lock:
            self._under_way -= 1

    def _time_is_up(self) -> None:
        with self._lock:
            self._due = True
            self._die_if_due()

    @property
    def _held(self) -> bool:
        return self._under_way > 0 and not self._inside

    def _die_if_due(self) -> None:
        if self._due and not self._held:
            os.killpg(os.getpgid(0), signal.SIGKILL)


def call_site() -> str:
    """Return module and line of the innermost call in Durum's source; nothing if other code comes first, such as a step."""
    frame: FrameType | None = inspect.currentframe()
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if not (module.partition(".")[0] in _STANDARD or module.startswith(__package__ or __name__)):
            return f"{module}:{frame.f_lineno}" if module.startswith("durum.") else ""
        frame = frame.f_back
    return ""


class WatchedStore:
    """Implements ``EventStore`` and ``ArtifactStore`` by another store; ``tell`` hears of every append that was stored."""

    def __init__(self, store: Store, boundaries: Boundaries, tell: Callable[[str, list[StoredEvent]], None]) -> None:
        self._store = store
        self._boundaries = boundaries
        self._tell = tell

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the other store has
        found = getattr(self._store, name)
        return partial(self._watched, name, found) if name in WRITING else found

    def _watched(self, name: str, method: Callable[..., Awaitable[Any]], *given: Any, **named: Any) -> Awaitable[Any]:  # noqa: ANN401
        arguments = inspect.signature(method).bind(*given, **named).arguments
        return self._cross(name, arguments, method(*given, **named), call_site())

    async def _cross(self, name: str, arguments: Mapping[str, Any], work: Awaitable[Any], site: str) -> object:
        said = _said(name, arguments)
        self._boundaries.cross(said, "before", site)
        result = await work
        if name == "append":
            self._tell(arguments["run_id"], list(arguments["events"]))
        self._boundaries.cross(said, "after", site)
        return result


class _Told(msgspec.Struct, frozen=True):
    """What a boundary's name says of an event."""

    kind: str
    state_id: str | None = None


def _said(name: str, arguments: Mapping[str, Any]) -> str:
    """Return what a call of a store is called: ``append 12 (state.completed build.main)``."""
    match name, arguments:
        case "append", {"events": [first, *_, last] | [first as last]}:
            seqs = str(first.seq) if first is last else f"{first.seq} to {last.seq}"
            told = [msgspec.json.decode(event.body, type=_Told) for event in arguments["events"]]
            texts = [f"{event.kind} {(event.state_id or '').partition('.')[2]}".rstrip() for event in told]
            more = f" and {len(texts) - _MOST_NAMED} more" if len(texts) > _MOST_NAMED else ""
            return f"append {seqs} ({', '.join(texts[:_MOST_NAMED])}{more})"
        case "send", {"message": message}:
            return f"send ({message.kind})"
    return name


def watch_system(boundaries: Boundaries) -> None:
    """Count what Durum's code in this process does to files and to SQLite, from here on; other code's calls do not count."""
    for name in FILE_CALLS:
        setattr(os, name, _counted(getattr(os, name), name, boundaries))

    class Watched(sqlite3.Connection):
        """A connection whose commits are boundaries."""

        def execute(self, sql: str, *given: Any) -> sqlite3.Cursor:  # noqa: ANN401 - sqlite3's own
            if not sql.startswith("COMMIT"):
                return super().execute(sql, *given)
            return _counted(super().execute, "commit", boundaries)(sql, *given)  # type: ignore[no-any-return]

        def executescript(self, sql: str) -> sqlite3.Cursor:
            return _counted(super().executescript, "commit of the schema", boundaries)(sql)  # type: ignore[no-any-return]

    plain = sqlite3.connect

    def connect(*given: Any, **named: Any) -> sqlite3.Connection:  # noqa: ANN401 - sqlite3's own
        return plain(*given, **{"factory": Watched, **named})  # type: ignore[no-any-return]

    vars(sqlite3)["connect"] = connect


def _counted(call: Callable[..., Any], name: str, boundaries: Boundaries) -> Callable[..., Any]:
    def counted(*given: Any, **named: Any) -> object:  # noqa: ANN401 - any function of the system
        site = call_site()
        if not site:
            return call(*given, **named)
        boundaries.cross(name, "before", site)
        try:
            return call(*given, **named)
        finally:  # a file that was gone already is gone as well
            boundaries.cross(name, "after", site)

    return counted
