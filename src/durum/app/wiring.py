"""The composition root: which store a URL means, and which transports a workflow may reach."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from durum.engine.transports import TransportRegistry
from durum.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from durum.engine.engine import Store
    from durum.ports import Transport
    from durum.workflow.authoring import Workflow

DEFAULT_STORE = "sqlite:///.durum/durum.db"
_SQLITE = "sqlite:///"
_IDEMPOTENT = frozenset({"file"})  # writing the same bytes to the same path twice is the same effect


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
    return TransportRegistry(factories, _IDEMPOTENT)


def _exec(commands: tuple[str, ...]) -> Transport:
    from durum.transports.exec import ExecTransport  # noqa: PLC0415

    return ExecTransport(commands)


def _http(private_hosts: tuple[str, ...]) -> Transport:
    from durum.transports.http import HttpTransport  # noqa: PLC0415

    return HttpTransport(private_hosts)


def _file() -> Transport:
    from durum.transports.file import FileTransport  # noqa: PLC0415

    return FileTransport()
