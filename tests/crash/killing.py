"""Runs of the forty states that are killed again and again, and what everybody else sees of them meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
from collections import Counter
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
    from collections.abc import Collection

ROOT = Path(__file__).parent.parent.parent
SPAWN = "forty.handed_on.spawn"
PATIENCE_SECONDS = 60
MOST_DRIVES = 200
EARLY_SHARE = 0.1
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
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
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


def live_through(forty: Forty, chance: random.Random, kills: int, pace: Pace, *, lie: bool = False) -> Story:
    """Drive a run to its end, killed at most ``kills`` times at random moments of its processes' lives.

    ``lie``: the planted mistake of saying that an effect did not happen, whatever the journal says.
    """
    story = Story()
    for _ in range(MOST_DRIVES):
        process = forty.drive("resume" if forty.bodies() else "start")
        if story.kills < kills:
            told, said = live_until(forty, process, chance, pace, story)
        else:
            told, said = process.communicate(timeout=PATIENCE_SECONDS)
        left = forty.bodies()
        keep_account(story, left, acknowledged(told))
        if process.returncode < 0:
            story.kills += 1
            story.met.update(where(left))
        elif process.returncode > 0:
            story.faults.append(f"exit {process.returncode}: {said.decode()}")
            return story
        if left and settle(forty, story, lie=lie) == "completed":
            return story
    story.faults.append(f"not over after {MOST_DRIVES} drives")
    return story


def live_until(
    forty: Forty, process: subprocess.Popen[bytes], chance: random.Random, pace: Pace, story: Story
) -> tuple[bytes, bytes]:
    """Kill a process and its children with SIGKILL at a random moment, unless it is over by then; return what it said."""
    begun = b""
    seconds = chance.uniform(0, pace.run_seconds)
    if chance.random() < EARLY_SHARE:
        seconds = chance.uniform(0, pace.begin_seconds)
    else:
        begun = first_words(process)
    try:
        told, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        seen = forty.bodies()
        os.killpg(process.pid, signal.SIGKILL)
        told, said = process.communicate(timeout=PATIENCE_SECONDS)
        keep_account(story, forty.bodies(), seen)
    return begun + told, said


def first_words(process: subprocess.Popen[bytes]) -> bytes:
    """Wait until a process tells of its first event, or is over, and return what it said so far."""
    assert process.stdout is not None
    select.select([process.stdout], [], [], PATIENCE_SECONDS)
    return process.stdout.read(1 << 16) or b""


def keep_account(story: Story, left: Collection[Logged], known: Collection[Logged]) -> None:
    """Note which events somebody knew of are gone."""
    if gone := sorted(set(known) - set(left)):
        story.faults.append(f"acknowledged or seen, and gone: {gone[:3]}")


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
                under_way.pop(event["state_id"], None)
            case "child.spawned":
                under_way[event["child_run_id"]] = CHILD
            case "run.completed":
                under_way.pop(place.run_id, None)
    return set(under_way.values()) if left else {EMPTY}


def settle(forty: Forty, story: Story, *, lie: bool) -> str:
    """Answer every open gate of the store from the journal; return the run's status."""
    journal = dict(lines_of(forty.folder))
    with durum.open(forty.url) as service:
        for gate in service.gates():
            key = short_key(str(gate["subject"]))
            happened = key in journal and not lie
            fields = {"happened": True, "result": journal[key]} if happened else {"happened": False}
            service.answer(str(gate["run_id"]), str(gate["gate"]), fields, actor="journal")
            story.answers[f"happened={happened}".lower()] += 1
        return str(service.show(forty.run_id)["status"])
