"""An append-only file outside Durum that each effect leaves a line in, and tides to read: the receivers of the crash tests."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any

from durum import TransportError

if TYPE_CHECKING:
    from pathlib import Path

    from durum.core.canonical import JsonObject, JsonValue
    from durum.ports import TransportCall

BEFORE_SECONDS, AFTER_SECONDS = 0.01, 0.04


def write_line(key: str, answer: JsonValue) -> None:
    """Leave one line in the journal of the working directory, durably."""
    line = json.dumps({"key": key, "answer": answer}) + "\n"
    file = os.open("journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line.encode())
        os.fsync(file)
    finally:
        os.close(file)


def lines_of(folder: Path) -> list[tuple[str, Any]]:
    """Return (key without the run's id, answer) of every line in a folder's journal."""
    file = folder / "journal"
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return [(short_key(line["key"]), line["answer"]) for line in lines]


def short_key(key: str) -> str:
    """Return an effect key without the id of its run, which a function that is itself the effect never learns."""
    return key.partition("/")[2] or key


class Journal:
    """Implements ``Transport``: takes its time, leaves a line, takes its time again and answers."""

    async def call(self, request: JsonObject, call: TransportCall) -> JsonValue:
        """Do it as often as it is asked: this receiver knows no keys."""
        assert call.effect_key is not None
        await asyncio.sleep(BEFORE_SECONDS)
        answer: JsonObject = {"taken": request["text"]}
        write_line(call.effect_key, answer)
        await asyncio.sleep(AFTER_SECONDS)
        return answer

    async def close(self) -> None:
        """Hold nothing."""


class Tides:
    """Implements ``Transport``: answers by the place asked for; one place it does not know, one it never answers for."""

    async def call(self, request: JsonObject, call: TransportCall) -> JsonValue:
        """Answer after a little while."""
        assert call.effect_key is None
        place = str(request["place"])
        if place == "nowhere":
            raise TransportError("there is no sea there", code="no_sea")
        await asyncio.sleep(60 if place == "ever" else len(place) % 5 / 1000)
        return {"height": sum(place.encode()) % 97}

    async def close(self) -> None:
        """Hold nothing."""
