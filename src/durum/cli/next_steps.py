"""What to type next for a run that is not over: answers to its gates and those of its children, and the resume behind them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from durum.cli.gate_words import asked, gate_text
from durum.cli.words import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from durum.app.service import Durum
    from durum.cli.verb import Session
    from durum.core.canonical import JsonObject

OVER = frozenset({"completed", "failed", "cancelled", "compensated", "partially_compensated"})
_MOST_GATES = 3
_FILE = "FILE.py"  # where a run's code is, is not in the store: a blank to fill


def is_over(summary: JsonObject) -> bool:
    """Tell whether a run has ended."""
    return summary["status"] in OVER


def answer_commands(session: Session, gates: Sequence[JsonObject]) -> list[list[tuple[str, str]]]:
    """Return for each gate the commands that answer it, each with what it says."""
    return [_answers(session, gate) for gate in gates]


def _answers(session: Session, gate: JsonObject) -> list[tuple[str, str]]:
    if gate["kind"] != "unknown_effect":
        return []
    words = ("answer", str(gate["run_id"]), str(gate["gate"]), "--field")
    needed = [field["name"] for field in _objects(gate.get("fields")) if field.get("needed_if")]
    more = [word for name in needed for word in ("--field", f"{name}=JSON")]  # a blank to fill
    return [
        ("it happened", session.command(*words, "happened=true", *more)),
        ("it did not", session.command(*words, "happened=false")),
    ]


def gates_below(service: Durum, summary: JsonObject) -> list[JsonObject]:
    """Return the open gates of a run and of the child runs it waits for."""
    return [gate for run in _family(service, summary) for gate in _objects(run["gates"])]


def _family(service: Durum, summary: JsonObject) -> Iterator[JsonObject]:
    from durum.errors import NotFoundError

    if is_over(summary):
        return
    yield summary
    children = summary["children"]
    for child in children if isinstance(children, list) else ():
        with contextlib.suppress(NotFoundError):  # it has not begun
            yield from _family(service, service.show(str(child)))


def root_of(service: Durum, summary: JsonObject) -> JsonObject:
    """Return the run that is resumed to drive this one on: the first of its parents, of those that are not over."""
    from durum.errors import NotFoundError

    with contextlib.suppress(NotFoundError):  # its parent is in another store
        while summary["parent"]:
            parent = service.show(str(summary["parent"]))
            if is_over(parent):
                break
            summary = parent
    return summary


def resume_command(session: Session, run_id: str, target: str | None) -> str:
    """Return the whole command that drives a run on; without a target the configured one, else a blank to fill."""
    named = () if target is None and _is_configured() else ("--with", target or _FILE)
    return session.command("resume", run_id, *named)


def _is_configured() -> bool:
    from durum.app.targets import configured_targets
    from durum.errors import ConfigError

    with contextlib.suppress(ConfigError):
        return bool(configured_targets())
    return False


class NextSteps:
    """What stands between a run and its going on."""

    def __init__(self, session: Session, service: Durum, summary: JsonObject, target: str | None = None) -> None:
        self._session = session
        self._summary = summary
        self.gates = gates_below(service, summary)
        self.shown = asked(service, self.gates[:_MOST_GATES])
        root = root_of(service, summary)
        self.driven = bool(root["driven"])
        self.over = is_over(root)
        self.resume = resume_command(session, str(root["run_id"]), target)

    def lines(self) -> list[tuple[str, str]]:
        """Return labelled lines: what the run waits for, and the commands to type."""
        lines = [("waits for", text) for text in self._paused()]
        for gate, answers in zip(self.shown, answer_commands(self._session, self.shown), strict=True):
            lines += [("waits for", gate_text(gate)), *answers]
        if len(self.gates) > _MOST_GATES:
            lines.append(("and more", self._session.command("gates", str(self._summary["run_id"]))))
        return [*lines, self._way_on()]

    def _paused(self) -> list[str]:
        """Return who paused it; what its gates ask stands with them."""
        gates = "; ".join(str(gate["prompt"]) for gate in _objects(self._summary["gates"]))
        paused = str(self._summary["paused"] or "")
        return [one_line(paused)] if paused and paused != gates else []

    def _way_on(self) -> tuple[str, str]:
        if not self.driven:
            return "then resume" if self.gates else "resume", self.resume
        if self._summary["status"] == "paused" and not self._summary["driven"]:  # a child that its parent's process let go
            return "when its process has ended", self.resume
        return "follow", self._session.command("events", str(self._summary["run_id"]), "--follow")


def _objects(value: object) -> list[JsonObject]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
