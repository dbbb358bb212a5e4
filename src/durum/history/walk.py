"""A run's events one by one, with what they name read some events ahead: many artifacts at once cost little more than one."""

from __future__ import annotations

import contextlib
from functools import cache
from typing import TYPE_CHECKING

from durum.core import events as ev
from durum.core.tree import entry_id

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Sequence

    from durum.engine.artifacts import ArtifactReader

_AHEAD = 32  # events; the reader's cache holds what is read at once of all that these name
_NAMES_ARTIFACT = frozenset(
    {"answer_ref", "inputs_id", "manifest_id", "payload_id", "payload_ref", "plan_id", "reads_id", "request_id", "writes_id"}
)


async def walk(envelopes: Sequence[ev.Envelope], reader: ArtifactReader) -> AsyncGenerator[ev.Envelope, None]:
    """Yield the events in order."""
    for start in range(0, len(envelopes), _AHEAD):
        some = envelopes[start : start + _AHEAD]
        await reader.read_ahead(identity for envelope in some for identity in _named_by(envelope.event))
        for envelope in some:
            yield envelope


@cache
def naming(kind: type[ev.Event]) -> Sequence[str]:
    """Return the fields by which events of a kind name artifacts; ``artifact_ids`` are of any size, and many."""
    fields = kind.__struct_fields__
    return [name for name in fields if name.endswith("snapshot_id") or name in _NAMES_ARTIFACT or name == "artifact_ids"]


def _named_by(event: ev.Event) -> Iterator[str]:
    """Yield the ids of artifacts an event names that fit into memory: those in its fields and the values it writes."""
    for field in naming(type(event)):
        if field != "artifact_ids" and (identity := getattr(event, field)) is not None:
            yield identity
    if isinstance(event, ev.StateCompleted):
        for write in event.writes or ():
            with contextlib.suppress(ValueError):  # whoever looks at that event says what is the matter with it
                if (identity := entry_id(bytes(write.entry))) is not None:
                    yield identity
