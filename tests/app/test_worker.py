"""What a worker takes up and in which order, and what it leaves alone."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

import durum
from durum import Workflow
from durum.app import worker
from durum.app.run_code import Codes
from durum.errors import ConfigError, TargetError
from durum.stores.memory import MemoryBackend, MemoryStore
from tests.app.working import (
    acting,
    handed_in,
    plain,
    run_id,
    said,
    statuses,
    stopped,
    worked,
)
from tests.engine.crashes import cut, opened
from tests.engine.families import doubling, starting

if TYPE_CHECKING:
    from pathlib import Path


PATIENCE_SECONDS = 30


@pytest.fixture(autouse=True)
def _short_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for the next look."""
    monkeypatch.setattr(worker, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(worker, "_FIRST_DELAY_SECONDS", 0.02)


def test_what_was_handed_in_is_driven_to_its_end() -> None:
    """Each is claimed and completed once; the record says nothing of how it was started."""
    service, flow = opened(MemoryBackend()), plain()
    ids = handed_in(service, flow, 3)
    told = worked(service, [flow])
    assert sorted(said(told)) == sorted(
        [(event, identity, "completed" * (event == "over")) for identity in ids for event in ("claimed", "over")]
    )
    assert {report.op_id for report in told} == {"flow"}
    assert not any(report.adopted for report in told)
    assert set(statuses(service).values()) == {"completed"}
    assert all(service.replay(identity, "reproduce", flow).divergence is None for identity in ids)
    assert worked(service, [flow]) == []


def test_orphans_come_before_what_was_handed_in_and_are_said_to_be_adopted() -> None:
    """Whatever order they were made in, with room for one at a time."""
    backend, flow = MemoryBackend(), plain()
    new, old = handed_in(opened(backend), flow, 2)
    left = cut(backend, 1, old)
    backend.runs[old] = left.runs[old]
    told = worked(opened(backend), [flow], concurrency=1)
    assert [(report.event, report.run_id, report.adopted) for report in told] == [
        ("claimed", old, True),
        ("over", old, False),
        ("claimed", new, False),
        ("over", new, False),
    ]


def test_as_many_as_there_is_room_for_run_side_by_side() -> None:
    """No more at any time, and no fewer while more are due."""
    under_way, most = 0, 0
    flow = Workflow("flow")

    @flow.step
    async def step() -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.005)
        under_way -= 1

    service = opened(MemoryBackend())
    handed_in(service, flow, 12)
    worked(service, [flow], concurrency=5)
    assert most == 5
    with pytest.raises(ConfigError, match="at least one run"):
        worked(service, [flow], concurrency=0)


def test_of_several_workers_each_run_is_driven_by_one(tmp_path: Path) -> None:
    """They look at the same runs at the same time; every step is done once, in one epoch after the one it was handed in."""
    done = list[str]()
    flow = plain(do=lambda: done.append("x"))
    services = [durum.open(f"sqlite:///{tmp_path}/durum.db") for _ in range(3)]
    ids = handed_in(services[0], flow, 40)
    threads = [threading.Thread(target=worked, args=(service, [flow])) for service in services]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert len(done) == len(ids)
    for identity in ids:
        epochs = [row["epoch"] for row in services[0].events(identity)]
        assert epochs == [1] + [epochs[-1]] * (len(epochs) - 1)
        assert services[0].verify(identity).first_bad is None
    for service in services:
        service.close()


def test_what_somebody_else_drove_since_the_last_look_is_not_touched() -> None:
    """A run that was due then may wait for a word by now: its epoch tells."""
    backend = MemoryBackend()
    first, second = run_id(0), run_id(1)
    flow = Workflow("flow")

    @flow.step
    async def drives_the_other() -> None:
        other = MemoryStore(backend)
        await other.release(second, (await other.claim(second)).epoch)

    handed_in(opened(backend), flow, 2)
    told = worked(opened(backend), [flow], concurrency=1)
    assert said(told) == [("claimed", first, ""), ("over", first, "completed")]
    assert backend.runs[second].head.epoch == 2


def test_a_run_nobody_named_the_code_of_is_left_alone() -> None:
    """It is said once a workflow, and nothing is claimed; another worker may have the code."""
    backend = MemoryBackend()
    mine, foreign = plain("mine"), plain("foreign")
    ids = handed_in(opened(backend), foreign, 2)
    opened(backend).start(mine, run_id=run_id(9), detach=True)
    told = worked(opened(backend), [mine])
    assert [report.event for report in told] == ["left_alone", "claimed", "over"]
    assert told[0].message == "runs of foreign are left alone, for none of the targets holds it"
    assert [backend.runs[identity].head.epoch for identity in ids] == [1, 1]
    worked(opened(backend), [foreign])
    assert set(statuses(opened(backend)).values()) == {"completed"}


def test_the_version_a_run_was_started_with_is_driven_if_it_was_named() -> None:
    """Else another of the same name may do."""
    backend, ran = MemoryBackend(), list[str]()

    def versioned(version: str) -> Workflow:
        flow = Workflow("flow", version=version)

        @flow.step
        def one() -> None:
            ran.append(version)

        return flow

    one, two = versioned("1"), versioned("2")
    handed_in(opened(backend), two, 1)
    worked(opened(backend), [one, two])
    opened(backend).start(one, run_id=run_id(1), detach=True)
    worked(opened(backend), [two])
    assert ran == ["2", "2"]


def test_a_worker_without_code_says_so() -> None:
    """It could drive nothing."""
    with pytest.raises(TargetError, match="no code was named"):
        worked(opened(MemoryBackend()), [])


def test_children_of_named_workflows_can_be_driven_too() -> None:
    """However deep; what was named twice counts once."""
    flow = plain()
    codes = Codes([starting(starting(doubling(), "middle"), "top"), flow, flow])
    assert sorted(codes._known) == ["flow", "kid", "middle", "top"]
    assert [len(known) for known in codes._known.values()] == [1] * 4


def test_what_waits_for_a_word_is_not_driven_until_it_comes() -> None:
    """A gate and a pause rest; the answer and the resume make the run go on, whoever gives them."""
    backend = MemoryBackend()
    flow = acting()
    service = opened(backend)
    ids = handed_in(service, flow, 1)
    with pytest.raises(KeyboardInterrupt):
        worked(service, [flow])
    backend.alive.clear()
    assert said(worked(service, [flow])) == [("claimed", ids[0], ""), ("rests", ids[0], "paused")]
    epoch = backend.runs[ids[0]].head.epoch
    assert worked(service, [flow]) == []
    assert backend.runs[ids[0]].head.epoch == epoch
    (gate,) = service.gates()
    service.answer(ids[0], str(gate["gate"]), {"happened": True, "result": "sent"}, actor="ann")
    service.pause(ids[0], actor="ann")
    assert worked(service, [flow]) == []
    assert statuses(service) == {ids[0]: "paused"}
    service.resume(ids[0], flow, actor="ann", stop=stopped())
    assert said(worked(service, [flow])) == [("claimed", ids[0], ""), ("over", ids[0], "completed")]


def test_an_answer_is_enough_to_make_a_run_go_on() -> None:
    """Whoever answers need not drive it: it is due from then on."""
    backend, flow = MemoryBackend(), acting()
    service = opened(backend)
    (identity,) = handed_in(service, flow, 1)
    with pytest.raises(KeyboardInterrupt):
        worked(service, [flow])
    backend.alive.clear()
    worked(service, [flow])
    (gate,) = service.gates()
    service.answer(identity, str(gate["gate"]), {"happened": False}, actor="ann")
    assert said(worked(service, [flow])) == [("claimed", identity, ""), ("over", identity, "completed")]
