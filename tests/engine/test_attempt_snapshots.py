"""What a failed attempt had staged is kept where its state asks for that: to look at, never to go on from."""

from __future__ import annotations

from typing import Any

import pytest

from durum import RunConfig, StepError
from durum.core.config import FixedBackoff, RetryPolicy
from durum.core.state import SnapshotPolicy
from tests.engine.runs import run
from tests.engine.states import Does, plan_of, writes

TWICE = RunConfig(retry_policy=RetryPolicy(2, FixedBackoff(0), 0.0))


class Keeps(Does):
    """A state that asks for something to be kept when it fails."""

    snapshot: object = SnapshotPolicy.ALWAYS


def half_done(ctx: Any, io: object, rec: object) -> None:
    """Write something, small and large, and fail."""
    del io, rec
    ctx.write("half", {"done": ctx.read("before")})
    ctx.write("large", ["x" * 40] * 100)
    raise StepError("halfway", retryable=True)


def test_what_a_failed_attempt_had_staged_can_be_looked_at() -> None:
    """At its event only; before, after and at the end of the run the context is what was completed."""
    ran = run(plan_of({"one": writes(before=1), "two": Keeps(half_done)}, {"two": "one"}), config=TWICE).sound()
    failures = ran.events("state.failed")
    assert [row["event"]["failure_snapshot_id"] is not None for row in failures] == [True, True]
    for row in failures:
        found: Any = ran.service.context(ran.id, at=row["seq"])
        assert found == {"before": 1, "half": {"done": 1}, "large": ["x" * 40] * 100}
        assert ran.service.context(ran.id, at=row["seq"] - 1) == {"before": 1}
        assert ran.service.context(ran.id, at=row["seq"] + 1) == {"before": 1}
    assert ran.context == {"before": 1}


def test_a_retry_begins_from_the_base_and_not_from_what_failed() -> None:
    """The diagnostic snapshot is no boundary."""
    seen: list[bool] = []

    def again(ctx: Any, io: object, rec: object) -> None:
        seen.append(ctx.has("half"))
        if seen == [False]:
            half_done(ctx, io, rec)
        ctx.write("end", 1)

    ran = run(plan_of({"two": Keeps(again)}), config=TWICE)
    assert (ran.status, seen, ran.context) == ("completed", [False, False], {"end": 1})
    seen.clear()
    (failed,) = ran.events("state.failed")
    assert failed["event"]["failure_snapshot_id"]
    assert ran.service.verify(ran.id).first_bad is None


@pytest.mark.parametrize("word", [None, "never", SnapshotPolicy.NEVER, SnapshotPolicy.ON_SUCCESS, 1])
def test_nothing_is_kept_unasked(word: object) -> None:
    """Only ALWAYS asks for it."""
    state = Keeps(half_done)
    state.snapshot = word
    ran = run(plan_of({"two": state}), config=TWICE).sound()
    assert [row["event"].get("failure_snapshot_id") for row in ran.events("state.failed")] == [None, None]


class Lies:
    """Raises whatever it is compared with."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    __hash__ = None  # type: ignore[assignment]


def appended_to_no_list(ctx: Any, io: object, rec: object) -> None:
    """Stage what cannot be committed, and fail for another reason."""
    ctx.append("items", [1])
    half_done(ctx, io, rec)


@pytest.mark.parametrize("state", ["lies", "cannot be committed"])
def test_a_snapshot_that_fails_changes_nothing_about_the_failure(state: str) -> None:
    """The failure is recorded as it would be without."""
    keeps = Keeps(half_done if state == "lies" else appended_to_no_list)
    if state == "lies":
        keeps.snapshot = Lies()
    ran = run(plan_of({"two": keeps}, merges={"items": "append"}), {"items": "no list"}).sound()
    assert ran.error["message"] == "halfway"
    assert ran.events("state.failed")[0]["event"].get("failure_snapshot_id") is None
