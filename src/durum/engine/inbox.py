"""The inbox of a run: messages from anyone who is not its owner, and how the owner moves them into the log."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from typing import TYPE_CHECKING, Any

import msgspec

from durum.core import events as ev
from durum.core.artifact_kind import ArtifactKind
from durum.core.canonical import canonical_json
from durum.core.facts import success_bytes
from durum.errors import StorageError
from durum.ports import Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from durum.core.canonical import JsonObject
    from durum.engine.recorder import Recorder
    from durum.ports import EventStore

POLL_SECONDS = 0.1


class Answer(msgspec.Struct, frozen=True):
    """Somebody answers a gate, as it was shown under ``digest``."""

    gate: str
    digest: str
    answer: dict[str, Any]
    actor: str
    reason: str = ""


class Steer(msgspec.Struct, frozen=True):
    """Somebody wants the run to be cancelled or to pause."""

    actor: str
    reason: str = ""


class ChildOver(msgspec.Struct, frozen=True):
    """A child run is over."""

    child_run_id: str
    status: ev.RunStatus
    final_snapshot_id: str | None = None


Content = Answer | Steer | ChildOver
KINDS: dict[str, type[Answer | Steer | ChildOver]] = {"answer": Answer, "cancel": Steer, "pause": Steer, "child": ChildOver}


def message(run_id: str, kind: str, content: Content, dedupe_key: str | None = None) -> Message:
    """Return a message as the store keeps it; at most one with a dedupe key is ever accepted."""
    payload: JsonObject = msgspec.to_builtins(content)
    return Message(run_id, uuid.uuid4().hex, kind, canonical_json(payload), dedupe_key)


def take(recorder: Recorder, letter: Message) -> bool:
    """Stage what a message comes to; False if it no longer means anything and stays where it is."""
    kind = KINDS.get(letter.kind)
    if kind is None:
        return False
    content = msgspec.json.decode(letter.payload, type=kind)
    taken = _taken(recorder, letter.kind, content)
    if taken:
        recorder.consume(letter.message_id)
    return taken


def _taken(recorder: Recorder, kind: str, content: Content) -> bool:
    state = recorder.state
    if state.over:
        return False
    match content:
        case Answer():
            return _answer(recorder, content)
        case Steer() if kind == "cancel":
            if state.cancelling is None:
                recorder.stage(ev.CancelRequested(actor=content.actor, reason=content.reason))
                return True
        case Steer():
            if state.paused is None and state.cancelling is None:
                recorder.stage(ev.RunPaused(actor=content.actor, reason=content.reason))
                return True
        case ChildOver():
            if content.child_run_id in state.children:
                ended = ev.ChildCompleted(
                    child_run_id=content.child_run_id, final_snapshot_id=content.final_snapshot_id, status=content.status
                )
                recorder.stage(ended)
                return True
    return False


def _answer(recorder: Recorder, content: Answer) -> bool:
    gate = recorder.state.gates.get(content.gate)
    if gate is None or gate.digest != content.digest:
        return False
    happened = bool(content.answer.get("happened"))
    payload_id = None
    if happened:
        payload_id = recorder.keep(ArtifactKind.FACT_PAYLOAD, success_bytes(content.answer.get("result")))
    settled = ev.EffectSettled(
        effect_key=gate.subject, happened=happened, payload_id=payload_id, request_id=gate.request_id, source="answer"
    )
    recorder.stage(settled, gate.state_id)
    data, reference = canonical_json(content.answer), None
    if len(data) > ev.INLINE_PAYLOAD_BYTES:
        reference, data = recorder.keep(ArtifactKind.OTHER, data), b"null"
    answered = ev.GateAnswered(
        actor=content.actor,
        answer=msgspec.Raw(data),
        answer_ref=reference,
        digest=gate.digest,
        gate=gate.gate,
        reason=content.reason,
    )
    recorder.stage(answered, gate.state_id)
    return True


class Mailroom:
    """Tells the runs driven in this process when somebody wrote to them. Looking is the truth; nothing is pushed."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._watched: dict[str, Callable[[], None]] = {}
        self._task: asyncio.Task[None] | None = None

    def watch(self, run_id: str, tell: Callable[[], None]) -> None:
        """Call ``tell`` from now on whenever the run has messages."""
        self._watched[run_id] = tell
        if self._task is None:
            self._task = asyncio.create_task(self._look())

    def unwatch(self, run_id: str) -> None:
        """Stop watching a run."""
        self._watched.pop(run_id, None)
        if not self._watched and self._task is not None:
            self._task.cancel()
            self._task = None

    async def read(self, run_id: str) -> list[Message]:
        """Return the unread messages of a run; none while the store is away."""
        try:
            return await self._store.inbox(run_id)
        except StorageError:
            return []

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            with contextlib.suppress(StorageError):  # it may be back next time
                for run_id in await self._store.addressed():
                    if run_id in self._watched:
                        self._watched[run_id]()
