"""Files of any size go into the store and come out of it as streams, with the errors that whole files have."""

from __future__ import annotations

import asyncio
import contextlib
import os
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from durum.errors import StoreUnavailableError, TransportError
from durum.ports import MAX_CHUNK_BYTES
from durum.stores.memory import MemoryBackend, MemoryStore
from durum.testing.faulty import Fault, FaultyStore, failing
from durum.transports.file import FileTransport
from tests.transports.streaming_call import StreamingCall
from tests.transports.test_file import failing as fails
from tests.transports.test_file import names, powerless

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from durum.core.canonical import JsonObject
    from durum.ports import ArtifactStore

LONG = 2 * MAX_CHUNK_BYTES + 17


def run(request: JsonObject, store: ArtifactStore, base: Path | None = None) -> Any:
    """Perform one call on a fresh loop."""
    return asyncio.run(FileTransport(base).call(request, StreamingCall(store)))


def stored(path: Path | str, store: ArtifactStore, **more: Any) -> Any:
    """Store a file."""
    return run({"op": "store", "path": str(path), **more}, store)["stored"]


def written(path: Path | str, artifact: str, store: ArtifactStore, **more: Any) -> Any:
    """Write a file from the store."""
    return run({"op": "write", "path": str(path), "artifact": artifact, **more}, store)


@pytest.fixture
def backend() -> MemoryBackend:
    """Give what the store holds."""
    return MemoryBackend()


@pytest.fixture
def store(backend: MemoryBackend) -> MemoryStore:
    """Give a store."""
    return MemoryStore(backend)


# --- into the store -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, MAX_CHUNK_BYTES, LONG])
def test_what_is_stored_is_written_again(tmp_path: Path, store: MemoryStore, size: int) -> None:
    """Any size comes back byte for byte, under its SHA-256, and no other file is left in the folder."""
    content = os.urandom(size)
    (tmp_path / "a").write_bytes(content)
    found = stored(tmp_path / "a", store)
    assert found == {"id": sha256(content).hexdigest(), "size": size}
    assert written(tmp_path / "b", found["id"], store) == {"bytes": size, "sha256": found["id"]}
    assert (tmp_path / "b").read_bytes() == content
    assert names(tmp_path) == ["a", "b"]


def test_a_file_over_the_limit_is_refused_before_it_is_read(tmp_path: Path, backend: MemoryBackend) -> None:
    """5 GB by default, told by its length alone: nothing comes near the store; a length at the limit is stored."""
    store = FaultyStore(MemoryStore(backend))
    for size, limit in ((5_000_000_001, None), (2**40, None), (LONG, LONG - 1), (1, 0)):
        with (tmp_path / "a").open("wb") as file:
            file.truncate(size)
        with fails("file_too_large", f"cannot store {tmp_path / 'a'}: it is longer than"):
            stored(tmp_path / "a", store, **({} if limit is None else {"max_bytes": limit}))
    assert (sum(store.calls.values()), backend.artifacts) == (0, {})
    (tmp_path / "a").write_bytes(bytes(LONG))
    assert stored(tmp_path / "a", store, max_bytes=LONG)["size"] == LONG


def test_a_file_that_grows_past_the_limit_while_it_is_read_is_refused(tmp_path: Path, backend: MemoryBackend) -> None:
    """Bytes are counted as they come, for the length at the beginning says nothing about the end."""
    path = tmp_path / "a"
    path.write_bytes(bytes(LONG))
    seen = []

    class Growing(MemoryStore):
        """A store during whose work the file grows."""

        async def put_stream(self, kind: str, chunks: Any) -> Any:
            """Let it grow at the first piece."""

            async def pieces() -> AsyncGenerator[bytes, None]:
                async for chunk in chunks:
                    seen.append(len(chunk))
                    if len(seen) == 1:
                        with path.open("ab") as file:
                            file.write(b"more")
                    yield chunk

            return await super().put_stream(kind, pieces())

    with fails("file_too_large", f"longer than {LONG} bytes"):
        stored(path, Growing(backend), max_bytes=LONG)
    assert backend.artifacts == {}
    assert sum(seen) <= LONG


def test_what_cannot_be_read_is_told_as_for_whole_files(tmp_path: Path, store: MemoryStore, backend: MemoryBackend) -> None:
    """A missing file, a folder, a pipe, a device and a closed file each fail with their code, and nothing is stored."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "closed").write_bytes(b"x")
    (tmp_path / "closed").chmod(0)
    with fails("file_not_found", "no such file"):
        stored(tmp_path / "none", store)
    with fails("file_is_directory", "name a file"):
        stored(tmp_path, store)
    for name in (tmp_path / "fifo", "/dev/zero"):
        with fails("file_error", "no regular file"):
            stored(name, store)
    with powerless(tmp_path), fails("file_permission", "permission denied"):
        stored(tmp_path / "closed", store)
    assert backend.artifacts == {}


def test_a_store_that_is_away_fails_the_call(tmp_path: Path) -> None:
    """The call fails with the store's own code, worth a retry; both ways."""
    (tmp_path / "a").write_bytes(b"x")
    for fault in Fault:
        store = FaultyStore(MemoryStore(), failing("put_stream", fault))
        with pytest.raises(TransportError, match="planned to fail") as caught:
            stored(tmp_path / "a", store)
        assert (caught.value.transport_code, caught.value.retryable) == (StoreUnavailableError.code, True)
    away = FaultyStore(MemoryStore(), failing("chunks", Fault.NOT_DONE))
    with pytest.raises(TransportError, match="planned to fail"):
        written(tmp_path / "b", "0" * 64, away)
    assert names(tmp_path) == ["a"]


# --- out of the store ---------------------------------------------------------------------------------------------------


def test_damaged_or_missing_bytes_are_never_put_in_place(tmp_path: Path, store: MemoryStore, backend: MemoryBackend) -> None:
    """The old file stays as it is, and no part of the new one is left."""
    (tmp_path / "a").write_bytes(bytes(LONG))
    found = stored(tmp_path / "a", store)["id"]
    (tmp_path / "b").write_text("old")
    with fails("not_found", "no artifact"):
        written(tmp_path / "b", "0" * 64, store)
    backend.artifacts[found] = bytes(LONG - 1) + b"!"
    with fails("corruption", found):
        written(tmp_path / "b", found, store)
    assert (tmp_path / "b").read_text() == "old"
    assert names(tmp_path) == ["a", "b"]


def test_a_stored_file_is_written_with_mode_and_folders(tmp_path: Path, store: MemoryStore) -> None:
    """What a write may be told holds for stored bytes too; a reader sees the old file or the new one."""
    (tmp_path / "a").write_bytes(b"new")
    found = stored(tmp_path / "a", store)["id"]
    written(tmp_path / "x/y", found, store, mode=0o640)
    assert (tmp_path / "x/y").stat().st_mode & 0o777 == 0o640
    with (tmp_path / "x/y").open() as reader:
        written(tmp_path / "x/y", found, store)
        assert reader.read() == "new"
        assert os.fstat(reader.fileno()).st_nlink == 0
    with fails("file_is_directory"):
        written(tmp_path / "x", found, store)


def test_a_cancelled_write_from_the_store_leaves_the_old_file(tmp_path: Path, backend: MemoryBackend) -> None:
    """Whoever stops waiting for a stream finds the folder as it was."""
    (tmp_path / "b").write_text("old")
    waits = asyncio.Event()

    class Stuck(MemoryStore):
        """A store that hands out one piece and no more."""

        async def chunks(self, artifact_id: str) -> AsyncGenerator[bytes, None]:
            """Stop after the first."""
            del artifact_id
            yield b"half"
            waits.set()
            await asyncio.sleep(0.05)
            yield b"more"

    async def scenario() -> None:
        request: JsonObject = {"op": "write", "path": str(tmp_path / "b"), "artifact": "0" * 64}
        call = asyncio.create_task(FileTransport().call(request, StreamingCall(Stuck(backend))))
        await waits.wait()
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call
        assert call.cancelled()

    asyncio.run(scenario())
    assert (tmp_path / "b").read_text() == "old"
    assert names(tmp_path) == ["b"]


@pytest.mark.parametrize(
    "request_",
    [
        {"op": "store"},
        {"op": "store", "path": "a", "max_bytes": -1},
        {"op": "store", "path": "a", "max_bytes": 2**53},
        {"op": "store", "path": "a", "content": {"text": ""}},
        {"op": "write", "path": "a", "artifact": "x"},
        {"op": "write", "path": "a", "artifact": "A" * 64},
        {"op": "write", "path": "a", "artifact": None},
        {"op": "write", "path": "a", "artifact": "0" * 64, "content": {"text": ""}},
        {"op": "read", "path": "a", "artifact": "0" * 64},
    ],
)
def test_wrong_requests_are_refused(tmp_path: Path, store: MemoryStore, request_: JsonObject) -> None:
    """A request that is wrong in any field touches nothing."""
    with fails("invalid_request"):
        run(request_, store, tmp_path)
    assert names(tmp_path) == []
