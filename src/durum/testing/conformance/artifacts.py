"""What an artifact is: bytes under their own SHA-256, whole or not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durum.errors import CorruptionError, NotFoundError
from durum.ports import Artifact
from durum.testing.conformance.contract import Contract, check, named, refused

if TYPE_CHECKING:
    from durum.engine.engine import Store

KIB = 1024
SIZES = (0, 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 1024 * KIB)


def sized(size: int) -> Artifact:
    """Return an artifact of ``size`` bytes, all values of a byte among them."""
    return named((bytes(range(256)) * (size // 256 + 1))[:size])


class ArtifactContract(Contract):
    """Storing and getting artifacts."""

    @check
    async def test_artifacts_of_any_size_come_back(self, store: Store, other: Store) -> None:
        """Empty, below, at and above 64 KiB: the id that comes back is that of the bytes, and every handle gets them."""
        for artifact in map(sized, SIZES):
            assert not await store.exists(artifact.id)
            assert await store.put(artifact) == artifact.id
            assert await other.exists(artifact.id)
            data = await other.get(artifact.id)
            assert (type(data), data) == (bytes, artifact.data)

    @check
    async def test_an_artifact_outlives_its_handle(self, store: Store, other: Store) -> None:
        """What was stored is durable once the call returns."""
        for artifact in map(sized, SIZES):
            await store.put(artifact)
        await store.close()
        for artifact in map(sized, SIZES):
            assert await other.get(artifact.id) == artifact.data

    @check
    async def test_storing_again_is_no_work(self, store: Store, other: Store) -> None:
        """The same bytes may be stored any number of times, by anyone, under any kind."""
        for artifact in map(sized, SIZES):
            for handle, kind in ((store, "other"), (store, "manifest"), (other, "other")):
                assert await handle.put(Artifact(artifact.id, kind, artifact.data)) == artifact.id
            assert await store.get(artifact.id) == artifact.data

    @check
    async def test_an_unknown_artifact_is_not_there(self, store: Store) -> None:
        """An id nobody stored, a spelling that is no id and an empty one are all just not there."""
        known = await store.put(named(b"known"))
        for unknown in ("0" * 64, "", "no id", "../" + known, known.upper(), known[:-1], known + "0", known + "\n", "é" * 64):
            assert not await store.exists(unknown)
            await refused(NotFoundError, store.get(unknown))

    @check
    async def test_bytes_under_a_false_id_are_refused(self, store: Store) -> None:
        """Content and name must fit: otherwise nothing is stored, and a true artifact of that name is not harmed."""
        true = named(b"true")
        for data in (b"false", bytes(100_000)):
            await refused(CorruptionError, store.put(Artifact(true.id, "other", data)))
            assert not await store.exists(true.id)
        await store.put(true)
        await refused(CorruptionError, store.put(Artifact(true.id, "other", b"false")))
        assert await store.get(true.id) == true.data

    @check
    async def test_damaged_bytes_are_never_handed_out(self, store: Store, other: Store) -> None:
        """Bytes are checked when they are read, so damage is told and not passed on."""
        for artifact in map(sized, (1, 1024 * KIB)):
            await store.put(artifact)
            if await self.damage(artifact.id):
                await refused(CorruptionError, store.get(artifact.id))
                await refused(CorruptionError, other.get(artifact.id))

    @check
    async def test_many_are_handed_out_at_once(self, store: Store, other: Store) -> None:
        """Small ones by their ids, however often they are asked for; what is not there, damaged or no id is left out."""
        artifacts = {artifact.id: artifact.data for artifact in map(sized, SIZES)}
        for artifact in map(sized, SIZES):
            await store.put(artifact)
        assert await other.get_many([]) == {}
        found = await other.get_many([*artifacts, *artifacts, "0" * 64, "", "no id", "../" + named(b"").id])
        assert found.items() <= artifacts.items()
        assert len(found) >= sum(size <= 64 * KIB for size in SIZES)
        small = sized(1)
        if await self.damage(small.id):
            assert small.id not in await other.get_many([*artifacts])
