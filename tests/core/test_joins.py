"""Which writes meet where, from hand-made logs; the property tests hold the same against a model."""

from __future__ import annotations

import pytest

from durum.core.canonical import canonical_json
from durum.core.joins import Change, Conflict, boundary, plan_join, resolve
from durum.errors import ContextConflictError
from tests.core.handmade import Log, shape, written

DIAMOND = {"s": "", "l": "s", "r": "s", "j": "l r"}


def joined(log: Log, *names: str) -> tuple[list[Change], list[Conflict]]:
    """Return what the contexts after some steps come to, from the first of them on."""
    return resolve(log.state, plan_join(log.plan, [log.at(name) for name in names]))


def entry(value: object) -> bytes:
    """Return the entry ``written`` makes."""
    return canonical_json([value])


def test_a_join_begins_with_its_first_dependency_and_adds_what_is_missing_there() -> None:
    """Ancestors they share are not added again; one dependency, or none, joins nothing."""
    plan = shape(DIAMOND)
    join = plan_join(plan, [2, 1])
    assert (join.start, list(join.missing)) == (1, [2])
    assert plan_join(plan, [1]).missing == ()
    assert plan_join(plan, []).start is None
    assert plan_join(plan, [3, 1, 2]).start == 1
    wide = shape({"a": "", "b": "a", "c": "", "d": "c", "e": "b d"})
    assert list(plan_join(wide, [1, 3]).missing) == [2, 3]


def test_writes_beside_each_other() -> None:
    """Other keys add up, equal entries agree, different ones conflict and name their writers in plan order."""
    log = Log(shape(DIAMOND)).run("s", written("k", 0)).run("r", written("x", 1), written("k", 2)).run("l", written("y", 1))
    assert joined(log, "l", "r") == ([Change("x", "set", (entry(1),)), Change("k", "set", (entry(2),))], [])
    log = Log(shape(DIAMOND)).run("s").run("r", written("k", 1)).run("l", written("k", 1))
    assert joined(log, "l", "r") == ([Change("k", "set", (entry(1),))], [])
    log = Log(shape(DIAMOND)).run("s").run("r", written("k", 1)).run("l", written("k", 2))
    assert joined(log, "l", "r") == ([], [Conflict("k", [1, 2])])


@pytest.mark.parametrize(("other", "conflicts"), [(written("k", None, "delete"), 0), (written("k", 1), 1)])
def test_deletes_are_writes(other: object, conflicts: int) -> None:
    """Two deletes agree, a delete and a write do not."""
    log = Log(shape(DIAMOND)).run("s", written("k", 0)).run("l", written("k", None, "delete")).run("r", other)  # type: ignore[arg-type]
    changes, found = joined(log, "l", "r")
    assert (len(found), changes) == (conflicts, [] if conflicts else [Change("k", "delete", ())])


def test_a_descendant_supersedes_its_ancestor_only() -> None:
    """A write after one branch's does not settle the other branch's."""
    plan = shape({"a": "", "b": "", "c": "a", "d": "a b"})
    log = Log(plan).run("a", written("k", 1)).run("b").run("c", written("k", 2)).run("d")
    assert joined(log, "c", "d") == ([], [])
    assert joined(log, "d", "c") == ([], [])
    log = Log(plan).run("a", written("k", 1)).run("b").run("c").run("d", written("k", 3))
    assert joined(log, "c", "d") == ([Change("k", "set", (entry(3),))], [])
    log = Log(plan).run("a", written("k", 1)).run("b", written("k", 1)).run("c", written("k", 2)).run("d")
    assert joined(log, "c", "d") == ([], [Conflict("k", [1, 2])])


def test_appends_add_up_in_plan_order_whoever_finished_first() -> None:
    """They never conflict."""
    plan = shape({"a": "", "b": "", "c": "", "j": "a b c"}, merges={"log": "append"})
    log = Log(plan)
    for name in ("c", "b", "a"):
        log.run(name, written("log", name, "append"))
    assert joined(log, "a", "b", "c") == ([Change("log", "append", [entry("b"), entry("c")])], [])


def test_the_boundary_is_what_nothing_completed_depends_on() -> None:
    """A failed or skipped sink leaves what stood before it."""
    log = Log(shape({"a": "", "b": "a", "c": "a", "d": "c"})).run("a").run("b").enter("c").fail("c")
    assert boundary(log.state) == [1]
    assert boundary(Log(shape({"a": ""})).enter("a").fail("a").state) == []


def test_a_conflict_names_the_key_and_the_writers() -> None:
    """One sentence a person can act on."""
    error = ContextConflictError("k", ["p.a.main", "p.b.main"])
    assert str(error) == "context key 'k' was written by p.a.main and p.b.main side by side; order them or declare a merge"
