"""Files through the store in real runs: kept once, read back anywhere, never read again, and named by the record."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

import durum
from durum import Io, Secret, StoredFile, TransportError, Workflow
from durum.ports import MAX_CHUNK_BYTES
from durum.stores.memory import MemoryStore
from tests.engine.runs import Ran, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from durum.core.canonical import JsonObject, JsonValue
    from durum.ports import TransportCall

LONG = 2 * MAX_CHUNK_BYTES + 17


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listed(ran: Ran) -> list[tuple[str, list[str]]]:
    """Return (outcome, artifacts listed) of every fact."""
    events = [row["event"] for row in ran.events("fact.recorded")]
    return [(event["outcome"], list(event.get("artifact_ids", ()))) for event in events]


def copying() -> Workflow:
    """Return a workflow that stores a file, measures it by its pieces and writes it elsewhere."""
    flow = Workflow("copying")

    @flow.step
    async def kept(io: Io) -> StoredFile:
        return await io.store_file("a")

    @flow.step
    async def measured(kept: StoredFile, io: Io) -> int:
        return sum([len(chunk) async for chunk in io.chunks(kept)])

    @flow.step(effects="apply_side_effect")
    async def written(kept: StoredFile, io: Io) -> int:
        await io.write_file("b", kept)
        return kept.size

    return flow


def test_a_file_is_stored_read_back_and_written(folder: Path) -> None:
    """The fact names its artifact; replay answers from the record with the file gone, and reads the bytes from the store."""
    content = os.urandom(LONG)
    (folder / "a").write_bytes(content)
    ran = run(copying())
    assert (ran.status, ran.context["measured"], ran.context["written"]) == ("completed", LONG, LONG)
    assert (folder / "b").read_bytes() == content
    kept = ran.context["kept"]
    assert kept == {"id": kept["id"], "size": LONG}
    assert listed(ran) == [("success", [kept["id"]]), ("success", [])]
    for name in "ab":
        (folder / name).unlink()
    ran.sound()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("harm", ["lost", "damaged"])
def test_verify_reads_what_was_streamed(folder: Path, harm: str) -> None:
    """An artifact that only a fact's list names is missed or found damaged, by run and seq."""
    (folder / "a").write_bytes(os.urandom(LONG))
    ran = run(copying())
    store = ran.service._store
    assert isinstance(store, MemoryStore)
    identity = ran.context["kept"]["id"]
    if harm == "lost":
        del store._backend.artifacts[identity]
    else:
        store._backend.artifacts[identity] = bytes(LONG)
    bad = ran.service.verify(ran.id).first_bad
    assert bad is not None
    seq = next(row["seq"] for row in ran.events("fact.recorded") if row["event"].get("artifact_ids"))
    assert (bad.run_id, bad.seq) == (ran.id, seq)
    assert identity in bad.what + bad.reason


def test_a_file_that_cannot_be_stored_leaves_the_run_alive(folder: Path) -> None:
    """The step catches the failure and goes on, and a replay takes the same path; the limit is the step's to choose."""
    with (folder / "huge").open("wb") as file:
        file.truncate(5_000_000_001)
    (folder / "small").write_bytes(b"12345")
    flow = Workflow("trying")

    @flow.step
    async def codes(io: Io) -> list[str]:
        found = []
        for path, limit in (("huge", None), ("small", 4), ("none", None), (".", None), ("small", 5)):
            try:
                found.append(str((await io.store_file(path, max_bytes=limit)).size))
            except TransportError as error:
                found.append(error.transport_code)
        return found

    ran = run(flow)
    assert ran.context["codes"] == ["file_too_large", "file_too_large", "file_not_found", "file_is_directory", "5"]
    (folder / "huge").unlink()
    assert [len(ids) for _, ids in listed(ran.sound())] == [0, 0, 0, 0, 1]


class Streaming:
    """A transport that streams what it is asked for."""

    def __init__(self, answer: Callable[[JsonObject, TransportCall], Any]) -> None:
        self._answer = answer

    async def call(self, request: JsonObject, call: TransportCall) -> JsonValue:
        """Answer."""
        answer: JsonValue = await self._answer(request, call)
        return answer

    async def close(self) -> None:
        """Hold nothing."""


async def given(*chunks: bytes) -> AsyncIterator[bytes]:
    """Hand pieces out."""
    for chunk in chunks:
        yield chunk


def asking(answer: Callable[[JsonObject, TransportCall], Any]) -> Workflow:
    """Return a workflow whose step asks a transport and tells what came of it."""
    flow = Workflow("asking", transports={"own": lambda: Streaming(answer)})

    @flow.step
    async def told(io: Io) -> object:
        try:
            return await io.call("own", {"key": Secret("DURUM_TEST_TOKEN").reference()})
        except TransportError as error:
            return f"{error.transport_code}: {error.message}"

    return flow


def test_a_transport_streams_and_the_fact_lists_it() -> None:
    """Every artifact of the call once, in its order, also if the call fails after all."""
    fails = False

    async def answer(request: JsonObject, call: TransportCall) -> JsonValue:
        del request
        ids: list[JsonValue] = [(await call.store(given(*map(bytes, ([n], [n] * 70_000))))).id for n in (2, 1, 2)]
        if fails:
            message = "no"
            raise TransportError(message, code="too_few", details=ids)
        return ids

    for fails in (False, True):
        ran = run(asking(answer)).sound()
        ((_, ids),) = listed(ran)
        assert len(ids) == 2
        assert all(len(ran.service.artifact(identity)) == 70_001 for identity in ids)
        assert ran.context["told"] == ("too_few: no" if fails else [*ids, ids[0]])


def test_a_secret_is_not_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transport that resolved one and stores it is refused, even if it hides the refusal: nothing of it is in the store."""
    monkeypatch.setenv("DURUM_TEST_TOKEN", "canary-0815")
    hides = False

    async def answer(request: JsonObject, call: TransportCall) -> JsonValue:
        del request
        value = call.secret("DURUM_TEST_TOKEN").encode()
        try:
            return (await call.store(given(b"x" * 70_000 + value[:4], value[4:] + b"y"))).id
        except TransportError:
            if hides:
                return "never mind"
            raise

    for hides in (False, True):
        ran = run(asking(answer)).sound()
        told = ran.context["told"]
        assert told == "never mind" if hides else told.startswith("secret_in_stream: ")
        assert [ids for _, ids in listed(ran)] == [[]]
        store = ran.service._store
        assert isinstance(store, MemoryStore)
        assert not any(b"canary-0815" in data or b"x" * 99 in data for data in store._backend.artifacts.values())


def test_bytes_that_are_not_there_are_told(folder: Path) -> None:
    """A stored file of another store is an error that says so, for readers and writers."""
    flow = Workflow("lost")
    elsewhere = StoredFile("0" * 64, 1)

    @flow.step
    async def read(io: Io) -> str:
        try:
            return str([chunk async for chunk in io.chunks(elsewhere)])
        except durum.DurumError as error:
            return error.code

    @flow.step(effects="apply_side_effect")
    async def written(io: Io) -> str:
        try:
            await io.write_file("b", elsewhere)
        except TransportError as error:
            return error.transport_code
        return ""

    ran = run(flow).sound()
    assert (ran.context["read"], ran.context["written"]) == ("not_found", "not_found")
    assert list(folder.iterdir()) == []
