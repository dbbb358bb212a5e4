"""What tests ask of runs that wait for an answer, and how they answer."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from durum import Retry, TransportError, Workflow
from tests.engine.doubles import Scripted, counting

if TYPE_CHECKING:
    from durum.engine.inbox import Content
    from durum.stores.memory import MemoryBackend
    from tests.engine.runs import Ran

AGAIN = Retry(attempts=3, delay=timedelta(0), jitter=0)
BUSY = TransportError("busy", code="busy", retryable=True)
REFUSED = TransportError("no", code="http_connect", retryable=True)


def acting(name: str, fake: Scripted) -> Workflow:
    """Return a workflow that may act through ``fake``; ``tries`` tells an attempt which one it is."""
    tries = counting()
    return Workflow(name, transports={"fake": lambda: fake, "tries": lambda: tries})


def asked(ran: Ran) -> dict[str, Any]:
    """Return the one question a run waits with."""
    assert ran.status == "paused"
    (gate,) = [dict(row) for row in ran.service.gates(ran.id)]
    assert gate["kind"] == "unknown_effect"
    return gate


def answered(ran: Ran, **fields: object) -> Ran:
    """Answer the one question and drive the run on."""
    ran.service.answer(ran.id, asked(ran)["gate"], fields, actor="test")
    return ran.resume()


def told(backend: MemoryBackend, run_id: str, kind: str, content: Content) -> None:
    """Put a message into a run's inbox as another process would, at once."""
    from durum.engine.inbox import message

    letter = message(run_id, kind, content)
    backend.runs[run_id].inbox[letter.message_id] = letter
