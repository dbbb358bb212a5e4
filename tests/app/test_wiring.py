"""A store's URL means one store or is refused, and a workflow reaches what it declared and nothing else."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import durum
from durum import Io, TransportError, Workflow
from durum.app.service import store_url
from durum.app.wiring import DEFAULT_STORE, open_store, sqlite_url, transports
from durum.engine.artifacts import ArtifactReader
from durum.errors import ConfigError, ForeignStoreError, NotFoundError, StoreUnavailableError
from durum.stores.memory import MemoryStore
from durum.stores.sqlite import SqliteStore

if TYPE_CHECKING:
    from durum.core.canonical import JsonObject, JsonValue
    from durum.ports import TransportCall


def test_a_relative_and_an_absolute_path_are_told_apart_by_their_slashes() -> None:
    """Three and four; whatever else stands in the path before a question mark is part of it."""
    assert sqlite_url("sqlite:///a/b.db").path == Path("a/b.db")
    assert sqlite_url("sqlite:////a/b.db").path == Path("/a/b.db")
    assert sqlite_url("sqlite:///%41&b=c#d.db").path == Path("%41&b=c#d.db")
    assert sqlite_url(DEFAULT_STORE).path == Path(".durum/durum.db")


def test_a_link_stands_for_the_file_it_points_to(tmp_path: Path) -> None:
    """Beside which lies what else belongs to a store; a name that cannot be looked at is refused when it is opened."""
    (tmp_path / "link.db").symlink_to(tmp_path / "there" / "durum.db")
    assert sqlite_url(f"sqlite:///{tmp_path}/link.db/.").file == tmp_path / "there" / "durum.db"
    (tmp_path / "loop.db").symlink_to(tmp_path / "loop.db")
    (tmp_path / "folder").symlink_to(tmp_path / "there")
    for link in ("link.db", "folder/durum.db"):
        with pytest.raises(NotFoundError, match="is a link to nothing: bring back what it names, or remove it"):
            open_store(f"sqlite:///{tmp_path}/{link}", create=True)
    assert not (tmp_path / "there").exists()
    with pytest.raises(ForeignStoreError, match="is no file"):
        open_store(f"sqlite:///{tmp_path}/loop.db", create=True)
    with pytest.raises(StoreUnavailableError):
        open_store(f"sqlite:///{tmp_path}/{'x' * 1000}", create=True)


def test_commits_are_as_durable_as_the_url_says(tmp_path: Path) -> None:
    """FULL unless said; what SQLite was told is read back from the connection, of the reopened one too."""
    for option, synchronous in (("", 2), ("?durability=full", 2), ("?durability=normal", 1)):
        store = open_store(f"sqlite:///{tmp_path}/x.db{option}", create=True)
        assert isinstance(store, SqliteStore)
        for _ in range(2):
            with store._database as connection:
                assert connection.execute("PRAGMA synchronous").fetchone() == (synchronous,)
            store._database.let_go()
        asyncio.run(store.close())


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("", "has no option ''; the one there is is durability, as in sqlite:///PATH?durability=normal"),
        ("mode=ro", "has no option 'mode'; the one there is is durability, as in sqlite:///PATH?durability=normal"),
        ("durabilty=normal", "has no option 'durabilty'; did you mean 'durability'?"),
        ("durability", "has no durability ''; use full or normal"),
        ("durability=off", "has no durability 'off'; use full or normal"),
        ("durability=NORMAL", "has no durability 'NORMAL'; use full or normal"),
        ("durability=full&durability=normal", "has no durability 'full&durability=normal'; use full or normal"),
        ("durability=normal?", "has no durability 'normal?'; use full or normal"),
    ],
)
def test_options_of_no_store_are_refused(options: str, reason: str, tmp_path: Path) -> None:
    """With what there is; nothing is made."""
    url = f"sqlite:///{tmp_path}/x.db?{options}"
    with pytest.raises(ConfigError) as caught:
        open_store(url, create=True)
    assert str(caught.value) == f"store {url!r} {reason}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x.db",
        "sqlite://x.db",
        "sqlite:x.db",
        "sqlite:///",
        "sqlite:///a/",
        "sqlite:///:memory:",
        "sqlite:///a\0b",
        "SQLITE:///x.db",
        "postgresql://h/db",
        "memory:",
        "file:///x.db",
    ],
)
def test_urls_of_no_store_are_refused(url: str) -> None:
    """With the two forms there are; nothing is made."""
    with pytest.raises(ConfigError, match=r"is not a store this version has; use sqlite:///PATH or memory://") as caught:
        open_store(url, create=True)
    assert repr(url) in str(caught.value)


def test_a_store_is_made_only_where_it_was_asked_for(tmp_path: Path) -> None:
    """With the folders on the way; a missing one is told by its path."""
    url = f"sqlite:///{tmp_path}/a/b.db"
    with pytest.raises(NotFoundError, match=f"no store at {tmp_path}/a/b.db; start a run first"):
        open_store(url, create=False)
    assert list(tmp_path.iterdir()) == []
    store = open_store(url, create=True)
    assert isinstance(store, SqliteStore)
    asyncio.run(store.close())
    asyncio.run(open_store(url, create=False).close())


def test_memory_is_a_store_of_its_own_each_time() -> None:
    """Nothing is shared and nothing written."""
    first, second = open_store("memory://", create=False), open_store("memory://", create=True)
    assert isinstance(first, MemoryStore)
    assert first is not second


def test_the_store_is_named_by_the_call_then_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable is as good as none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DURUM_STORE", "sqlite:///from-env.db")
    assert store_url("memory://") == "memory://"
    assert store_url() == "sqlite:///from-env.db"
    with durum.open() as service:
        assert service.url == "sqlite:///from-env.db"
    assert (tmp_path / "from-env.db").is_file()
    monkeypatch.setenv("DURUM_STORE", "")
    assert store_url() == DEFAULT_STORE
    monkeypatch.delenv("DURUM_STORE")
    assert store_url() == DEFAULT_STORE


def test_a_step_that_changes_the_working_directory_does_not_move_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large values and the worker's lock stay beside the file they belong to."""
    home, away = tmp_path / "home", tmp_path / "away"
    home.mkdir()
    away.mkdir()
    monkeypatch.chdir(home)
    flow = Workflow("flow")

    @flow.step
    def large() -> str:
        os.chdir(away)
        return "x" * 3_000_000

    @flow.step
    def size(large: str) -> int:
        return len(large)

    with durum.open("sqlite:///store.db") as service:
        summary = service.start(flow)
        assert service.context(str(summary["run_id"]), "size") == 3_000_000
        assert service.verify(str(summary["run_id"])).first_bad is None
    assert list(away.iterdir()) == []


def test_a_workflow_reaches_only_the_commands_it_declared() -> None:
    """Others are refused by name, and a bare plan may run none."""

    async def call(argv: list[str], workflow: Workflow | None) -> JsonValue:
        registry = transports(workflow)
        handle = registry.handle(None, ArtifactReader(MemoryStore()))
        try:
            return await registry.get("exec").call({"argv": list(argv)}, handle)
        finally:
            await registry.close()

    flow = Workflow("flow", exec=["true"])
    found = asyncio.run(call(["true"], flow))
    assert isinstance(found, dict)
    assert found["exit_code"] == 0
    for argv, workflow in ((["false"], flow), (["true"], None)):
        with pytest.raises(TransportError) as caught:
            asyncio.run(call(argv, workflow))
        assert caught.value.transport_code == "command_not_allowed"


class Echo:
    """A transport of the author's own."""

    async def call(self, request: JsonObject, call: TransportCall) -> JsonValue:
        """Answer with the request."""
        del call
        return {"echo": request}

    async def close(self) -> None:
        """Hold nothing."""


def test_a_namespace_of_the_authors_own_is_called_and_an_unknown_one_refused() -> None:
    """Made at its first call, recorded as any other."""
    made = []

    def factory() -> Echo:
        made.append(1)
        return Echo()

    flow = Workflow("flow", transports={"echo": factory})

    @flow.step
    async def one(io: Io) -> object:
        return await io.call("echo", {"a": 1})

    with durum.open("memory://") as service:
        assert service.context(str(service.start(flow)["run_id"]), "one") == {"echo": {"a": 1}}
        assert made == [1]
        other = Workflow("other")
        other.step(one)
        error = service.start(other)["error"]
        assert isinstance(error, dict)
        assert error["code"] == "unknown_namespace"
