"""The seed's standard payloads keep their field names and check their ids."""

from __future__ import annotations

import msgspec
import pytest

from durum.core.standard_payloads import ArtifactWritten, ChildRunCompleted, ChildRunSpawned, OpBoundary

RUN = "01890a5d-ac96-774b-bcce-b302099a8057"
ID = "0" * 64


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (ArtifactWritten, f'{{"artifact_id":"{ID}","kind":"output","meta":{{"a":1}}}}'),
        (OpBoundary, '{"op_path":"main.fetch","phase":"started"}'),
        (ChildRunSpawned, f'{{"parent_run_id":"{RUN}","child_run_id":"{RUN}","child_manifest_id":"{ID}"}}'),
        (ChildRunCompleted, f'{{"child_run_id":"{RUN}","status":"completed","final_snapshot_id":null}}'),
    ],
)
def test_payload_round_trips_under_the_seeds_names(kind: type[msgspec.Struct], text: str) -> None:
    """Decoding and encoding a payload gives the same JSON."""
    decoded = msgspec.json.decode(text, type=kind)
    assert msgspec.json.decode(msgspec.json.encode(decoded)) == msgspec.json.decode(text)


def test_ids_are_checked_on_decode() -> None:
    """An id that breaks its contract is refused where it is read."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"op_path":"Main.fetch","phase":"x"}', type=OpBoundary)
