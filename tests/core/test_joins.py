"""Which writes meet where, from hand-made logs; the property tests hold the same against a model."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from durum.core.canonical import canonical_json
from durum.core.joins import Change, Conflict, Writers, boundary, plan_join, resolve, side_by_side
from durum.core.run_plan import RunPlan
from durum.errors import ContextConflictError
from tests.core.handmade import Log, shape, written

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from durum.core.plan import PlanShape

DIAMOND = {"s": "", "l": "s", "r": "s", "j": "l r"}


def joined(log: Log, *names: str) -> tuple[list[Change], list[Conflict]]:
    """Return what the contexts after some steps come to, from the first of them on."""
    join = plan_join(log.state.plan, [log.at(name) for name in names])
    return resolve(log.state, join, Writers(log.state), lambda key: held(log, join.start, key))


def held(log: Log, start: int | None, key: str) -> bytes | None:
    """Return what the context after a state holds under a key: what the last one to write it at or before that state wrote."""
    assert start is not None
    lineage = log.state.plan.lineage(start)
    last = [position for position in log.state.writers[key] if lineage >> position & 1][-1]
    (write,) = [write for write in log.state.states[last].writes if write.key == key]
    return None if write.op == "delete" else bytes(write.entry)


def entry(value: object) -> bytes:
    """Return the entry ``written`` makes."""
    return canonical_json([value])


def test_a_join_begins_with_its_first_dependency_and_adds_what_is_missing_there() -> None:
    """Ancestors they share are not added again; one dependency, or none, joins nothing."""
    plan = RunPlan(shape(DIAMOND))
    join = plan_join(plan, [2, 1])
    assert (join.start, list(join.missing)) == (1, [2])
    assert plan_join(plan, [1]).missing == ()
    assert plan_join(plan, []).start is None
    wide = RunPlan(shape({"a": "", "b": "a", "c": "", "d": "c", "e": "b d"}))
    assert list(plan_join(wide, [1, 3]).missing) == [2, 3]


def test_a_dependency_that_another_one_comes_after_brings_nothing_of_its_own() -> None:
    """All it wrote is in the other's context: nothing is added, and what merges keeps the order the other saw."""
    plan = RunPlan(shape(DIAMOND))
    assert (plan_join(plan, [3, 1, 2]).start, plan_join(plan, [3, 1, 2]).missing) == (3, [])
    chain = RunPlan(shape({"a": "", "z": "", "b": "z a", "c": "", "j": "a b c"}))
    assert (plan_join(chain, [0, 2, 3]).start, plan_join(chain, [0, 2, 3]).missing) == (2, [3])


def test_missing_writers_come_in_topological_order_and_ties_by_precedence() -> None:
    """Where a state stands in the list of positions, or what the rest of the plan looks like, has no say."""
    late = {"start": "", "x": "z", "y": "", "z": "", "j": "start x y"}
    plan = RunPlan(shape(late))
    assert plan_join(plan, [0, 1, 2]).missing == [2, 3, 1]
    turned = RunPlan(shape({name: late[name] for name in reversed(late)}))
    turned._precedence = {position: (len(late) - position,) for position in range(len(late))}
    join = plan_join(turned, [turned.index[f"p.{name}.main"] for name in ("x", "y", "start")])
    assert join.start is not None
    assert [turned.nodes[position].id[2] for position in (join.start, *join.missing)] == ["s", "y", "z", "x"]


def test_states_an_extension_added_are_joined_where_they_belong() -> None:
    """They stand behind all others in the plan and are missing in their own order, before what was declared after them."""
    nodes = {"count": "", "then": "count", "other": "", "end": "other then"}
    plain = shape(nodes)
    body = (msgspec.structs.replace(plain.nodes[0], id="p.each.i0", deps=("p.count.main",), path="each[0]"),)
    plan = RunPlan(with_rule(plain, body))
    plan.extend(0, 3)
    join = plan_join(plan, [1, 2])
    assert (join.start, join.missing) == (1, [2])
    join = plan_join(plan, [2, 4, 5, 6])
    assert [plan.nodes[position].id for position in (join.start or 0, *join.missing)] == [
        "p.each.i0",
        "p.each.i1",
        "p.each.i2",
        "p.other.main",
    ]


def with_rule(plan: PlanShape, body: tuple[object, ...]) -> PlanShape:
    """Return a plan whose first state counts items."""
    from durum.core.plan import EachRule

    rule = EachRule(body=body, source="items", then="p.then.main")  # type: ignore[arg-type]
    return msgspec.structs.replace(plan, nodes=(msgspec.structs.replace(plan.nodes[0], each=rule), *plan.nodes[1:]))


def test_writes_beside_each_other() -> None:
    """Other keys add up, equal entries agree, different ones conflict and name their writers in plan order."""
    log = Log(shape(DIAMOND)).run("s", written("k", 0)).run("r", written("x", 1), written("k", 2)).run("l", written("y", 1))
    assert joined(log, "l", "r") == ([Change("x", "set", (entry(1),)), Change("k", "set", (entry(2),))], [])
    log = Log(shape(DIAMOND)).run("s").run("r", written("k", 1)).run("l", written("k", 1))
    assert joined(log, "l", "r") == ([], [])
    log = Log(shape(DIAMOND)).run("s").run("r", written("k", 1)).run("l", written("k", 2))
    assert joined(log, "l", "r") == ([], [Conflict("k", (1, 2), (entry(2), entry(1)))])


@pytest.mark.parametrize(("other", "conflicts"), [(written("k", None, "delete"), 0), (written("k", 1), 1)])
def test_deletes_are_writes(other: object, conflicts: int) -> None:
    """Two deletes agree, a delete and a write do not."""
    log = Log(shape(DIAMOND)).run("s", written("k", 0)).run("l", written("k", None, "delete")).run("r", other)  # type: ignore[arg-type]
    assert joined(log, "l", "r") == ([], [Conflict("k", (1, 2), (None, entry(1)))] * conflicts)
    log = Log(shape(DIAMOND)).run("s", written("k", 0)).run("l").run("r", written("k", None, "delete"))
    assert joined(log, "l", "r") == ([Change("k", "delete", ())], [])


def test_a_descendant_supersedes_its_ancestor_only() -> None:
    """A write after one branch's does not settle the other branch's."""
    plan = shape({"a": "", "b": "", "c": "a", "d": "a b"})
    log = Log(plan).run("a", written("k", 1)).run("b").run("c", written("k", 2)).run("d")
    assert joined(log, "c", "d") == ([], [])
    assert joined(log, "d", "c") == ([], [])
    log = Log(plan).run("a", written("k", 1)).run("b").run("c").run("d", written("k", 3))
    assert joined(log, "c", "d") == ([Change("k", "set", (entry(3),))], [])
    log = Log(plan).run("a", written("k", 1)).run("b", written("k", 1)).run("c", written("k", 2)).run("d")
    assert joined(log, "c", "d") == ([], [Conflict("k", (1, 2), (entry(1), entry(2)))])


def test_a_conflict_names_two_who_disagree() -> None:
    """Of many writers, the first and the first that wrote something else."""
    plan = shape({**{f"s{number}": "" for number in range(6)}, "j": " ".join(f"s{number}" for number in range(6))})
    log = Log(plan)
    for number in (5, 3, 0, 1, 4, 2):
        log.run(f"s{number}", written("k", number // 3))
    assert joined(log, *(f"s{number}" for number in range(6))) == ([], [Conflict("k", (0, 3), (entry(0), entry(1)))])


@pytest.mark.parametrize("op", ["append", "reduce"])
def test_contributions_add_up_in_plan_order_whoever_finished_first(op: str) -> None:
    """They never conflict."""
    log = Log(shape({"a": "", "b": "", "c": "", "j": "a b c"}, merges={"log": "append"}))
    for name in ("c", "b", "a"):
        log.run(name, written("log", name, op))  # type: ignore[arg-type]
    assert joined(log, "a", "b", "c") == ([Change("log", op, [entry("b"), entry("c")])], [])


def test_a_key_s_latest_writer_is_found_among_any_states_as_a_walk_would_find_it() -> None:
    """While the log grows, for a key of many writers and one of few; under a new plan too."""
    chance = random.Random(3)
    log = Log(shape({f"s{number}": "" for number in range(40)}))
    writers = Writers(log.state)
    order = chance.sample(range(40), 40)
    for done in range(1, 41):
        keys = ["many"] if order[done - 1] % 10 else ["many", "few"]
        log.run(f"s{order[done - 1]}", *(written(key, 1) for key in keys))
        for key in ("many", "few", "none"):
            among = chance.getrandbits(40)
            walked = [position for position in log.state.writers.get(key, ()) if among >> position & 1]
            assert writers.latest(key, among) == (walked[-1] if walked else None)
    log.state.plan, log.state.writers = RunPlan(log.plan), {"many": list(range(20, 40))}
    assert (writers.latest("many", (1 << 20) - 1), writers.latest("few", -1)) == (None, None)


class Walked(list[int]):
    """A list that counts what is read of it."""

    read = 0

    def __getitem__(self, at: Any) -> Any:
        """Read a part."""
        found = super().__getitem__(at)
        self.read += len(found)
        return found

    def __reversed__(self) -> Iterator[int]:
        """Read from the end."""
        for position in super().__reversed__():
            self.read += 1
            yield position


def test_a_join_costs_its_own_writes_and_not_those_before() -> None:
    """Of a thousand writers of one key, written in a row of forks and joins, a join looks at the new ones."""
    rounds = 334
    deps = {"j0": ""}
    for number in range(1, rounds):
        before = f"j{number - 1}"
        deps |= {f"a{number}": before, f"b{number}": before, f"j{number}": f"a{number} b{number}"}
    log = Log(shape(deps))
    log.state.writers["k"] = walked = Walked()
    log.run("j0", written("k", 0))
    writers = Writers(log.state)
    for number in range(1, rounds):
        log.run(f"a{number}").run(f"b{number}", written("k", number))
        join = plan_join(log.state.plan, [log.at(f"a{number}"), log.at(f"b{number}")])
        assert resolve(log.state, join, writers, lambda _: None) == ([Change("k", "set", (entry(number),))], [])
        log.run(f"j{number}", written("k", -number))
    assert len(walked) == 2 * rounds - 1
    assert walked.read < 4 * len(walked)


def test_the_boundary_is_what_nothing_completed_depends_on() -> None:
    """A failed or skipped sink leaves what stood before it."""
    log = Log(shape({"a": "", "b": "a", "c": "a", "d": "c"})).run("a").run("b").enter("c").fail("c")
    assert boundary(log.state) == [1]
    assert boundary(Log(shape({"a": ""})).enter("a").fail("a").state) == []


@pytest.mark.parametrize(
    ("deps", "merges", "clash"),
    [
        ({"a": "", "b": "a", "c": "b"}, {}, None),
        ({"a": "", "b": "", "c": "a b"}, {}, ("k", 0, 1)),
        ({"a": "", "b": "", "c": "a b"}, {"k": "sum"}, None),
        ({"c": "x", "b": "a", "a": "", "x": "b"}, {}, None),
        ({"c": "x", "b": "a", "a": "", "x": "a"}, {}, ("k", 1, 0)),
    ],
)
def test_states_that_declare_to_write_one_key_side_by_side_are_found(
    deps: dict[str, str], merges: Mapping[str, str], clash: object
) -> None:
    """Wherever they stand in the plan; in a row is fine, by any way round, and so is a declared merge."""
    plain = shape(deps, merges=merges)
    nodes = tuple(
        msgspec.structs.replace(node, writes=() if node.id == "p.x.main" else ("k", f"own_{position}"))
        for position, node in enumerate(plain.nodes)
    )
    assert side_by_side(RunPlan(msgspec.structs.replace(plain, nodes=nodes))) == clash


def test_a_conflict_names_the_key_the_place_the_writers_and_what_they_wrote() -> None:
    """One sentence a person can act on; its details say the same to a program."""
    error = ContextConflictError("k", "p.j.main", {"p.a.main": "0" * 64, "p.b.main": None})
    assert str(error) == (
        f"context key 'k' was written by p.a.main and p.b.main side by side ({'0' * 64} and no value), which meet in p.j.main; "
        "order them or declare a merge"
    )
    assert error.details == {"key": "k", "state_id": "p.j.main", "writers": {"p.a.main": "0" * 64, "p.b.main": None}}
    assert "which meet at the end of the run; order them" in str(ContextConflictError("k", None, {"p.a.main": None}))
