r"""Events to bytes and back: the hash chain, old versions upcast, unknown kinds kept byte for byte.

Format (docs/decisions/0002): the body is canonical JSON; ``hash = SHA-256("durum-event/1\\n" + hash before + body)``, and the
hash before the first event is ``SHA-256("durum-log/1\\n" + run id)``.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated

import msgspec

from durum.core import events as ev
from durum.errors import CorruptionError
from durum.ports import StoredEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

HASH_PREFIX = b"durum-event/1\n"
GENESIS_PREFIX = b"durum-log/1\n"

EVENT_KINDS: dict[str, type[ev.Event]] = {
    cls.kind: cls
    for cls in (
        ev.RunStarted,
        ev.StateEntered,
        ev.StateCompleted,
        ev.StateFailed,
        ev.StateSkipped,
        ev.RetryScheduled,
        ev.FactRecorded,
        ev.EffectIntended,
        ev.EffectSettled,
        ev.PlanExtended,
        ev.GateOpened,
        ev.GateAnswered,
        ev.ChildSpawned,
        ev.ChildCompleted,
        ev.DomainEvent,
        ev.CodeChanged,
        ev.CancelRequested,
        ev.RunPaused,
        ev.RunResumed,
        ev.RunCompleted,
    )
}

UPCASTS: dict[tuple[str, int], Callable[[msgspec.Raw], msgspec.Raw]] = {}
"""(kind, stored version) -> body of the next version. Empty while every kind is at version 1."""


class _Stored(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The stored envelope; fields in canonical order, absent when they say nothing."""

    body: msgspec.Raw
    epoch: int
    kind: str
    seq: int
    ts_millis: int
    writer: str
    attempt: int | None = None
    branch: int = 0
    state_id: str | None = None
    v: Annotated[int, msgspec.Meta(ge=1)] = 1


class _Encoded(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """``_Stored`` for writing: canonical field order, the body as a struct."""

    attempt: int | None = None
    body: ev.Event
    branch: int = 0
    epoch: int
    kind: str
    seq: int
    state_id: str | None = None
    ts_millis: int
    v: int = 1
    writer: str


_encode = msgspec.json.Encoder(enc_hook=str).encode  # ids are checked subclasses of str
_decode = msgspec.json.Decoder(_Stored).decode
_decoders = {kind: msgspec.json.Decoder(cls).decode for kind, cls in EVENT_KINDS.items()}


def genesis_hash(run_id: str) -> bytes:
    """Return the hash that stands before a run's first event; it ties the chain to the run."""
    return hashlib.sha256(GENESIS_PREFIX + run_id.encode()).digest()


def chain_hash(prev_hash: bytes, body: bytes) -> bytes:
    """Return the hash of an event body behind ``prev_hash``."""
    return hashlib.sha256(HASH_PREFIX + prev_hash + body).digest()


class Header(msgspec.Struct, frozen=True, gc=False):
    """What an envelope says beside its event and the hashes: where it stands, and who writes it there."""

    run_id: str
    seq: int
    ts_millis: int
    state_id: str | None
    attempt: int | None
    epoch: int
    writer: str
    branch: int = 0


def encode(event: ev.Event, header: Header, prev_hash: bytes) -> StoredEvent:
    """Return an event as the bytes a store keeps, chained behind ``prev_hash``."""
    body = _encode(
        _Encoded(
            attempt=header.attempt,
            body=event,
            branch=header.branch,
            epoch=header.epoch,
            kind=event.kind,
            seq=header.seq,
            state_id=header.state_id,
            ts_millis=header.ts_millis,
            v=event.version,
            writer=header.writer,
        )
    )
    return StoredEvent(header.seq, chain_hash(prev_hash, body), body)


_OWN_KINDS = frozenset({ev.StateEntered, ev.StateCompleted})
"""Kinds whose every field the engine makes and checks itself, so that they read back as they are."""


def record(event: ev.Event, header: Header, prev_hash: bytes) -> tuple[StoredEvent, ev.Envelope]:
    """Return an event as a store keeps it, and as it reads back; what cannot be read back must not be written.

    Raises:
        CorruptionError: it cannot.
    """
    stored = encode(event, header, prev_hash)
    if type(event) not in _OWN_KINDS:
        return stored, decode(header.run_id, stored, prev_hash)
    envelope = ev.Envelope(
        header.run_id,
        header.seq,
        header.ts_millis,
        event,
        header.state_id,
        header.attempt,
        header.epoch,
        header.writer,
        prev_hash.hex(),
        stored.hash.hex(),
        header.branch,
    )
    return stored, envelope


def decode(run_id: str, stored: StoredEvent, prev_hash: bytes) -> ev.Envelope:
    """Return the envelope of stored bytes; the chain is checked by ``decode_log``.

    Raises:
        CorruptionError: the bytes are not an event of a version this code knows.
    """
    try:
        raw = _decode(stored.body)
        event = _decode_event(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CorruptionError(f"event {stored.seq} of run {run_id}", str(error)) from error
    return ev.Envelope(
        run_id,
        raw.seq,
        raw.ts_millis,
        event,
        raw.state_id,
        raw.attempt,
        raw.epoch,
        raw.writer,
        prev_hash.hex(),
        stored.hash.hex(),
        raw.branch,
    )


def decode_log(run_id: str, stored: Iterable[StoredEvent], prev_hash: bytes | None = None) -> Sequence[ev.Envelope]:
    """Decode a gapless stretch of a log, checking every hash. ``prev_hash`` None: it starts at the first event.

    Raises:
        CorruptionError: an event is missing, damaged or does not follow from the one before.
    """
    previous = genesis_hash(run_id) if prev_hash is None else prev_hash
    expected = 1 if prev_hash is None else None
    envelopes: list[ev.Envelope] = []
    for item in stored:
        if chain_hash(previous, item.body) != item.hash:
            raise CorruptionError(f"event {item.seq} of run {run_id}", "its hash does not follow from the event before")
        envelope = decode(run_id, item, previous)
        if envelope.seq != item.seq or (expected is not None and item.seq != expected):
            raise CorruptionError(f"event {item.seq} of run {run_id}", f"event {expected or envelope.seq} is missing")
        expected = item.seq + 1
        previous = item.hash
        envelopes.append(envelope)
    return envelopes


def _decode_event(raw: _Stored) -> ev.Event:
    decoder = _decoders.get(raw.kind)
    if decoder is None or raw.v > EVENT_KINDS[raw.kind].version:
        return ev.UnknownEvent(body=raw.body, name=raw.kind)
    body = raw.body
    for version in range(raw.v, EVENT_KINDS[raw.kind].version):
        body = UPCASTS[raw.kind, version](body)
    return decoder(body)
