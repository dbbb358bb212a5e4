"""Runs of the forty states that are killed again and again, and what everybody else sees of them meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import durum
from durum.engine.attempts import child_run_id
from durum.errors import NotFoundError
from durum.stores.sqlite import SqliteStore
from tests.crash import drive_forty
from tests.workflows.journal import lines_of, short_key

if TYPE_CHECKING:
    import random

ROOT = Path(__file__).parent.parent.parent
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
SPAWN = "forty.handed_on.spawn"
PATIENCE_SECONDS = 60
MOST_DRIVES = 100
LOOK_SECONDS = 0.004
EARLY_SHARE, FIRST_EARLY_SHARE = 0.1, 0.3
GONE = "acknowledged or seen, and gone"
EMPTY = "before the first event"
EFFECT = "between an intent and its outcome"
ITEMS = "among the items"
CHILD = "while the child runs"


class Logged(NamedTuple):
    """An event as the store has it, or as a process was told of it."""

    run_id: str
    seq: int
    hash: str


class Forty(NamedTuple):
    """Where a run lives: its store, the folder it works in, its id, and which store drives it."""

    store: Path
    folder: Path
    run_id: str
    double: str = "true"

    @property
    def url(self) -> str:
        """The store's URL."""
        return f"sqlite:///{self.store}"

    @property
    def run_ids(self) -> tuple[str, str]:
        """The run and its child run."""
        return self.run_id, child_run_id(self.run_id, SPAWN)

    def drive(self, verb: str) -> subprocess.Popen[bytes]:
        """Start a process, the first of a group of its own, that starts or resumes the run."""
        command = [sys.executable, drive_forty.__file__, self.url, verb, self.run_id, self.double]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def bodies(self) -> dict[Logged, dict[str, Any]]:
        """Return the events of the run and of its child, in order, read through a connection of its own."""
        try:
            store = SqliteStore(self.store, create=False)
        except NotFoundError:  # nobody has made it yet
            return {}

        async def read() -> dict[Logged, dict[str, Any]]:
            try:
                return {
                    Logged(run_id, event.seq, event.hash.hex()): json.loads(event.body)
                    for run_id in self.run_ids
                    for event in await store.read_range(run_id)
                }
            finally:
                await store.close()

        return asyncio.run(read())


class Pace(NamedTuple):
    """How long a process that nobody kills takes to its first event, and from there to its end."""

    begin_seconds: float
    run_seconds: float


@dataclass
class Story:
    """What happened to a run: kills that met a living process, where they met it, answers to gates, what went wrong."""

    kills: int = 0
    met: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


Moment = Callable[[Forty, subprocess.Popen[bytes]], None]
"""Returns when a process shall be killed, or is over."""


def live_through(forty: Forty, moment: Moment, kills: int, *, lie: bool = False) -> Story:
    """Drive a run to its end; its processes and their children are killed with SIGKILL, at most ``kills`` times.

    ``lie``: the planted mistake of saying that an effect did not happen, whatever the journal says.
    """
    story = Story()
    for _ in range(MOST_DRIVES):
        code = live(forty, moment if story.kills < kills else None, story)
        answered, status = settle(forty, story, lie=lie) if forty.bodies() else (0, "unknown")
        if code == 0 and status != "completed" and not answered:
            story.faults.append(f"it rests as {status}, and asks for nothing")
        if status == "completed" or code > 0 or (code == 0 and not answered):
            return story
    story.faults.append(f"not over after {MOST_DRIVES} drives")
    return story


def live(forty: Forty, moment: Moment | None, story: Story) -> int:
    """Drive a run in one process, killed when its moment has come if it lives then; return how the process ended."""
    known = forty.bodies()
    process = forty.drive("resume" if known else "start")
    if moment is not None:
        moment(forty, process)
        if process.poll() is None:
            known = forty.bodies()
            os.killpg(process.pid, signal.SIGKILL)
    told, said = process.communicate(timeout=PATIENCE_SECONDS)
    left = forty.bodies()
    if gone := {*known, *acknowledged(told)} - left.keys():
        story.faults.append(f"{GONE}: {sorted(gone)[:3]}")
    if process.returncode < 0:
        story.kills += 1
        story.met.update(where(left))
    elif process.returncode > 0:
        story.faults.append(f"exit {process.returncode}: {said.decode()}")
    return process.returncode


def at_random(chance: random.Random, pace: Pace) -> Moment:
    """Return moments anywhere between the first event and the end of a process, and now and then before its first event."""

    def wait(forty: Forty, process: subprocess.Popen[bytes]) -> None:
        early = chance.random() < (EARLY_SHARE if forty.bodies() else FIRST_EARLY_SHARE)
        seconds = chance.uniform(0, pace.begin_seconds if early else pace.run_seconds)
        if not early:
            until(process, bool)
        due = time.monotonic() + seconds
        until(process, lambda _: time.monotonic() >= due)

    return wait


def after_a_line(forty: Forty, process: subprocess.Popen[bytes]) -> None:
    """Wait until a process has done an effect and not been told so."""
    before = len(lines_of(forty.folder))
    until(process, lambda _: len(lines_of(forty.folder)) > before)


def until(process: subprocess.Popen[bytes], come: Callable[[bytes], bool]) -> None:
    """Wait until something has come, judged by what a process said so far, or the process is over."""
    for _ in range(round(PATIENCE_SECONDS / LOOK_SECONDS)):
        try:
            process.communicate(timeout=LOOK_SECONDS)
            return
        except subprocess.TimeoutExpired as waiting:
            if come(waiting.output or b""):
                return


def acknowledged(told: bytes) -> set[Logged]:
    """Return the events a process said were acknowledged to it; it may have been killed in the middle of a line."""
    lines = told[: told.rfind(b"\n") + 1].decode().splitlines()
    return {Logged(run_id, int(seq), hashed) for run_id, seq, hashed in (line.split() for line in lines)}


def where(left: dict[Logged, dict[str, Any]]) -> set[str]:
    """Return in the middle of what a log stops."""
    under_way: dict[str, str] = {}
    for place, body in left.items():
        event = body["body"]
        match body["kind"]:
            case "effect.intended":
                under_way[event["key"]] = EFFECT
            case "fact.recorded":
                under_way.pop(event["key"], None)
            case "state.entered" if event["state_id"].startswith("forty.height.i"):
                under_way[event["state_id"]] = ITEMS
            case "state.completed" | "state.failed":
                over = f"{event['state_id']}|"  # its calls are over with it
                under_way = {key: what for key, what in under_way.items() if not f"{key}|".startswith(over)}
            case "child.spawned":
                under_way[event["child_run_id"]] = CHILD
            case "run.completed":
                under_way.pop(place.run_id, None)
    return set(under_way.values()) if left else {EMPTY}


def settle(forty: Forty, story: Story, *, lie: bool) -> tuple[int, str]:
    """Answer every open gate of the store from the journal; return how many there were and the run's status."""
    journal = dict(lines_of(forty.folder))
    with durum.open(forty.url) as service:
        gates = service.gates()
        for gate in gates:
            key = short_key(str(gate["subject"]))
            happened = key in journal and not lie
            fields = {"happened": True, "result": journal[key]} if happened else {"happened": False}
            service.answer(str(gate["run_id"]), str(gate["gate"]), fields, actor="journal")
            story.answers[f"happened={happened}".lower()] += 1
        return len(gates), str(service.show(forty.run_id)["status"])
