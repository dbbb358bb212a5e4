"""The inbox of a run: messages from anyone who is not its owner, and how the owner moves them into the log."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from durum.core import events as ev
from durum.core.artifact_kind import ArtifactKind
from durum.core.canonical import canonical_json
from durum.core.facts import success_bytes
from durum.core.gates import LEAST_RESULTS, checked_answer
from durum.errors import CallerError, DurumError, StorageError
from durum.ports import Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from durum.core.canonical import JsonObject
    from durum.engine.recorder import Recorder
    from durum.ports import EventStore

POLL_SECONDS = 0.1
_INLINE_ANSWER_BYTES = 4096  # a reason of 4,000 characters and everything else must fit into the event beside it
_log = logging.getLogger(__name__)


Actor = Annotated[str, msgspec.Meta(max_length=256)]
Reason = Annotated[str, msgspec.Meta(max_length=4_000)]


class Answer(msgspec.Struct, frozen=True):
    """Somebody answers a gate, as it was shown under ``digest``."""

    gate: str
    digest: str
    answer: dict[str, Any]
    actor: Actor
    reason: Reason = ""


class Steer(msgspec.Struct, frozen=True):
    """Somebody wants the run to be cancelled or to pause."""

    actor: Actor
    reason: Reason = ""


class ChildOver(msgspec.Struct, frozen=True):
    """A child run is over."""

    child_run_id: str
    status: ev.RunStatus
    final_snapshot_id: str | None = None


Content = Answer | Steer | ChildOver
_DECODERS: dict[str, msgspec.json.Decoder[Content]] = {
    "answer": msgspec.json.Decoder(Answer),
    "cancel": msgspec.json.Decoder(Steer),
    "pause": msgspec.json.Decoder(Steer),
    "child": msgspec.json.Decoder(ChildOver),
}


def message(run_id: str, kind: str, content: Content, dedupe_key: str | None = None) -> Message:
    """Return a message as the store keeps it; at most one with a dedupe key is ever accepted.

    Without one of its own its id is its key: sent again because no answer came, it is the same message, taken or not.
    """
    payload: JsonObject = msgspec.to_builtins(content)
    identity = uuid.uuid4().hex
    return Message(run_id, identity, kind, canonical_json(payload), dedupe_key or identity)


def take(recorder: Recorder, letter: Message) -> bool:
    """Stage what a message comes to, once; False if that is nothing. One of a kind this version does not know stays unread."""
    decoder = _DECODERS.get(letter.kind)
    if decoder is None or not recorder.consume(letter.message_id):
        return False
    try:
        return _taken(recorder, letter.kind, decoder.decode(letter.payload))
    except (msgspec.MsgspecError, CallerError) as error:  # it was put there past every check
        _log.warning("a message of the kind %s to run %s makes no sense: %s", letter.kind, letter.run_id, error)
        return False


def _taken(recorder: Recorder, kind: str, content: Content) -> bool:
    state = recorder.state
    if state.over:
        return False
    match content:
        case Answer():
            return _answer(recorder, content)
        case Steer() if state.cancelling is None:
            return _steer(recorder, kind, content)
        case ChildOver():
            if content.child_run_id in state.children:
                ended = ev.ChildCompleted(
                    child_run_id=content.child_run_id, final_snapshot_id=content.final_snapshot_id, status=content.status
                )
                recorder.stage(ended)
                return True
    return False


def _steer(recorder: Recorder, kind: str, content: Steer) -> bool:
    if kind == "cancel":
        recorder.stage(ev.CancelRequested(actor=content.actor, reason=content.reason))
        return True
    if recorder.state.paused is not None:
        return False
    recorder.stage(ev.RunPaused(actor=content.actor, reason=content.reason))
    return True


def _answer(recorder: Recorder, content: Answer) -> bool:
    gate = recorder.state.gates.get(content.gate)
    if gate is None or gate.digest != content.digest:
        return False
    given = checked_answer(gate, content.answer)
    happened, payload_id = given["happened"] is True, None
    if happened:
        payload_id = _result(recorder, gate.subject, given)
    data, reference = canonical_json(given), None
    if len(data) > _INLINE_ANSWER_BYTES:
        reference, data = recorder.keep(ArtifactKind.OTHER, data), b"null"
    answered = ev.GateAnswered(
        actor=content.actor,
        answer=msgspec.Raw(data),
        answer_ref=reference,
        digest=gate.digest,
        gate=gate.gate,
        reason=content.reason,
    )
    settled = ev.EffectSettled(
        effect_key=gate.subject, happened=happened, payload_id=payload_id, request_id=gate.request_id, source="answer"
    )
    recorder.stage(answered, gate.state_id)  # the longer one first: if it does not fit, nothing is staged
    recorder.stage(settled, gate.state_id)
    return True


def _result(recorder: Recorder, effect_key: str, given: JsonObject) -> str:
    """Return the artifact of what an effect gave back: as answered, else what is on record of it, else the least there is."""
    known = recorder.state.effects.get(effect_key)
    if known is not None and "result" not in given:
        return known.payload_id
    namespaces = {intent.namespace for intent in recorder.state.intents.values() if intent.effect_key == effect_key}
    least = LEAST_RESULTS.get(namespaces.pop()) if namespaces else None
    return recorder.keep(ArtifactKind.FACT_PAYLOAD, success_bytes(given.get("result", least)))


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
            with contextlib.suppress(DurumError):  # it may be back next time
                for run_id in await self._store.addressed():
                    tell = self._watched.get(run_id)
                    if tell is not None:
                        tell()
