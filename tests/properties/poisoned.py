"""Runs that poison goes into: what stands outside them, how they are driven, and what must hold of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from durum import Durum, ExecutionPlan, Workflow
from durum.core.canonical import canonical_json
from tests.engine.doubles import InstantClock
from tests.engine.runs import Ran
from tests.properties.poison import REFUSED, Case

if TYPE_CHECKING:
    from collections.abc import Callable

RUN = "01890a5d-ac96-774b-bcce-b302099a8057"
REFUSALS = {"not_canonical_json", "context_serialization", "invalid_outcome"}


class Answers:
    """A transport that does what the test's function does with a request."""

    def __init__(self, answer: Callable[[Any], object]) -> None:
        self._answer = answer
        self.calls = 0

    async def call(self, request: Any, call: object) -> Any:
        """Answer."""
        del call
        self.calls += 1
        return self._answer(request)

    async def close(self) -> None:
        """Nothing is held."""


class Stop:
    """Interrupts the process once, as Ctrl-C does, so that what came before is read back by a resume."""

    def __init__(self) -> None:
        self._left = 1

    def here(self) -> None:
        """Interrupt, the first time."""
        if self._left:
            self._left = 0
            raise KeyboardInterrupt


def same(found: object, wanted: object) -> bool:
    """Tell whether two JSON values are one, true and 1 apart."""
    return canonical_json(found) == canonical_json(wanted)


def check(case: Case, ran: Ran, found: Callable[[], object]) -> None:
    """Hold a run against what the corpus says of the value that came in by one of its steps."""
    if case.reads_back is REFUSED:
        assert ran.error["code"] in REFUSALS, ran.error
        assert len(ran.error["message"]) < 1000
    else:
        assert ran.status == "completed", ran.error
        assert same(found(), case.reads_back)
    ran.sound()


def drive(code: Workflow | ExecutionPlan, inputs: dict[str, object] | None = None) -> Ran:
    """Run code that is interrupted once, and resume it."""
    service = Durum("memory://", clock=InstantClock())
    try:
        summary = service.start(code, inputs, run_id=RUN)
    except KeyboardInterrupt:
        summary = service.resume(RUN, code)
    return Ran(service, code, summary)
