"""What states a step stands for: their ids, their edges, and what people see of them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypedDict

from hypothesis import given
from hypothesis import strategies as st

from durum import Retry, Workflow
from durum.core.config import NO_RETRY
from durum.core.ids import StateId, segment_is_valid
from durum.core.run_plan import RunPlan, item_nodes, renamed

if TYPE_CHECKING:
    from durum.core.plan import PlanNode

SEGMENTS = st.from_regex(r"\A[a-z][a-z0-9_]{0,62}\Z").filter(lambda name: "__" not in name)
TRICKY = st.sampled_from(["i", "i0", "i1", "i10", "each", "main", "spawn", "i0_spawn", "x" * 63, "i1_"])
NAMES = st.one_of(TRICKY, SEGMENTS)


class Given(TypedDict):
    """Where the items come from."""

    xs: list[int]


def per_item(item: int) -> dict[str, int]:
    """Take an item."""
    return {"n": item}


def nodes_of(*names: str, **options: Any) -> dict[str, PlanNode]:
    """Return the stored states of a workflow with a step of these options under each name."""
    flow = Workflow("flow", inputs=Given)
    for name in names:
        flow.step(name=name, each="xs", **options)(per_item)
    return {node.id: node for node in flow.plan().shape.nodes}


def test_a_plain_step_is_one_state() -> None:
    """Nothing of the stored form of such a step depends on there being others."""
    flow = Workflow("flow")
    flow.step(name="one")(lambda: 1)
    (node,) = flow.plan().shape.nodes
    assert (node.id, node.path, node.each, node.spawns) == ("flow.one.main", "", None, None)


def test_a_step_for_each_counts_then_runs_then_gathers() -> None:
    """What the author declared belongs to the items; counting and gathering are never retried, and go on in any mood."""
    nodes = nodes_of(
        "one",
        max_concurrency=4,
        tags=["slow"],
        retry=Retry(attempts=5),
        timeout=timedelta(seconds=3),
        version="7",
        writes="out",
    )
    assert list(nodes) == ["flow.one.each", "flow.one.main"]
    head, main = nodes.values()
    rule = head.each
    assert rule is not None
    assert (rule.source, rule.then, rule.limit) == ("xs", "flow.one.main", 4)
    (item,) = rule.body
    assert (item.id, item.path, item.deps, item.timeout_ms, item.version) == (
        "flow.one.i0",
        "one[0]",
        ("flow.one.each",),
        3000,
        "7",
    )
    assert item.retry is not None
    assert (item.retry.max_attempts, head.retry, main.retry) == (5, NO_RETRY, NO_RETRY)
    assert {node.meta.tags for node in (head, item, main)} == {("slow",)}
    assert (main.deps, main.writes, item.writes, head.reads) == (("flow.one.each",), ("out",), ("out",), ("xs",))


def test_a_child_run_for_each_item_is_two_states_an_item() -> None:
    """One that starts the run and one that waits for it, both named after the item."""
    child = Workflow("child", inputs=Given)
    child.step(name="x")(lambda: 1)
    head, _ = nodes_of("one", child=child).values()
    assert head.each is not None
    spawn, result = item_nodes(head.each.body, 12)
    assert (spawn.id, spawn.path, spawn.deps, spawn.spawns) == (
        "flow.one.i12__spawn",
        "one[12].spawn",
        ("flow.one.each",),
        "flow.one.i12",
    )
    assert (result.id, result.path, result.deps) == ("flow.one.i12", "one[12]", ("flow.one.i12__spawn",))


@given(names=st.lists(NAMES, min_size=1, max_size=4, unique=True), counts=st.lists(st.integers(0, 130), min_size=4, max_size=4))
def test_ids_and_paths_of_items_are_never_shared(names: list[str], counts: list[int]) -> None:
    """Whatever steps are called and however many items they have; each is a valid id that tells step and index."""
    flow = Workflow("flow", inputs=Given)
    for name in names:
        flow.step(name=name, each="xs", writes=f"k_{name}")(per_item)
    plan = RunPlan(flow.plan().shape)
    for name, count in zip(names, counts, strict=False):
        plan.extend(plan.index[f"flow.{name}.each"], count)
    ids = [node.id for node in plan.nodes]
    expected = [f"flow.{name}.i{index}" for name, count in zip(names, counts, strict=False) for index in range(count)]
    assert len(set(ids)) == len(ids)
    assert sorted(ids) == sorted([*(f"flow.{name}.{end}" for name in names for end in ("each", "main")), *expected])
    paths = [node.path for node in plan.nodes if node.path]
    assert (len(set(paths)), len(paths)) == (len(expected), len(expected))
    assert set(map(StateId, ids)) == set(ids)


@given(index=st.integers(0, 10**12), part=st.sampled_from(["", "__spawn"]), name=SEGMENTS)
def test_an_index_stands_in_the_id_and_nowhere_else(index: int, part: str, name: str) -> None:
    """Also of a step that is itself called like an item."""
    renamed_id = renamed(f"flow.{name}.i0{part}", index)
    assert renamed_id == f"flow.{name}.i{index}{part}"
    assert segment_is_valid(renamed_id.rpartition(".")[2])
