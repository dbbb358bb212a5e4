"""What a recorder sends along with its events: bytes that the store does not have yet."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from durum.core.artifact_kind import ArtifactKind
from durum.engine import recorder as module
from durum.engine.recorder import Recorder
from durum.stores.memory import MemoryStore
from tests.engine.test_recorder import event, recorder_on

if TYPE_CHECKING:
    import pytest


def test_bytes_that_are_durable_are_not_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was stored last is known, however much was stored before; what is long ago is sent again, which does no harm."""
    monkeypatch.setattr(module, "_KNOWN_IDS", 2)
    sent: list[bytes] = []
    append = Recorder._append

    async def noted(recorder: Recorder, batch: module._Batch, *, sync: bool) -> None:
        sent.extend(artifact.data for artifact in batch.artifacts)
        await append(recorder, batch, sync=sync)

    monkeypatch.setattr(Recorder, "_append", noted)

    async def scenario() -> None:
        recorder = await recorder_on(MemoryStore())
        for number, data in enumerate((b"1", b"1", b"2", b"3", b"2", b"3", b"4", b"5", b"6", b"3", b"6", b"5")):
            recorder.keep(ArtifactKind.OTHER, data)
            recorder.stage(event(number))
            await recorder.commit()

    asyncio.run(scenario())
    assert sent == [b"1", b"2", b"3", b"4", b"5", b"6", b"3"]
