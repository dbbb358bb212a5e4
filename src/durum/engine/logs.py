"""Standard logging that knows where it comes from: every record made inside a step carries run, state and attempt."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Any

import msgspec


class Place(msgspec.Struct, frozen=True):
    """The attempt a line of code runs in."""

    run_id: str
    state_id: str
    attempt: int  # 0-based


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
        return record

    make.adds_place = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(make)
