"""An outside world that says what a test wrote down for it, and remembers what it was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import msgspec

from durum.core.canonical import JsonObject, JsonValue
from durum.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from durum.ports import TransportCall

Answer: TypeAlias = "JsonValue | Exception"
"""What one call comes to: its response, or what it raises."""


class ScriptedCall(msgspec.Struct, frozen=True):
    """One call that was made."""

    request: JsonObject
    effect_key: str | None


class ScriptedTransport:
    """Implements ``Transport`` by a list of answers, one a call in order, or by a function of the request.

    A list that is used up answers ``TransportError`` with the code ``script_ended``. Give it to a workflow as
    ``transports={"model": lambda: transport}``.
    """

    def __init__(self, answers: Sequence[Answer] | Callable[[JsonObject], Answer]) -> None:
        self._answers = answers
        self.calls: list[ScriptedCall] = []
        self.closed = 0

    async def call(self, request: JsonObject, call: TransportCall) -> JsonValue:
        """Return the next answer, or raise it."""
        place = len(self.calls)
        self.calls.append(ScriptedCall(request, call.effect_key))
        answer = self._answers(request) if callable(self._answers) else self._next(self._answers, place)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @staticmethod
    def _next(answers: Sequence[Answer], place: int) -> Answer:
        if place < len(answers):
            return answers[place]
        return TransportError(f"the script has {len(answers)} answers and was asked for one more", code="script_ended")

    async def close(self) -> None:
        """Count it."""
        self.closed += 1
