"""The plan of a run under way: what extensions add, where it belongs, and what comes after what."""

from __future__ import annotations

from copy import deepcopy

from durum.core.plan import EachRule, PlanNode, PlanShape
from durum.core.run_plan import RunPlan
from tests.core.handmade import state_id


def node(name: str, *deps: str, state: str = "main", each: EachRule | None = None) -> PlanNode:
    """Return a node; dependencies are step names, or whole ids."""
    return PlanNode(f"p.{name}.{state}", tuple(dep if "." in dep else state_id(dep) for dep in deps), each=each)


def rule(name: str, parts: int = 1, limit: int | None = None) -> EachRule:
    """Return the rule of a step whose items are so many states in a row."""
    ids = [f"p.{name}.i0{'__first' * (part < parts - 1)}" for part in range(parts)]
    before = [f"p.{name}.each", *ids]
    body = [PlanNode(own, (dep,), path=f"{name}[0]{own[len(f'p.{name}.i0') :]}") for dep, own in zip(before, ids, strict=False)]
    return EachRule(tuple(body), "source", state_id(name), limit)


def plan_of(*, parts: int = 1) -> RunPlan:
    """Return: a, then one and two for each item side by side, then b."""
    nodes = (
        node("a"),
        node("one", "a", state="each", each=rule("one", parts)),
        node("one", "p.one.each"),
        node("two", "a", state="each", each=rule("two")),
        node("two", "p.two.each"),
        node("b", "one", "two"),
    )
    return RunPlan(PlanShape("p", nodes))


def names(plan: RunPlan, positions: object) -> list[str]:
    """Return positions as ids without the plan's name."""
    assert isinstance(positions, list)
    return [plan.nodes[position].id.removeprefix("p.") for position in positions]


def test_items_stand_behind_everything_and_belong_between_their_head_and_what_waits() -> None:
    """Positions never move; in order they are where an author who wrote them down would have put them."""
    plan = plan_of()
    before = list(plan.nodes)
    assert plan.extend(plan.index["p.two.each"], 2) == [6, 7]
    assert plan.extend(plan.index["p.one.each"], 3) == [8, 9, 10]
    assert plan.nodes[: len(before)] == before
    assert names(plan, sorted(range(len(plan.nodes)), key=plan.precedence)) == [
        *("a.main", "one.each", "one.i0", "one.i1", "one.i2", "one.main"),
        *("two.each", "two.i0", "two.i1", "two.main", "b.main"),
    ]
    assert plan.waves == [0, 1, 3, 1, 3, 4, 2, 2, 2, 2, 2]


def test_what_waits_for_the_items_comes_after_every_one_of_them() -> None:
    """And an item comes after its head, what that came after, and no other item."""
    plan = plan_of()
    assert plan.ancestors(2) == 0b11  # asked before, and worked out anew after
    plan.extend(1, 3)
    assert plan.deps[2] == [1, 6, 7, 8]
    assert plan.dependents[1] == [2, 6, 7, 8]
    assert [plan.dependents[position] for position in (6, 7, 8)] == [[2], [2], [2]]
    assert plan.ancestors(2) == 0b1_1100_0011
    assert plan.lineage(7) == 0b1000_0011
    assert plan.lineage(5) >> 6 == 0b111


def test_what_one_run_adds_is_no_other_runs() -> None:
    """Runs of a plan begin with the same nodes and edges, and each keeps what it adds to itself."""
    one = plan_of()
    other = RunPlan(one.shape)
    before = deepcopy((other.nodes, other.index, other.deps, other.dependents))
    for head in (1, 3):
        one.extend(head, 2)
    assert (other.nodes, other.index, other.deps, other.dependents) == before
    assert (one.shape.index, *one.shape.edges) == before[1:]
    assert len(one.nodes) == len(one.deps) == len(one.dependents) == len(before[0]) + 4


def test_no_items_leave_the_plan_as_it_is() -> None:
    """But it is known that there were none."""
    plan = plan_of()
    assert plan.extend(1, 0) == []
    assert (len(plan.nodes), plan.counts, plan.items, plan.deps[2]) == (6, {1: 0}, {1: []}, [1])


def test_an_item_of_several_states_is_a_chain_and_only_its_last_state_is_waited_for() -> None:
    """Each state knows its item; ids, dependencies and paths carry the index."""
    plan = plan_of(parts=2)
    assert plan.extend(1, 2) == [7, 9]
    assert [plan.item_index(position) for position in range(10)] == [None] * 6 + [0, 0, 1, 1]
    assert names(plan, list(range(6, 10))) == ["one.i0__first", "one.i0", "one.i1__first", "one.i1"]
    assert [plan.nodes[position].path for position in range(6, 10)] == ["one[0]__first", "one[0]", "one[1]__first", "one[1]"]
    assert [plan.deps[position] for position in range(6, 10)] == [[1], [6], [1], [8]]
    assert (plan.deps[2], plan.last_of_item, plan.head) == ([1, 7, 9], {7, 9}, {6: 1, 7: 1, 8: 1, 9: 1})


def test_ten_thousand_items_cost_ten_thousand_entries() -> None:
    """Lineages are worked out without a walk through the items for each of them."""
    plan = plan_of()
    plan.extend(1, 10_000)
    assert len(plan.order) == 10_006
    assert plan.lineage(6 + 9_999).bit_count() == 3
    assert plan.ancestors(5).bit_count() == 10_005
    assert plan.node("p.one.i9999").path == "one[9999]"
