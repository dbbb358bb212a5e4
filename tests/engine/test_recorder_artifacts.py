"""What a recorder sends along with its events: bytes that the store does not have yet."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from durum.core.artifact_kind import ArtifactKind
from durum.engine import recorder as module
from durum.stores.memory import MemoryStore
from tests.engine.test_recorder import event, recorder_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

    from durum.ports import Artifact, StoredEvent


class Sent(MemoryStore):
    """A store that notes the artifacts it was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []

    async def append(
        self,
        run_id: str,
        expected_seq: int,
        epoch: int,
        events: Sequence[StoredEvent],
        artifacts: Sequence[Artifact] = (),
        consumed: Sequence[str] = (),
    ) -> int:
        """Append and take note."""
        self.sent += [artifact.data for artifact in artifacts]
        return await super().append(run_id, expected_seq, epoch, events, artifacts, consumed)


def test_bytes_that_are_durable_are_not_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was stored last is known, however much was stored before; what is long ago is sent again, which does no harm."""
    monkeypatch.setattr(module, "_KNOWN_IDS", 2)

    async def scenario() -> list[bytes]:
        store = Sent()
        recorder = await recorder_on(store)
        for number, data in enumerate((b"1", b"1", b"2", b"3", b"2", b"3", b"4", b"5", b"6", b"3", b"6", b"5")):
            recorder.keep(ArtifactKind.OTHER, data)
            recorder.stage(event(number))
            await recorder.commit()
        return store.sent

    assert asyncio.run(scenario()) == [b"1", b"2", b"3", b"4", b"5", b"6", b"3"]
