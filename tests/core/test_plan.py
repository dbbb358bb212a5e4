"""Plans: what is refused, in which order states stand, and the shape that is stored."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durum import DependencyEdge, ExecutionPlan, Retry, StateMeta, StateNode, StateOutcome
from durum.core.config import RetryPolicy
from durum.core.plan import PlanNode, decode_shape
from durum.core.run_plan import RunPlan
from durum.errors import (
    CircularDependencyError,
    ConfigError,
    DanglingDependencyTagError,
    DuplicateStateIdError,
    EmptyPlanError,
    InvalidIdError,
    MissingStateForEdgeError,
)
from tests.core.handmade import shape


class Plain:
    """A state that does nothing."""

    def __init__(self, meta: StateMeta | None = None) -> None:
        self._meta = meta or StateMeta()

    def meta(self) -> StateMeta:
        """Return its meta."""
        return self._meta

    async def handle(self, ctx: object, io: object, rec: object) -> StateOutcome:
        """Do nothing."""
        del ctx, io, rec
        return StateOutcome()


def plan(*ids: str, edges: tuple[tuple[str, str], ...] = (), op: str = "p", meta: StateMeta | None = None) -> ExecutionPlan:
    """Return a plan of plain states."""
    nodes = tuple(StateNode(f"p.{name}.main", Plain(meta)) for name in ids)
    return ExecutionPlan(op, nodes, tuple(DependencyEdge(f"p.{a}.main", f"p.{b}.main") for a, b in edges))


def test_a_plan_that_is_none_is_refused() -> None:
    """Each mistake has its own error, which names the place."""
    with pytest.raises(EmptyPlanError):
        _ = plan().shape
    with pytest.raises(DuplicateStateIdError, match=r"p\.a\.main"):
        _ = plan("a", "b", "a").shape
    with pytest.raises(MissingStateForEdgeError, match=r"p\.z\.main"):
        _ = plan("a", edges=(("z", "a"),)).shape
    with pytest.raises(DanglingDependencyTagError, match="nobody"):
        _ = plan("a", meta=StateMeta(depends_on=("nobody",))).shape
    for bad in ({"op": "Not an op"}, {"op": ""}):
        with pytest.raises(InvalidIdError):
            _ = plan("a", **bad).shape  # type: ignore[arg-type]
    with pytest.raises(InvalidIdError):
        _ = plan("Not A Step").shape


@pytest.mark.parametrize(
    ("edges", "cycle"),
    [
        ((("a", "a"),), {"a"}),
        ((("a", "b"), ("b", "a")), {"a", "b"}),
        ((("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")), {"a", "b", "c"}),
        ((("d", "a"), ("a", "b"), ("b", "c"), ("c", "b")), {"b", "c"}),
    ],
)
def test_a_cycle_is_named(edges: tuple[tuple[str, str], ...], cycle: set[str]) -> None:
    """Only the states on it, not those behind it."""
    with pytest.raises(CircularDependencyError) as caught:
        _ = plan("a", "b", "c", "d", edges=edges).shape
    assert all(f"p.{name}.main" in str(caught.value) for name in cycle)
    assert not any(f"p.{name}.main" in str(caught.value) for name in set("abcd") - cycle)


def test_the_shape_knows_order_layers_and_ancestors() -> None:
    """Ties fall to the earlier declaration; an edge given twice counts once."""
    made = RunPlan(plan("d", "c", "b", "a", edges=(("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("a", "b"))).shape)
    assert [made.nodes[position].id for position in made.order] == ["p.a.main", "p.c.main", "p.b.main", "p.d.main"]
    assert [made.waves[made.index[f"p.{name}.main"]] for name in "abcd"] == [0, 1, 1, 2]
    assert made.ancestors(0) == 0b1110
    assert made.dependents[3] == [1, 2]
    assert made.node("p.b.main").deps == ("p.a.main",)
    with pytest.raises(KeyError):
        made.node("p.z.main")


@given(st.data())
def test_every_drawn_graph_is_ordered(data: st.DataObject) -> None:
    """Each state stands behind all it depends on, ancestors are what paths lead to."""
    count = data.draw(st.integers(1, 12))
    names = data.draw(st.permutations([f"s{number}" for number in range(count)]))
    deps = {
        name: " ".join(data.draw(st.sets(st.sampled_from(names[:place])))) if place else "" for place, name in enumerate(names)
    }
    shuffled = data.draw(st.permutations(list(deps)))
    made = RunPlan(shape({name: deps[name] for name in shuffled}))
    places = {position: place for place, position in enumerate(made.order)}
    assert sorted(places) == list(range(count))
    for position, node in enumerate(made.nodes):
        direct = [made.index[dep] for dep in node.deps]
        assert all(places[dep] < places[position] for dep in direct)
        mask = 0
        for dep in direct:
            mask |= made.ancestors(dep) | 1 << dep
        assert made.ancestors(position) == mask


def test_the_stored_shape_comes_back() -> None:
    """Without code, with everything decide needs."""
    node = PlanNode(id="", retry=Retry(attempts=2).policy(), timeout_ms=5, version="2", reads=("a",), writes=("b",))
    meta = StateMeta(tags=("t",), idempotency="k")
    made = ExecutionPlan("p", (StateNode("p.a.main", Plain(meta), node),), (), {"log": "append"}).shape
    assert decode_shape(made.stored) == made
    assert (made.nodes[0].meta, made.nodes[0].timeout_ms) == (meta, 5)


def test_a_shape_that_could_not_be_read_back_is_not_stored() -> None:
    """A value of another type than declared is found before the run begins, not when it is resumed."""
    odd = PlanNode(id="", retry=RetryPolicy(max_attempts=2.5))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="max_attempts"):
        _ = ExecutionPlan("p", (StateNode("p.a.main", Plain(), odd),)).shape.stored
