"""The event a successful attempt ends with, and the artifacts that hold what is too long for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from durum.core.canonical import canonical_json, canonical_parts, digest_bytes
from durum.core.events import INLINE_KEYS, StateCompleted, Write
from durum.core.fold import NOTHING_ATTACHED, Attached

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from durum.core.plan import PlanNode
    from durum.engine.context import Committed


class Listed(msgspec.Struct, frozen=True):
    """The keys an attempt read and its writes as its event names them: in lists, or in artifacts where they are many."""

    reads: tuple[str, ...] | None
    reads_id: str | None
    writes: tuple[Write, ...] | None
    writes_id: str | None
    artifacts: dict[str, bytes]


class Completion(msgspec.Struct, frozen=True):
    """A ``StateCompleted``, the artifacts it names beside the snapshot, and what fold needs of them."""

    event: StateCompleted
    artifacts: dict[str, bytes]
    attached: Attached


def listed(reads: Iterable[str], writes: Iterable[Write]) -> Listed:
    """Return how what an attempt read and wrote is recorded; more than 32 keys read or written are listed in an artifact."""
    artifacts: dict[str, bytes] = {}
    read_keys, written = tuple(sorted(reads)), tuple(writes)
    reads_id = writes_id = None
    if len(read_keys) > INLINE_KEYS:
        data = canonical_json(read_keys)
        reads_id = digest_bytes(data)
        artifacts[reads_id] = data
    if len(written) > INLINE_KEYS:
        data = msgspec.json.encode(written, enc_hook=str)
        writes_id = digest_bytes(data)
        artifacts[writes_id] = data
    return Listed(None if reads_id else read_keys, reads_id, None if writes_id else written, writes_id, artifacts)


def completion(node: PlanNode, reads: Mapping[str, bytes | None], committed: Committed, facts: str | None) -> Completion:
    """Return how the success of an attempt is recorded."""
    found = listed(reads, committed.writes)
    attached = NOTHING_ATTACHED if found.writes_id is None else Attached(writes={found.writes_id: tuple(committed.writes)})
    event = StateCompleted(
        context_snapshot_id=committed.tree.id,
        facts=facts,
        input_digest=input_digest(node, reads),
        reads=found.reads,
        reads_id=found.reads_id,
        state_id=node.id,
        writes=found.writes,
        writes_id=found.writes_id,
    )
    return Completion(event, found.artifacts, attached)


def input_digest(node: PlanNode, reads: Mapping[str, bytes | None]) -> str:
    """Return the digest of what an attempt went by: its step's id and version, and the entry of every key it read."""
    seen = [(key, "" if (entry := reads[key]) is None else entry.decode()) for key in sorted(reads)]
    return digest_bytes(canonical_parts({"reads": seen, "state": node.id, "version": node.version}))
