"""A run that is taken up again: orphans closed, waits waited to their end, changed code recorded or refused."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from durum import Durum, Io, Retry, RunConfig, StepError, Workflow
from durum.errors import NotFoundError, PlanChangedError, RunExistsError, RunOwnedError
from durum.stores.memory import MemoryBackend, MemoryStore
from tests.engine.crashes import RUN, cut, opened
from tests.engine.doubles import InstantClock
from tests.engine.runs import Ran

if TYPE_CHECKING:
    from collections.abc import Callable


def started(flow: Workflow, config: RunConfig | None = None) -> tuple[MemoryBackend, Ran]:
    """Run a workflow in a backend that can be cut."""
    backend = MemoryBackend()
    service = opened(backend)
    return backend, Ran(service, flow, service.start(flow, run_id=RUN, config=config))


def seq_of(ran: Ran, kind: str, step: str = "", nth: int = 0) -> int:
    """Return where in the log an event stands."""
    found = [row["seq"] for row in ran.events(kind) if not step or row["state_id"].split(".")[1] == step]
    return int(found[nth])


def resumed(backend: MemoryBackend, events: int, flow: Workflow, clock: InstantClock | None = None) -> Ran:
    """Cut a log off and drive it on."""
    service = opened(cut(backend, events), clock)
    return Ran(service, flow, service.resume(RUN, flow))


def two_steps(second: Callable[..., object], **options: Any) -> Workflow:
    """Return a workflow of a fixed first step and the second one given."""
    flow = Workflow("pair")

    @flow.step
    def first() -> int:
        return 1

    flow.step(name="second", **options)(second)
    return flow


def plain(first: int) -> int:
    """Add one."""
    return first + 1


def changed(first: int) -> int:
    """Add two."""
    return first + 2


def test_an_attempt_whose_owner_died_is_closed_and_does_not_count() -> None:
    """It ends as orphaned, a fresh attempt begins, and a budget of one attempt is not used up by any number of crashes."""
    flow = two_steps(plain, retry=Retry(attempts=1))
    backend, ran = started(flow)
    for crash in range(1, 7):
        service = opened(cut(backend, seq_of(ran, "state.entered", "second", crash - 1)))
        ran = Ran(service, flow, service.resume(RUN, flow))
        store = service._store
        assert isinstance(store, MemoryStore)
        backend = store._backend
        assert ran.attempts("second") == ["orphan_attempt_recovered"] * crash + ["completed"]
        assert ran.sound().context == {"first": 1, "second": 2}
    orphans = [row["event"]["error"]["info"] for row in ran.events("state.failed")]
    assert {(info["code"], info["retryable"]) for info in orphans} == {("orphan_attempt_recovered", True)}


def test_only_the_rest_of_a_wait_is_waited() -> None:
    """The recorded moment counts, not the delay: resumed before it the rest is waited, after it nothing."""
    flow = Workflow("waits")
    left = [1]

    @flow.step(retry=Retry(attempts=2, backoff="fixed", delay=timedelta(seconds=100), jitter=0))
    async def step(io: Io) -> int:
        await io.now()
        if left:
            left.pop()
            raise StepError("once", retryable=True)
        return 1

    backend, ran = started(flow)
    due = ran.events("retry.scheduled")[0]["event"]["due_ms"]
    for late, waited in ((-99_000, [due]), (-1, [due]), (0, []), (5_000, [])):
        clock = InstantClock(due + late)
        again = resumed(backend, seq_of(ran, "retry.scheduled"), flow, clock)
        assert (again.status, clock.waited) == ("completed", waited)
        assert [row["event"]["due_ms"] for row in again.events("retry.scheduled")] == [due]
        entered = again.events("state.entered")[-1]
        assert entered["ts_millis"] == max(due, due + late)


def test_unchanged_code_is_not_worth_an_event() -> None:
    """Resuming with the code it began with leaves no ``code.changed``."""
    backend, ran = started(two_steps(plain))
    again = resumed(backend, seq_of(ran, "state.completed", "first"), two_steps(plain))
    assert again.events("code.changed") == []
    assert again.summary["final_snapshot_id"] == ran.summary["final_snapshot_id"]


def test_changed_code_is_recorded_once_and_the_run_goes_on_under_it() -> None:
    """The event names the step that changed; a second resume with the same code adds none."""
    backend, ran = started(two_steps(plain))
    again = resumed(backend, seq_of(ran, "state.completed", "first"), two_steps(changed))
    (event,) = again.events("code.changed")
    assert event["event"]["steps"] == ["pair.second.main"]
    assert again.sound().context["second"] == 3
    store = again.service._store
    assert isinstance(store, MemoryStore)
    third = resumed(store._backend, seq_of(again, "state.entered", "second"), two_steps(changed))
    assert len(third.events("code.changed")) == 1
    assert third.sound().summary["final_snapshot_id"] == again.summary["final_snapshot_id"]


def test_steps_may_come_and_go_where_the_log_is_silent() -> None:
    """A step that has not run may be replaced by others, in any order; finished ones keep what they did."""
    backend, ran = started(two_steps(plain))
    flow = Workflow("pair")

    @flow.step
    def fresh() -> int:
        return 40

    @flow.step
    def third(first: int, fresh: int) -> int:
        return first + fresh

    @flow.step
    def first() -> int:
        return 1

    again = resumed(backend, seq_of(ran, "state.completed", "first"), flow)
    assert again.sound().context == {"first": 1, "fresh": 40, "third": 41}
    assert again.attempts("first") == ["completed"]


def gone() -> Workflow:
    """A completed step is missing."""
    flow = Workflow("pair")
    flow.step(name="other")(lambda: 1)
    return flow


def rewired() -> Workflow:
    """A completed step waits for another one now."""
    flow = Workflow("pair")
    flow.step(name="before")(lambda: 0)
    flow.step(name="first", after=["before"])(lambda: 1)
    flow.step(name="second")(plain)
    return flow


def acting() -> Workflow:
    """A completed step applies effects now."""
    flow = Workflow("pair")
    flow.step(name="first", effects="apply_side_effect")(lambda: 1)
    flow.step(name="second")(plain)
    return flow


def merging() -> Workflow:
    """A key that was written to merges in another way now."""
    flow = two_steps(plain)
    flow.key("first", merge="append")
    return flow


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (gone, "pair.first.main has run but is gone"),
        (rewired, "pair.first.main has run but depends on other states now"),
        (acting, "pair.first.main has run as pure but is apply_side_effect now"),
        (merging, "'first' merges in another way now"),
    ],
)
def test_code_that_does_not_fit_the_log_is_refused(make: Callable[[], Workflow], reason: str) -> None:
    """Nothing is written, nobody keeps the run, and the code it began with can still resume it."""
    backend, ran = started(two_steps(plain))
    left = cut(backend, seq_of(ran, "state.completed", "first"))
    service = opened(left)
    with pytest.raises(PlanChangedError, match=reason):
        service.resume(RUN, make())
    assert (len(left.runs[RUN].events), left.runs[RUN].head.owner) == (seq_of(ran, "state.completed", "first"), None)
    assert service.resume(RUN, two_steps(plain))["status"] == "completed"


def test_a_failed_branch_stays_failed_under_new_code() -> None:
    """Changed code does not revive what failed for good, under fail_fast nothing else either."""

    def flow_of(other: Callable[..., object]) -> Workflow:
        flow = Workflow("failed")

        @flow.step
        def bad() -> int:
            raise StepError("bad")

        flow.step(name="below")(lambda bad: bad)
        flow.step(name="beside")(other)
        return flow

    for fail_fast, beside in ((False, "completed"), (True, "skipped")):
        config = RunConfig(fail_fast=fail_fast, max_concurrency=1)
        backend, ran = started(flow_of(lambda: 1), config)
        again = resumed(backend, seq_of(ran, "state.failed", "bad"), flow_of(lambda: 2))
        assert (again.status, len(again.events("code.changed"))) == ("failed", 1)
        assert again.sound().statuses() == {"bad": "failed", "below": "skipped", "beside": beside}


@pytest.mark.parametrize("merge", ["sum", "append", lambda old, new: [*(old or []), *new]], ids=["sum", "append", "own"])
def test_a_merge_new_code_brings_joins_what_it_lets_meet(merge: Any) -> None:
    """The key was not written yet, the run goes on under the new plan: it, verifying and replaying all join it alike."""

    def flow_of(*writers: str) -> Workflow:
        flow = Workflow("merging")
        if len(writers) > 1:
            flow.key("total", merge=merge)
        flow.step(name="first")(lambda: 1)
        for writer in writers:
            flow.step(name=writer, writes="total")(lambda first: first if merge == "sum" else [first])
        flow.step(name="end", after=list(writers))(lambda total: total)
        return flow

    backend, ran = started(flow_of("one"))
    again = resumed(backend, seq_of(ran, "state.completed", "first"), flow_of("one", "two")).sound()
    assert (again.status, again.context["end"]) == ("completed", 2 if merge == "sum" else [1, 1])
    assert len(again.events("code.changed")) == 1


def test_a_merge_for_a_key_nobody_has_written_is_a_change_of_the_code() -> None:
    """No step differs, but the plan the run goes on with is the one on record; without it replay would find another merge."""

    def flow_of(*, merged: bool) -> Workflow:
        flow = two_steps(plain, writes="total")
        if merged:
            flow.key("total", merge="sum")
        return flow

    backend, ran = started(flow_of(merged=False))
    events = seq_of(ran, "state.completed", "first")
    again = resumed(backend, events, flow_of(merged=True)).sound()
    assert (again.context["total"], len(again.events("code.changed"))) == (2, 1)
    assert resumed(backend, events, flow_of(merged=False)).sound().events("code.changed") == []


def test_a_wait_for_a_retry_survives_new_code() -> None:
    """The moment stays, the step runs in its new form."""
    retry = Retry(attempts=2, backoff="fixed", delay=timedelta(seconds=7), jitter=0)

    def stumbles(first: int) -> int:
        raise StepError("old code", retryable=first > 0)

    backend, ran = started(two_steps(stumbles, retry=retry))
    due = ran.events("retry.scheduled")[0]["event"]["due_ms"]
    clock = InstantClock(due - 5)
    again = resumed(backend, seq_of(ran, "retry.scheduled"), two_steps(plain, retry=retry), clock)
    assert (again.status, again.context["second"], clock.waited) == ("completed", 2, [due])


def test_a_run_has_one_owner_and_one_beginning() -> None:
    """Who resumes what another drives, begins what there is, or names what there is not, is told so."""
    backend = MemoryBackend()
    inside: list[type[BaseException]] = []
    flow = Workflow("owned")

    @flow.step
    async def step() -> int:
        acts: list[Callable[[], object]] = [
            lambda: opened(backend).resume(RUN, flow),
            lambda: opened(backend).start(flow, run_id=RUN),
        ]
        for act in acts:
            try:
                act()
            except (RunOwnedError, RunExistsError) as error:
                inside.append(type(error))
        return 1

    service = opened(backend)
    summary = service.start(flow, run_id=RUN)
    assert (summary["status"], inside) == ("completed", [RunOwnedError, RunExistsError])
    assert backend.runs[RUN].head.owner is None
    with pytest.raises(RunExistsError):
        service.start(flow, run_id=RUN)
    with pytest.raises(NotFoundError):
        Durum("memory://").resume(RUN, flow)
