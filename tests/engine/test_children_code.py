"""Parent and child are replayed each alone, and changed code of a child goes on or is refused; the parent is not lost."""

from __future__ import annotations

import pytest

from durum import Io, Workflow
from durum.engine.attempts import child_run_id
from durum.errors import PlanChangedError
from durum.stores.memory import MemoryBackend
from tests.engine.crashes import RUN, opened
from tests.engine.families import Number, doubling, filmed, rows, starting, three_deep

CHILD = child_run_id(RUN, "parent.given.spawn")


def test_parent_and_child_are_replayed_alone_and_offline() -> None:
    """Each from its own record; two families on the same inputs mean the same, for no id is in what they went by."""
    flow, backend = three_deep(), MemoryBackend()
    service = opened(backend)
    first, second = service.start(flow, {"n": 3}), service.start(flow, {"n": 3}, run_id=RUN)
    assert first["semantic_digest"] == second["semantic_digest"]
    codes = {"kid": doubling(), "middle": starting(doubling(), "middle"), "top": flow}
    digests: dict[str, set[object]] = {}
    for run in service.runs():
        op_id, run_id = str(run["op_id"]), str(run["run_id"])
        digests.setdefault(op_id, set()).add(run["semantic_digest"])
        assert service.verify(run_id).first_bad is None
        for mode in ("verify", "reproduce"):
            again = service.replay(run_id, mode, codes[op_id])
            assert (again.divergence, again.live_calls) == (None, 0)
            assert again.final_snapshot_id == run["final_snapshot_id"]
    assert {op_id: len(found) for op_id, found in digests.items()} == {"top": 1, "middle": 2, "kid": 2}
    for child in [run_id for run_id in backend.runs if run_id != first["run_id"]]:
        del backend.runs[child]
    alone = service.replay(str(first["run_id"]), "reproduce", flow)
    assert (alone.divergence, alone.final_snapshot_id) == (None, first["final_snapshot_id"])


def test_damaged_inputs_of_a_child_are_found_in_its_parent() -> None:
    """They are named by the parent's log, so verifying it reads them."""
    backend = MemoryBackend()
    service = opened(backend)
    service.start(starting(doubling()), {"n": 3}, run_id=RUN)
    (spawned,) = rows(service, RUN, "child.spawned")
    backend.artifacts[spawned["inputs_id"]] = b'{"n":4}'
    assert opened(backend).verify(RUN).first_bad is not None


def changed(step: str) -> Workflow:
    """Return the child's workflow with another step."""
    kid = Workflow("kid", inputs=Number)

    @kid.step(name=step)
    def other(n: int) -> int:
        return n * 3

    @kid.step
    def doubled(n: int) -> int:
        return n * 4

    return kid


def begun() -> MemoryBackend:
    """Return a store whose process died when the child's first step was over and its second was not."""
    _, film = filmed(starting(doubling()), RUN, {"n": 5})
    for left in film:
        if CHILD in left.runs and len(rows(opened(left), CHILD, "state.completed")) == 1:
            return left
    raise AssertionError


def test_changed_code_of_a_child_goes_on_where_it_fits() -> None:
    """The change stands in the child's log, and the parent goes on with what the new code made of it."""
    backend = begun()
    service = opened(backend)
    edited = Workflow("kid", inputs=Number)

    @edited.step
    async def read(n: int, io: Io) -> int:
        await io.random_bytes(1)
        return n

    @edited.step
    def doubled(read: int) -> int:
        return read * 20

    assert service.resume(RUN, starting(edited))["status"] == "completed"
    assert (service.context(RUN, "end"), len(rows(service, CHILD, "code.changed"))) == (100, 1)


def test_changed_code_of_a_child_that_does_not_fit_is_refused_and_the_parent_kept() -> None:
    """The error names the child and the state; with the code it began with, the same parent ends as it should."""
    service = opened(begun())
    before = rows(service, CHILD)
    with pytest.raises(PlanChangedError, match=rf"run {CHILD} .*kid\.read\.main has run but is gone"):
        service.resume(RUN, starting(changed("other")))
    assert service.show(RUN)["status"] == "interrupted"
    assert rows(service, CHILD) == before
    assert service.resume(RUN, starting(doubling()))["status"] == "completed"
    assert service.context(RUN, "end") == 10


def test_a_child_that_had_not_begun_is_not_another_workflow_now() -> None:
    """The log says which workflow was started; code that starts another one is refused."""
    _, film = filmed(starting(doubling()), RUN, {"n": 5})
    left = next(left for left in film if "child.spawned" in {event["kind"] for event in rows(opened(left), RUN)})
    assert CHILD not in left.runs
    service = opened(left)
    with pytest.raises(PlanChangedError, match=r"parent\.given\.spawn started kid, but it starts cat now"):
        service.resume(RUN, starting(doubling("cat")))
    assert service.resume(RUN, starting(doubling()))["status"] == "completed"
