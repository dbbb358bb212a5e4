"""Judges a run that is over, in a process that never drove it: its record, its replay, its effects, and what it came to."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec.structs import asdict

from durum.app.blocking import wait
from durum.app.service import Durum
from durum.app.targets import load_target
from durum.core import events as ev
from durum.engine.artifacts import ArtifactReader
from durum.engine.recovery import load_run
from durum.testing.crash.journal import read_lines, repeated

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from durum.core.plan import ExecutionPlan
    from durum.engine.engine import Store
    from durum.engine.recovery import LoadedRun
    from durum.testing.crash.harness import Harness
    from durum.testing.crash.task import Files, Task


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that must not be."""

    kind: str
    text: str
    round: str = ""  # where it was found, and what was done to the run there
    killed: tuple[str, ...] = ()


class Came(msgspec.Struct, frozen=True):
    """What a run came to, by the state of its parent that started it; nothing in it depends on ids or times."""

    path: str
    status: str
    error: Any
    final_snapshot_id: str | None
    semantic_digest: str


COMPARED = tuple(field for field in Came.__struct_fields__ if field != "path")
"""What a run that was killed is held against undisturbed ones in, as far as these agree with each other."""


def agreed(one: Sequence[Came], other: Sequence[Came]) -> tuple[str, ...]:
    """Return in what two runs, with their child runs, came to the same; nothing if they do not have the same child runs."""
    if [came.path for came in one] != [came.path for came in other]:
        return ()
    pairs = [(asdict(a), asdict(b)) for a, b in zip(one, other, strict=True)]
    return tuple(field for field in COMPARED if all(a[field] == b[field] for a, b in pairs))


def differences(came_to: Sequence[Came], expected: Sequence[Came], compared: Sequence[str]) -> Iterator[str]:
    """Return in what a run and its child runs differ from one that nobody disturbed."""
    known = {came.path: asdict(came) for came in came_to}
    for want in map(asdict, expected):
        path = want["path"]
        got, name = known.pop(path, None), f"child run {path}" if path else "the run"
        if got is None:
            yield f"{name} is missing"
            continue
        for field in compared:
            if got[field] != want[field]:
                yield f"{name} has {field} {got[field]}, undisturbed {want[field]}"
    yield from (f"there is a child run {path}, undisturbed there is none" for path in known)


class Verdict(msgspec.Struct, frozen=True):
    """What the judge found of a run and of all its child runs."""

    faults: list[Fault]
    came_to: list[Came]


decode_verdict = msgspec.json.Decoder(Verdict).decode  # made here: see ``core/plan.py``


class _Member(NamedTuple):
    """A run of the family, with its code."""

    path: str
    run: LoadedRun
    code: Any  # the workflow
    plan: ExecutionPlan


def judge(task: Task, files: Files, harness: Harness) -> Verdict:
    """Return what is wrong with the run of a round, and what it and its child runs came to."""
    faults = [Fault("duplicate", text) for text in repeated(read_lines(files.journal))]
    came_to = []
    store = harness.open_store(files.url, create=False)
    try:
        with Durum(files.url, create=False) as service:
            for member in _family(store, task.run_id, load_target(task.target)):
                faults += [*_record_faults(member.run.envelopes), *_replay_faults(service, member)]
                summary = service.show(member.run.state.run_id)
                fields = {name: summary[name] for name in Came.__struct_fields__ if name != "path"}
                came_to.append(msgspec.convert({"path": member.path, **fields}, Came))
            faults += [Fault("check", str(text)) for text in harness.check(service, task.run_id)]
    finally:
        wait(store.close())
    return Verdict(faults, came_to)


def _family(store: Store, run_id: str, code: Any, path: str = "") -> Iterator[_Member]:  # noqa: ANN401 - a Workflow
    run = wait(load_run(store, ArtifactReader(store), run_id))
    plan = code.plan()
    yield _Member(path, run, code, plan)
    for spawned in run.state.children.values():
        child: Any = plan.implementation(run.state.plan, spawned.state_id)
        yield from _family(store, spawned.child_run_id, child.child, f"{path}/{spawned.state_id}")


def _record_faults(log: Sequence[ev.Envelope]) -> Iterator[Fault]:
    """Find epochs with two owners or out of order, and facts that were bound twice."""
    owners = [(envelope.epoch, envelope.writer) for envelope in log]
    epochs = [epoch for epoch, _ in owners]
    if epochs != sorted(epochs) or len({*owners}) != len({*epochs}):
        yield Fault("owner", f"an epoch has two owners, or comes after a later one: {sorted({*owners})}")
    facts = [envelope.event for envelope in log if isinstance(envelope.event, ev.FactRecorded)]
    bound = Counter(fact.key for fact in facts if fact.outcome == "success" and fact.scope == "run")
    for key, count in bound.items():
        if count > 1:
            yield Fault("duplicate", f"fact {key} was bound {count} times")


def _replay_faults(service: Durum, member: _Member) -> Iterator[Fault]:
    state = member.run.state
    bad = service.verify(state.run_id).first_bad
    if bad is not None:
        yield Fault("record", f"event {bad.seq}, {bad.what}: {bad.reason}")
        return
    replayed = service.replay(state.run_id, "reproduce", member.code)
    if replayed.divergence is not None:
        yield Fault("replay", f"event {replayed.divergence.seq}, {replayed.divergence.state_id}: {replayed.divergence.message}")
        return
    final = None if state.completed is None else state.completed.final_snapshot_id
    if (replayed.final_snapshot_id, replayed.live_calls) != (final, 0):
        yield Fault("replay", f"it ended with snapshot {final}, its replay with {replayed.final_snapshot_id}")
