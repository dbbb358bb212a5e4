"""The composition root: which store a URL means, and which transports a workflow may reach."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from durum.engine.transports import TransportRegistry
from durum.errors import ConfigError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from durum.core.canonical import JsonObject
    from durum.engine.engine import Store
    from durum.ports import Transport
    from durum.workflow.authoring import Workflow

DEFAULT_STORE = "sqlite:///.durum/durum.db"
_SQLITE = "sqlite:///"


def store_path(url: str) -> Path:
    """Return the file a SQLite URL names: ``sqlite:///relative`` or ``sqlite:////absolute``.

    Raises:
        ConfigError: the URL names no store this version has.
    """
    path = url.removeprefix(_SQLITE)
    if path in {url, "", ":memory:"} or path.endswith("/") or "\0" in path:
        raise ConfigError(f"store {url!r} is not a store this version has; use sqlite:///PATH or memory://")
    return Path(path)


def open_store(url: str, *, create: bool) -> Store:
    """Return the store a URL names; ``create`` makes a SQLite file that is not there."""
    if url == "memory://":
        from durum.stores.memory import MemoryStore  # noqa: PLC0415 - one store is enough to load

        return MemoryStore()
    path = store_path(url)
    from durum.stores.sqlite import SqliteStore  # noqa: PLC0415

    return SqliteStore(path, create=create)


def probe_store(url: str) -> JsonObject:
    """Try a store of its own beside the one ``url`` names, remove it, and say what it is made of; the named one is not touched.

    Raises:
        ConfigError, StoreUnavailableError.
    """
    path = store_path(url)
    place = next(folder for folder in path.absolute().parents if folder.exists())
    from durum.stores.sqlite_file import SCHEMA_VERSION, open_database  # noqa: PLC0415

    try:
        with tempfile.TemporaryDirectory(prefix=".durum-doctor-", dir=place) as folder:
            connection = open_database(Path(folder) / "probe.db", create=True)
            (version,) = connection.execute("SELECT sqlite_version()").fetchone()
            connection.close()
    except OSError as error:
        raise StoreUnavailableError(str(path), f"{error.strerror or error}; choose another place with --store") from error
    return {"path": str(path), "folder": str(place), "sqlite_version": version, "schema_version": SCHEMA_VERSION}


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
