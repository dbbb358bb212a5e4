"""The outside of a simulated world: a transport whose requests travel on when their sender dies, and a journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from durum.errors import TransportError
from tests.simulation.loop import current_process
from tests.simulation.record import Performed

if TYPE_CHECKING:
    import asyncio

    from durum.core.canonical import JsonObject, JsonValue
    from durum.ports import TransportCall
    from tests.simulation.world import World

SURE = "sure"
"""A request with this field never fails by chance: its step would catch the error and take another path."""


class Outside:
    """Implements ``Transport``: reads are answered by the request alone; an effect leaves a line in the journal every time.

    A request leaves the process in the very call, right behind the engine's look at its lease: what hung between the two could
    act late, and nothing on its own side could keep it from that.
    """

    def __init__(self, world: World) -> None:
        self._world = world

    async def call(self, request: JsonObject, call: TransportCall) -> JsonValue:
        """Send a request and wait for its answer; what happens to the sender meanwhile does not stop it."""
        world = self._world
        answer: asyncio.Future[JsonValue] = world.loop.create_future()
        world.tell(f"asks outside {call.effect_key or ''} {request}")
        if SURE not in request and world.troubles.failures_left > 0 and world.chance(world.troubles.fails):
            world.troubles.failures_left -= 1
            if world.random.random() < 0.5:
                world.tell("the outside is not reached")
                raise TransportError("nobody answers", code="http_connect", retryable=True)
            answer.set_exception(TransportError("the answer was lost", code="http_timeout", retryable=True))
            answer.exception()
        if "saw" in request:
            world.record.witnessed.append(world.now)
        sender = current_process.get()
        world.loop.call_later(world.delay(), self._arrive, request, call.effect_key, answer, sender, context=world.context)
        result = await answer
        await world.may_stop()
        return result

    def _arrive(self, request: JsonObject, key: str | None, answer: asyncio.Future[Any], sender: Any) -> None:
        """Do what is asked, and send the answer on its way."""
        world = self._world
        result: JsonValue = {"answer": sum(str(request["ask"]).encode()) % 97}
        if "of" in request:
            result = {"found": next((line.answer for line in world.record.journal if line.key == request["of"]), None)}
        if key is not None:
            result = {"done": request["ask"]}
            done = Performed(world.now, key, dict(request), result, idempotent=bool(request.get("again")))
            world.record.journal.append(done)
            world.tell(f"performed {key} {request}")
            if world.troubles.deaths_left > 0 and world.chance(world.troubles.dies * 4):
                world.kill(sender)
        if request["ask"] == "never":
            return
        world.loop.call_later(world.delay(), self._answer, answer, request, result, context=world.context)

    @staticmethod
    def _answer(answer: asyncio.Future[Any], request: JsonObject, result: JsonValue) -> None:
        if answer.done():
            return
        if request["ask"] == "nowhere":
            answer.set_exception(TransportError("there is no such place", code="no_place"))
        else:
            answer.set_result(result)

    async def close(self) -> None:
        """Hold nothing."""
