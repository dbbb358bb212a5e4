"""Runs of small workflows, driven through the service, and what can be asked of every one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from durum import Durum
from tests.engine.doubles import InstantClock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from durum import ExecutionPlan, RunConfig, Workflow
    from durum.core.canonical import JsonObject
    from durum.core.run_state import RunState
    from durum.ports import Clock, Entropy

KINDS_OF_ATTEMPTS = {"state.entered", "state.completed", "state.failed"}


class Ran:
    """One run in a store of its own."""

    def __init__(self, service: Durum, code: Workflow | ExecutionPlan, summary: JsonObject) -> None:
        self.service = service
        self.code = code
        self.id = str(summary["run_id"])
        self.status = summary["status"]
        self.summary: dict[str, Any] = dict(summary)

    @property
    def error(self) -> dict[str, Any]:
        """Why the run failed."""
        error: dict[str, Any] = self.summary["error"]
        return error

    @property
    def context(self) -> dict[str, Any]:
        """The context the run ended with."""
        context: Any = self.service.context(self.id)
        assert isinstance(context, dict)
        return context

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        """Return the envelopes of some kinds, or of all."""
        rows: list[dict[str, Any]] = [dict(row) for row in self.service.events(self.id)]
        return [row for row in rows if not kinds or row["event"]["kind"] in kinds]

    def facts(self) -> list[dict[str, Any]]:
        """Return the recorded facts."""
        return [dict(row) for row in self.service.facts(self.id)]

    def attempts(self, step: str) -> list[str]:
        """Return how each attempt of a step ended: "completed" or an error code."""
        found = []
        for row in self.events("state.completed", "state.failed"):
            event = row["event"]
            if event["state_id"].split(".")[1] == step:
                found.append("completed" if event["kind"] == "state.completed" else event["error"]["info"]["code"])
        return found

    def statuses(self) -> dict[str, str]:
        """Return step -> status."""
        return {str(row["state_id"]).split(".")[1]: str(row["status"]) for row in self.service.states(self.id)}

    def resume(self, code: Workflow | ExecutionPlan | None = None) -> Ran:
        """Drive the run on."""
        code = code or self.code
        return Ran(self.service, code, self.service.resume(self.id, code))

    def sound(self) -> Ran:
        """Check what holds for every run: the record is whole, and replaying it does the same without a live call."""
        checked = self.service.verify(self.id)
        assert checked.first_bad is None, checked.first_bad
        seqs = [row["seq"] for row in self.events()]
        assert seqs == list(range(1, len(seqs) + 1))
        again = self.service.replay(self.id, "reproduce", self.code)
        assert again.divergence is None, again.divergence
        assert again.final_snapshot_id == self.summary["final_snapshot_id"]
        return self


def run(
    code: Workflow | ExecutionPlan,
    inputs: Mapping[str, object] | None = None,
    *,
    config: RunConfig | None = None,
    clock: Clock | None = None,
    entropy: Entropy | None = None,
) -> Ran:
    """Start a run in a fresh store in memory, on a clock that is always on time."""
    service = Durum("memory://", clock=clock or InstantClock(), entropy=entropy)
    return Ran(service, code, service.start(code, inputs, config=config))


def meaning(state: RunState) -> str | None:
    """Return the final snapshot of a folded run."""
    return None if state.completed is None else state.completed.final_snapshot_id
