"""Stores that lose or mix up messages and artifacts, for the conformance suite to find."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from durum.errors import DurumError, NotFoundError
from tests.testing.broken_stores import Append, BrokenStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durum.ports import Artifact, Message


class LosesMessages(BrokenStore):
    """A message is acknowledged but goes with its sender."""

    async def close(self) -> None:
        """Drop all that wait."""
        await super().close()
        for run in self.runs.values():
            run.inbox.clear()


class ReadsNewestFirst(BrokenStore):
    """The inbox stands the other way round."""

    async def inbox(self, run_id: str) -> list[Message]:
        """Turn it."""
        return (await super().inbox(run_id))[::-1]


class TakesMessagesForNobody(BrokenStore):
    """A message to an unknown run is accepted."""

    async def send(self, message: Message) -> bool:
        """Say yes."""
        try:
            return await super().send(message)
        except NotFoundError:
            return True


class ForgetsKeys(BrokenStore):
    """A dedupe key goes with its message."""

    async def send(self, message: Message) -> bool:
        """Look at what waits only."""
        run = self._run(message.run_id)
        if not run.inbox:
            run.dedupe_keys.clear()
        return await super().send(message)


class KnowsNoKeys(BrokenStore):
    """Dedupe keys mean nothing."""

    async def send(self, message: Message) -> bool:
        """Take the key away."""
        return await super().send(msgspec.structs.replace(message, dedupe_key=None))


class LetsTheLastMessageWin(BrokenStore):
    """The same id again overwrites."""

    async def send(self, message: Message) -> bool:
        """Take the old one away."""
        self._run(message.run_id).inbox.pop(message.message_id, None)
        return await super().send(message)


class UsesKeysUp(BrokenStore):
    """A message that was refused for its id binds its key."""

    async def send(self, message: Message) -> bool:
        """Bind it."""
        accepted = await super().send(message)
        if message.dedupe_key:
            self._run(message.run_id).dedupe_keys.add(message.dedupe_key)
        return accepted


class StoresAnything(BrokenStore):
    """The id of an artifact is not checked."""

    async def put(self, artifact: Artifact) -> str:
        """Store it."""
        self._backend.artifacts[artifact.id] = artifact.data
        return artifact.id

    async def meant(self, asked: Append) -> Append:
        """Store them unchecked."""
        for artifact in asked.artifacts:
            await self.put(artifact)
        return asked._replace(artifacts=())


class ReadsUnchecked(BrokenStore):
    """Damaged bytes are handed out."""

    async def get(self, artifact_id: str) -> bytes:
        """Take what is there."""
        if artifact_id not in self._backend.artifacts:
            raise NotFoundError("artifact", artifact_id)
        return self._backend.artifacts[artifact_id]


class GivesNoneAtOnce(BrokenStore):
    """Whoever asks for many artifacts gets none."""

    async def get_many(self, artifact_ids: Sequence[str]) -> dict[str, bytes]:
        """Leave it to the others."""
        del artifact_ids
        return {}


class GivesManyUnchecked(BrokenStore):
    """Artifacts that are asked for one by one are checked, many are not."""

    async def get_many(self, artifact_ids: Sequence[str]) -> dict[str, bytes]:
        """Take what is there."""
        return {identity: self._backend.artifacts[identity] for identity in artifact_ids if identity in self._backend.artifacts}


class CutsAt64Kib(BrokenStore):
    """Large artifacts are acknowledged but not stored."""

    async def put(self, artifact: Artifact) -> str:
        """Leave large ones out."""
        return artifact.id if len(artifact.data) > 64 * 1024 else await super().put(artifact)


class StoresOnce(BrokenStore):
    """Storing the same bytes again is an error."""

    async def put(self, artifact: Artifact) -> str:
        """Refuse the second time."""
        if await self.exists(artifact.id):
            raise DurumError
        return await super().put(artifact)


class FindsAnything(BrokenStore):
    """Ids are looked up loosely."""

    async def exists(self, artifact_id: str) -> bool:
        """Look past case."""
        return await super().exists(artifact_id.lower())


class OwnsArtifacts(BrokenStore):
    """Artifacts go with the handle that stored them."""

    async def close(self) -> None:
        """Take them along."""
        await super().close()
        self._backend.artifacts.clear()
