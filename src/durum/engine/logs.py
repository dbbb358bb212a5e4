"""Standard logging inside a step: every record carries run, state and attempt, and no secret the run went by."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import msgspec


class Place(msgspec.Struct, frozen=True):
    """The attempt a line of code runs in."""

    run_id: str
    state_id: str
    attempt: int  # 0-based
    clean: Callable[[str], str] = str  # replaces secrets in a line


_EXCEPTIONS = logging.Formatter()
current_place: ContextVar[Place | None] = ContextVar("durum_place", default=None)


def add_place_to_records() -> None:
    """Make every log record carry ``run_id``, ``state_id`` and ``attempt`` (None outside a step); doing it twice is no work."""
    before = logging.getLogRecordFactory()
    if getattr(before, "adds_place", False):
        return

    def make(*args: Any, **kwargs: Any) -> logging.LogRecord:  # noqa: ANN401 - logging's own signature
        record = before(*args, **kwargs)
        place = current_place.get()
        record.run_id, record.state_id, record.attempt = (
            (None, None, None) if place is None else (place.run_id, place.state_id, place.attempt)
        )
        if place is not None:
            _clean(record, place.clean)
        return record

    make.adds_place = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(make)


def _clean(record: logging.LogRecord, clean: Callable[[str], str]) -> None:
    """Replace the secrets of a record and of the exception it tells of; one that holds none stays as it is."""
    try:
        said = record.getMessage()
        raised = _EXCEPTIONS.formatException(record.exc_info) if record.exc_info else ""
    except Exception:  # noqa: BLE001 - logging itself says what is wrong with a record, when it writes it
        return
    if (cleaned := clean(said)) != said:
        record.msg, record.args = cleaned, ()
    if (cleaned := clean(raised)) != raised:
        record.exc_info, record.exc_text = None, cleaned
