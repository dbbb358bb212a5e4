"""The composition root: which store a URL means, and which transports a workflow may reach."""

from __future__ import annotations

import contextlib
import os
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from durum.engine.transports import TransportRegistry
from durum.errors import ConfigError, StoreUnavailableError
from durum.workflow.options import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

    from durum.core.canonical import JsonObject
    from durum.engine.engine import Store
    from durum.ports import Transport
    from durum.stores.sqlite_file import Durability
    from durum.stores.worker_lock import Sighting
    from durum.workflow.authoring import Workflow

DEFAULT_STORE = "sqlite:///.durum/durum.db"
_SQLITE = "sqlite:///"
_OPTION = "durability"
LEASE_VARIABLE = "DURUM_LEASE_SECONDS"
_SHORTEST_LEASE_SECONDS, _LONGEST_LEASE_SECONDS = 1, 3600


class SqliteUrl(NamedTuple):
    """What a SQLite URL says: ``sqlite:///relative`` or ``sqlite:////absolute``, with ``?durability=normal`` if so wanted."""

    path: Path
    durability: Durability

    @property
    def file(self) -> Path:
        """The file itself, through a link if the path names one: what else belongs to a store lies beside it."""
        path = self.path
        return Path(os.path.realpath(path) if os.path.islink(path) else path)  # noqa: PTH114 - false for what cannot be looked at


def sqlite_url(url: str) -> SqliteUrl:
    """Return what a SQLite URL says.

    Raises:
        ConfigError: the URL names no store this version has, or an option or a value that none has.
    """
    from durum.stores.sqlite_file import Durability  # noqa: PLC0415 - one store is enough to load

    path, mark, options = url.removeprefix(_SQLITE).partition("?")
    if not url.startswith(_SQLITE) or path in {"", ":memory:"} or path.endswith("/") or "\0" in path:
        raise ConfigError(f"store {url!r} is not a store this version has; use sqlite:///PATH or memory://")
    if not mark:
        return SqliteUrl(Path(path), Durability.FULL)
    name, _, value = options.partition("=")
    if name != _OPTION:
        hint = did_you_mean(name, [_OPTION], f"; the one there is is {_OPTION}, as in sqlite:///PATH?{_OPTION}=normal")
        raise ConfigError(f"store {url!r} has no option {name!r}{hint}")
    if value not in {*Durability}:
        raise ConfigError(f"store {url!r} has no durability {value!r}; use {' or '.join(Durability)}")
    return SqliteUrl(Path(path), Durability(value))


def open_store(url: str, *, create: bool) -> Store:
    """Return the store a URL names; ``create`` makes a SQLite file that is not there."""
    if url == "memory://":
        from durum.stores.memory import MemoryStore  # noqa: PLC0415 - one store is enough to load

        return MemoryStore()
    path, durability = sqlite_url(url)
    from durum.stores.sqlite import SqliteStore  # noqa: PLC0415

    return SqliteStore(path, create=create, durability=durability, lease_seconds=lease_seconds())


def probe_store(url: str) -> JsonObject:
    """Try a store of its own beside the one ``url`` names, remove it, and say what it is made of; the named one is not touched.

    Raises:
        ConfigError, NotFoundError, StoreUnavailableError.
    """
    from durum.stores.outage import unavailable  # noqa: PLC0415
    from durum.stores.sqlite_file import SCHEMA_VERSION, open_database, refuse_a_link_to_nothing  # noqa: PLC0415

    named = sqlite_url(url)
    path, durability = named.file, named.durability
    refuse_a_link_to_nothing(named.path)
    place = next(folder for folder in path.absolute().parents if folder.exists())

    try:
        with tempfile.TemporaryDirectory(prefix=".durum-doctor-", dir=place) as folder:
            connection = open_database(Path(folder) / "probe.db", create=True)
            (version,) = connection.execute("SELECT sqlite_version()").fetchone()
            connection.close()
    except StoreUnavailableError as error:
        raise StoreUnavailableError(str(place), error.reason) from error  # what was tried is gone
    except OSError as error:
        raise unavailable(place, error, opening=True) from error
    return {
        "path": str(path),
        "folder": str(place),
        "durability": durability,
        "sqlite_version": version,
        "schema_version": SCHEMA_VERSION,
    }


def probe_writing(url: str) -> None:
    """See that the store could be written now; nothing is.

    Raises:
        StoreUnavailableError: it could not, such as while another process keeps it locked.
    """
    from durum.stores.sqlite_file import probe_writing as probe  # noqa: PLC0415

    probe(sqlite_url(url).file)


def workers(path: Path) -> list[Sighting]:
    """Return the processes that drive runs of a SQLite store; what the dead left behind is removed."""
    from durum.stores.worker_lock import roll  # noqa: PLC0415

    return roll(path.with_name(path.name + ".workers"))


def lease_seconds() -> float:
    """Return how long a process that shows no sign of life keeps its runs.

    Raises:
        ConfigError: the environment holds no such time.
    """
    from durum.stores.worker_lock import LEASE_SECONDS  # noqa: PLC0415

    text = os.environ.get(LEASE_VARIABLE, "")
    if not text:
        return LEASE_SECONDS
    with contextlib.suppress(ValueError):
        seconds = float(text)
        if _SHORTEST_LEASE_SECONDS <= seconds <= _LONGEST_LEASE_SECONDS:
            return seconds
    raise ConfigError(
        f"{LEASE_VARIABLE}={text!r} is no number of seconds from {_SHORTEST_LEASE_SECONDS} to {_LONGEST_LEASE_SECONDS}; "
        "unset or correct it"
    )


def transports(workflow: Workflow | None) -> TransportRegistry:
    """Return the transports of a workflow; each is made, and its library loaded, at its first live call."""
    commands = () if workflow is None else workflow.commands
    hosts = () if workflow is None else workflow.private_hosts
    factories: dict[str, Callable[[], Transport]] = {
        "exec": partial(_exec, commands),
        "http": partial(_http, hosts),
        "file": _file,
    }
    if workflow is not None:
        factories |= workflow.transports
    return TransportRegistry(factories)


def _exec(commands: tuple[str, ...]) -> Transport:
    from durum.transports.exec import ExecTransport  # noqa: PLC0415

    return ExecTransport(commands)


def _http(private_hosts: tuple[str, ...]) -> Transport:
    from durum.transports.http import HttpTransport  # noqa: PLC0415

    return HttpTransport(private_hosts)


def _file() -> Transport:
    from durum.transports.file import FileTransport  # noqa: PLC0415

    return FileTransport()
