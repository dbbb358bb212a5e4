"""The event a successful attempt ends with, and the artifacts that hold what is too long for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from durum.core.canonical import canonical_json, canonical_parts, digest_bytes
from durum.core.events import INLINE_KEYS, StateCompleted
from durum.core.fold import NOTHING_ATTACHED, Attached

if TYPE_CHECKING:
    from collections.abc import Mapping

    from durum.core.plan import PlanNode
    from durum.engine.context import Committed


class Completion(msgspec.Struct, frozen=True):
    """A ``StateCompleted``, the artifacts it names beside the snapshot, and what fold needs of them."""

    event: StateCompleted
    artifacts: dict[str, bytes]
    attached: Attached


def completion(node: PlanNode, reads: Mapping[str, bytes | None], committed: Committed, facts: str | None) -> Completion:
    """Return how the success of an attempt is recorded; more than 32 keys read or written are listed in an artifact."""
    artifacts: dict[str, bytes] = {}
    read_keys = tuple(sorted(reads))
    reads_id = None
    if len(read_keys) > INLINE_KEYS:
        data = canonical_json(read_keys)
        reads_id = digest_bytes(data)
        artifacts[reads_id] = data
    writes = tuple(committed.writes)
    writes_id = None
    attached = NOTHING_ATTACHED
    if len(writes) > INLINE_KEYS:
        data = msgspec.json.encode(writes, enc_hook=str)
        writes_id = digest_bytes(data)
        artifacts[writes_id] = data
        attached = Attached(writes={writes_id: writes})
    event = StateCompleted(
        context_snapshot_id=committed.tree.id,
        facts=facts,
        input_digest=input_digest(node, reads),
        reads=None if reads_id else read_keys,
        reads_id=reads_id,
        state_id=node.id,
        writes=None if writes_id else writes,
        writes_id=writes_id,
    )
    return Completion(event, artifacts, attached)


def input_digest(node: PlanNode, reads: Mapping[str, bytes | None]) -> str:
    """Return the digest of what an attempt went by: its step's id and version, and the entry of every key it read."""
    seen = [(key, "" if (entry := reads[key]) is None else entry.decode()) for key in sorted(reads)]
    return digest_bytes(canonical_parts({"reads": seen, "state": node.id, "version": node.version}))
