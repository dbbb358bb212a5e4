"""What a state sees where branches meet depends on who came before whom in the plan, never on who was faster."""

from __future__ import annotations

import asyncio
import random
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from durum import ExecutionPlan, RunConfig, StateNode, Workflow, digest
from durum.core.plan import PlanNode
from durum.errors import SideBySideWritersError
from durum.testing.clock import ManualClock
from tests.engine.runs import Ran, run
from tests.engine.states import Does, appends, deletes, plan_of, writes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from durum.core.state import DynContext, EventRecorder


def diamond(left: Does, right: Does, merges: Mapping[str, Any] | None = None, join: Does | None = None) -> ExecutionPlan:
    """Return a plan of a start, two branches and the state they meet in."""
    states = {"start": writes(a=0), "left": left, "right": right, "join": join or writes(joined=True)}
    return plan_of(states, {"left": "start", "right": "start", "join": "left right"}, merges)


@pytest.mark.parametrize(
    ("left", "right", "value"),
    [
        (writes(a=1), writes(b=2), {"a": 1, "b": 2}),
        (writes(a=1), writes(a=1), {"a": 1}),
        (writes(a=[1.0]), writes(a=[1]), {"a": [1]}),
        (deletes("a"), deletes("a"), {}),
        (deletes("a"), writes(b=1), {"b": 1}),
        (writes(b={"x": "y" * 100_000}), writes(b={"x": "y" * 100_000}), {"a": 0, "b": {"x": "y" * 100_000}}),
    ],
)
def test_writes_that_agree_join(left: Does, right: Does, value: dict[str, object]) -> None:
    """Different keys, equal values and equal deletes are no conflict."""
    ran = run(diamond(left, right)).sound()
    assert (ran.status, ran.context) == ("completed", {**value, "joined": True})


@pytest.mark.parametrize(
    ("left", "right"),
    [(writes(a=1), writes(a=2)), (writes(a=0), writes(a=None)), (deletes("a"), writes(a=0)), (writes(a=1), deletes("a"))],
)
def test_writes_that_disagree_fail_the_state_they_meet_in(left: Does, right: Does) -> None:
    """The failure names the key and both writers; the state is never executed; what does not depend on it goes on."""
    executed: list[bool] = []
    ran = run(diamond(left, right, join=Does(lambda _c, _i, _r: executed.append(True)))).sound()
    assert (ran.status, ran.attempts("join"), executed) == ("failed", ["context_conflict"], [])
    assert "'a' was written by p.left.main and p.right.main" in ran.error["message"]


def test_a_conflict_names_state_key_and_the_digest_of_each_value() -> None:
    """Of values of any size, as ``durum.digest`` gives them, in the message and for programs; a deleted key has none."""
    large = {"rows": ["x" * 200] * 50}
    ran = run(diamond(writes(a=large, b=1), deletes("a"))).sound()
    (failed,) = ran.events("state.failed")
    info = failed["event"]["error"]["info"]
    assert failed["event"]["state_id"] == "p.join.main"
    assert f"({digest(large)} and no value), which meet in p.join.main; " in info["message"]
    assert info["details"] == {
        "key": "a",
        "state_id": "p.join.main",
        "writers": {"p.left.main": digest(large), "p.right.main": None},
    }
    ran = run(plan_of({"one": writes(a=[1]), "two": writes(a=[2])})).sound()
    assert f"({digest([1])} and {digest([2])}), which meet at the end of the run; " in ran.error["message"]


def test_writers_that_are_known_to_clash_are_refused_before_the_run() -> None:
    """A plan whose states say what they write is checked before anything runs; other plans are found out at the join."""
    plain = diamond(writes(a=1), writes(a=2))
    said = tuple(StateNode(node.id, node.state, PlanNode(id=node.id, writes=("a",))) for node in plain.states[:3])
    plan = ExecutionPlan("p", (*said, plain.states[3]), plain.edges)
    with pytest.raises(
        SideBySideWritersError, match=r"states p\.left\.main and p\.right\.main write context key 'a' side by side"
    ):
        run(plan)
    assert run(ExecutionPlan("p", plan.states, plan.edges, {"a": "last"})).sound().context["a"] == 2


def test_a_conflict_among_the_last_states_fails_the_run() -> None:
    """Nobody reads the key any more, but the run has no one context to end with."""
    ran = run(plan_of({"one": writes(a=1), "two": writes(a=2), "three": writes(b=3)})).sound()
    assert ran.statuses() == {"one": "completed", "two": "completed", "three": "completed"}
    assert (ran.status, ran.error["code"], ran.error["state_id"]) == ("failed", "context_conflict", None)
    assert "p.one.main and p.two.main" in ran.error["message"]


def test_a_later_write_supersedes_what_it_came_after() -> None:
    """A descendant's write wins over its ancestor's wherever they meet, by any way round."""
    states = {"a": writes(k=1), "b": writes(k=2), "c": writes(other=1), "d": writes(done=1), "e": writes(k=3)}
    ran = run(plan_of(states, {"b": "a", "c": "a", "d": "c b", "e": "d"})).sound()
    assert ran.context == {"k": 3, "other": 1, "done": 1}
    assert run(plan_of(dict(list(states.items())[:4]), {"b": "a", "c": "a", "d": "c b"})).sound().context["k"] == 2


def test_a_conflict_settled_upstream_stays_settled() -> None:
    """A state that writes the key after both writers resolves what they disagree on, for those who join through it."""
    states = {"a": writes(k=1), "b": writes(k=2), "fix": deletes("k"), "end": writes(end=1)}
    ran = run(plan_of({**states, "side": writes(s=1)}, {"fix": "a", "end": "fix side"})).sound()
    assert ran.status == "failed"  # b is still beside it
    ran = run(plan_of({"a": writes(k=1), "b": writes(k=2), "fix": writes(k=3)}, {"b": "a", "fix": "a b"})).sound()
    assert ran.context == {"k": 3}


def test_a_conflict_under_fail_fast_begins_nothing_else() -> None:
    """A state that was to begin in the same moment is skipped, not left in between."""
    states = {"l": writes(a=1), "r": writes(a=2), "join": writes(j=1), "beside": writes(b=1)}
    ran = run(plan_of(states, {"join": "l r", "beside": "l r"}), config=RunConfig(fail_fast=True)).sound()
    assert (ran.status, ran.statuses()["join"], ran.statuses()["beside"]) == ("failed", "failed", "skipped")


def test_appends_add_up_in_the_order_of_the_plan() -> None:
    """Side by side or in a row, and with what was there before."""
    plan = diamond(appends("log", "l1", "l2"), appends("log", "r"), {"log": "append"}, appends("log", "j"))
    assert run(plan, {"log": ["given"]}).sound().context["log"] == ["given", "l1", "l2", "r", "j"]


def shuffled(seed: int, *, conflicts: bool) -> Ran:
    """Run a plan of many branches and joins whose states take random times; the plan is the same for every seed."""
    shape, speed = random.Random(1), random.Random(seed)
    states: dict[str, Any] = {}
    edges: dict[str, str] = {}
    for number in range(24):
        name = f"s{number}"

        async def act(ctx: DynContext, io: object, rec: object, number: int = number) -> None:
            del io, rec
            await asyncio.sleep(speed.uniform(0, 0.004))
            total = sum(int(str(ctx.read(key))) for key in sorted(ctx.dump()) if key.startswith("v"))
            ctx.write(f"v{number}", (total + number) % 1_000_003)
            ctx.append("trail", [f"{number} after {len(str(ctx.read('trail') or []))}"])
            if number % 5 == 0 and conflicts:
                ctx.delete(f"v{number // 2}")

        states[name] = Does(act)
        befores = sorted(shape.sample(range(number), min(number, shape.randrange(1, 4))))
        edges[name] = " ".join(f"s{before}" for before in befores)
    return run(plan_of(states, edges, {"trail": "append"}))


@pytest.mark.parametrize("conflicts", [False, True])
def test_finish_order_changes_nothing(conflicts: bool) -> None:  # noqa: FBT001
    """Runs whose states finish in other orders end with one snapshot and one meaning, byte for byte, conflicts included."""
    runs = [shuffled(seed, conflicts=conflicts) for seed in range(12)]
    assert {ran.status for ran in runs} == {"failed" if conflicts else "completed"}
    orders = {tuple(row["event"]["state_id"] for row in ran.events("state.completed")) for ran in runs}
    assert len(orders) > 6
    assert len({ran.summary["final_snapshot_id"] for ran in runs}) == 1
    assert len({ran.summary["semantic_digest"] for ran in runs}) == 1
    assert len({ran.summary["log_digest"] for ran in runs}) == 12
    runs[0].sound()


def test_a_skipped_state_leaves_what_it_would_have_begun_with() -> None:
    """Branches that meet in a skipped state meet in whoever comes after it."""
    flow = Workflow("skips")
    flow.step(name="one")(lambda: 1)
    flow.step(name="two")(lambda: 2)
    flow.step(name="gone", tags=["skip"])(lambda one, two: one + two)
    flow.step(name="last", after=["gone"])(lambda one, two: [one, two])
    ran = run(flow, config=RunConfig(skip_tags=("skip",))).sound()
    assert ran.context == {"one": 1, "two": 2, "last": [1, 2]}


def test_a_conflict_behind_a_skipped_state_is_found_where_it_matters() -> None:
    """The skipped state does not settle it: whoever comes after fails, by any number of skipped states."""
    skip = {"gone": Does(lambda _c, _i, _r: None, tags=("skip",)), "too": Does(lambda _c, _i, _r: None, tags=("skip",))}
    states = {"l": writes(k=1), "r": writes(k=2), **skip, "end": writes(e=1)}
    ran = run(plan_of(states, {"gone": "l r", "too": "gone", "end": "too"}), config=RunConfig(skip_tags=("skip",))).sound()
    assert (ran.status, ran.attempts("end")) == ("failed", ["context_conflict"])
    assert "p.l.main and p.r.main" in ran.service.states(ran.id)[-1]["error"]["message"]  # type: ignore[index,call-overload,operator]


# --- finish order -----------------------------------------------------------------------------------------------------------


class Script:
    """Lets states sleep for scripted times on a clock that moves on once all of them sleep."""

    def __init__(self, seed: int) -> None:
        self.clock = ManualClock()
        self._chance = random.Random(seed)
        self._arrived = 0

    async def sleep(self) -> None:
        """Sleep for a time of its own."""
        due = self.clock.now_ms() + self._chance.randrange(1, 1_000_000)
        self._arrived += 1
        self._later(6, self._arrived)
        await self.clock.sleep_until(due)

    def _later(self, turns: int, arrived: int) -> None:
        if arrived != self._arrived:
            return  # somebody else fell asleep meanwhile
        if turns:
            asyncio.get_running_loop().call_soon(self._later, turns - 1, arrived)
        elif self.clock.due:
            self.clock.advance(max(0, self.clock.due[0] - self.clock.now_ms()))
            asyncio.get_running_loop().call_soon(self._later, 6, arrived)


def scripted(seed: int) -> Ran:
    """Run hostile states in a finish order of its own: the plan and what the states do is the same for every seed."""
    script = Script(seed)

    def state_of(number: int) -> Does:
        async def act(ctx: DynContext, io: object, rec: object) -> None:
            del io, rec
            seen = ctx.read("trail")
            if isinstance(seen, list):
                seen.append("tampered")
            try:
                await asyncio.gather(script.sleep(), script.sleep())
                if number % 4 == 0:
                    raise LookupError(number)
            except LookupError:
                ctx.write("never", number)
                ctx.delete("never")
            ctx.append("trail", [{"by": number, "after": len(str(ctx.read("trail") or []))}])
            ctx.write("trace", number)
            ctx.write("total", 0.1 * number)
            ctx.write("names", [f"n{number % 3}", f"n{number}"])
            ctx.write(f"own_{number}", {"seen": ctx.read("trace"), "total": ctx.read("total")})
            if number == 5:
                ctx.delete("own_1")

        return Does(act, tags=("skip",) if number in {4, 9} else ())

    edges = {
        "s2": "s0 s1",
        "s3": "s1",
        "s4": "s0 s1",
        "s5": "s1 s2",
        "s6": "s4 s3",
        "s8": "s7 s2",
        "s9": "s8 s6",
        "s10": "s9 s5 s0",
    }
    merges = {"trail": "append", "trace": lambda old, new: [*(old or [])[-5:], new], "total": "sum", "names": "union"}
    plan = plan_of({f"s{number}": state_of(number) for number in range(14)}, edges, merges)
    return run(plan, config=RunConfig(skip_tags=("skip",)), clock=script.clock)


@pytest.mark.slow
def test_a_thousand_finish_orders_give_one_snapshot() -> None:
    """Hostile states with appends, reducers, deletes, nested joins and skipped branches: byte for byte one context."""
    runs = [scripted(seed) for seed in range(1000)]
    assert {ran.status for ran in runs} == {"completed"}
    orders = {tuple(row["event"]["state_id"] for row in ran.events("state.completed")) for ran in runs}
    assert len(orders) > 500
    assert len({ran.summary["final_snapshot_id"] for ran in runs}) == 1
    assert len({ran.summary["semantic_digest"] for ran in runs}) == 1
    assert runs[0].service.verify(runs[0].id).first_bad is None


# --- scale ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("branches", [2, 100, pytest.param(10_000, marks=pytest.mark.slow)])
def test_a_join_of_many_branches_holds_every_write_in_bounded_memory(branches: int) -> None:
    """Keys of their own, an appended one and a reduced one; lists come in declaration order."""
    names = [f"s{number}" for number in range(branches)]
    states: dict[str, Any] = {name: Does(branch(number)) for number, name in enumerate(names)}
    found: list[Any] = []
    states["join"] = Does(lambda ctx, _i, _r: found.append((ctx.read("log"), ctx.read("n"), ctx.read(f"k{branches - 1}"))))
    plan = plan_of(states, {"join": " ".join(names)}, {"log": "append", "n": "sum"})
    tracemalloc.start()
    try:
        ran = run(plan)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert ran.status == "completed"
    assert found == [(list(range(branches)), branches, branches - 1)]
    assert peak < 150_000_000


def branch(number: int) -> Callable[[DynContext, Any, EventRecorder], object]:
    """Return what one of many branches does."""

    def act(ctx: DynContext, io: object, rec: object) -> None:
        del io, rec
        ctx.write(f"k{number}", number)
        ctx.append("log", [number])
        ctx.write("n", 1)

    return act
