"""One run in a store of its own: driven, killed, answered and driven on until it is over, and looked at after every death."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from durum.engine.artifacts import ArtifactReader
from durum.engine.recovery import load_run
from durum.errors import DurumError, NotFoundError
from durum.history import views
from durum.stores.sqlite import SqliteStore
from durum.testing.crash.judge import Fault, decode_verdict
from durum.testing.crash.moments import moments
from durum.testing.crash.task import UNKNOWN_EFFECT, Crossing, Ended, Files, Kill, Task, decode_answers

if TYPE_CHECKING:
    from pathlib import Path

    from durum.core.canonical import JsonObject
    from durum.testing.crash.judge import Came
    from durum.testing.crash.nursery import Nursery
    from durum.testing.crash.plans import NextKill
    from durum.testing.crash.task import Verb

_MOST_PROCESSES = 200
_MOST_UNASKED = 3
_OVER = frozenset({"completed", "failed", "cancelled"})
_SHOWN = 300


class Logged(NamedTuple):
    """An event as the store has it, or as a process was told of it."""

    run_id: str
    seq: int
    hash: str


class Round:
    """A run and what happened to it. ``task`` says what is run and where; its verb and kill are set for each process."""

    def __init__(self, name: str, nursery: Nursery, task: Task, folder: Path) -> None:
        self.name = name
        self.files = Files(folder)
        self.faults: list[Fault] = []
        self.killed: list[str] = []  # where
        self.met: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()
        self.crossings: list[list[Crossing]] = []  # of each process but the judge's
        self.seconds: list[float] = []  # of each process that drove the run
        self.came_to: list[Came] = []
        self._nursery = nursery
        self._task = task
        self._log: dict[Logged, JsonObject] = {}
        self._status = "not begun"
        self._gates: list[JsonObject] = []
        self._was_open: list[str] = []
        self._unasked = 0  # deaths that nobody here asked for

    def live(self, next_kill: NextKill) -> None:
        """Drive the run to its end, judge it, and keep what is wrong."""
        for _ in range(_MOST_PROCESSES):
            ended = self._drive(next_kill)
            if self.faults:
                return
            if self._status in _OVER:
                self._judge()
                return
            if ended.code == 0 and not self._is_answered(next_kill):
                return
        self._wrong("endless", f"the run was not over after {_MOST_PROCESSES} processes")

    def _wrong(self, kind: str, text: str) -> None:
        self.faults.append(Fault(kind, text, self.name, tuple(self.killed)))

    # --- processes ----------------------------------------------------------------------------------------------------

    def _do(self, verb: Verb, kill: Kill | None = None) -> Ended:
        """Have a process do something; one that did not end as it should is a fault."""
        self.files.result.unlink(missing_ok=True)
        ended = self._nursery.run(msgspec.structs.replace(self._task, verb=verb, kill=kill))
        if ended.hung:
            self._wrong("hung", f"a process that was to {verb} it was not over after {ended.seconds:.0f} s")
        elif ended.code not in {0, -signal.SIGKILL}:
            self._wrong("refused", f"a process that was to {verb} it ended with: {self._last_words()}")
        return ended

    def _last_words(self) -> str:
        lines = self.files.said.read_text("utf-8", "replace").strip().splitlines()
        return lines[-1][:_SHOWN] if lines else "nothing"

    def _drive(self, next_kill: NextKill) -> Ended:
        verb: Verb = "resume" if self._log else "start"
        kill = next_kill(verb)
        ended = self._do(verb, kill)
        self.seconds.append(ended.seconds)
        self._inspect(ended)
        self._unasked += kill is None and ended.code < 0
        if self._unasked >= _MOST_UNASKED:
            self._wrong("endless", f"its process died {self._unasked} times though nobody here killed it")
        return ended

    def _is_answered(self, next_kill: NextKill) -> bool:
        """Answer what a parked run asks for; False if it waits for anything that cannot be answered here."""
        gates = self._gates
        if not gates or any(gate["kind"] != UNKNOWN_EFFECT for gate in gates):
            asks = "; ".join(str(gate["prompt"]) for gate in gates) or "nothing"
            self._wrong("parked", f"it is {self._status} and waits for: {asks}")
            return False
        ended = self._do("answer", next_kill("answer"))
        self._inspect(ended)
        if ended.code < 0 or self.faults:
            return not self.faults
        answers = decode_answers(self.files.result.read_bytes())
        self.answers.update(happened=answers.happened, did_not_happen=answers.did_not)
        if answers.open and not answers.happened + answers.did_not and answers.open == self._was_open:
            self._wrong("unanswered", f"nobody can tell what became of {'; '.join(answers.open)}")
            return False
        self._was_open = answers.open
        return True

    def _judge(self) -> None:
        if self._do("judge").code == 0:
            verdict = decode_verdict(self.files.result.read_bytes())
            self.came_to = verdict.came_to
            for fault in verdict.faults:
                self._wrong(fault.kind, fault.text)

    # --- looking ------------------------------------------------------------------------------------------------------

    def _inspect(self, ended: Ended) -> None:
        """See that nothing is gone that was there or was acknowledged, and remember where a kill landed."""
        crossings = _lines(self.files.crossings)
        self.crossings.append(crossings)
        left = asyncio.run(self._read())
        if gone := {*self._log, *self._acknowledged()} - left.keys():
            self._wrong("lost", f"acknowledged or seen, and gone: {_shown(gone)}")
        for run_id in {logged.run_id for logged in left}:
            seqs = [logged.seq for logged in left if logged.run_id == run_id]
            if seqs != list(range(1, len(seqs) + 1)):
                self._wrong("gap", f"the log of {run_id} has gaps")
        self._log = left
        if ended.code < 0 and not ended.hung:
            self.killed.append(str(crossings[-1]) if crossings else "before the first boundary")
            self.met.update(moments(left.values()))

    async def _read(self) -> dict[Logged, JsonObject]:
        """Return the events of every run of the store, in order, and take in how the run stands; nothing is tidied up."""
        try:
            store = SqliteStore(self.files.store, create=False)
        except NotFoundError:  # nobody has made it yet
            return {}
        found: dict[Logged, Any] = {}
        self._gates = []
        try:
            for head in reversed(await store.heads()):
                for event in await store.read_range(head.run_id):
                    found[Logged(head.run_id, event.seq, event.hash.hex())] = msgspec.json.decode(event.body)
                run = await load_run(store, ArtifactReader(store), head.run_id)
                self._gates += views.gates(run)
                if head.run_id == self._task.run_id:
                    self._status = run.state.status().value
        except DurumError as error:
            self._wrong("record", str(error))
        finally:
            await store.close()
        return found

    def _acknowledged(self) -> set[Logged]:
        with contextlib.suppress(FileNotFoundError):
            whole = self.files.acknowledged.read_text()
            lines = [line.split() for line in whole[: whole.rfind("\n") + 1].splitlines()]
            return {Logged(run_id, int(seq), hashed) for run_id, seq, hashed in lines}
        return set()


def _lines(file: Path) -> list[Crossing]:
    with contextlib.suppress(FileNotFoundError):
        return [msgspec.json.decode(line, type=Crossing) for line in file.read_bytes().splitlines()]
    return []


def _shown(gone: set[Logged]) -> str:
    texts = [f"event {logged.seq} of {logged.run_id}" for logged in sorted(gone)]
    return ", ".join(texts[:3]) + (f" and {len(texts) - 3} more" if len(texts) > 3 else "")  # noqa: PLR2004 - three are enough
