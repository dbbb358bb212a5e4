"""Random plans in random finish orders: one meaning, and every state sees exactly what its ancestors wrote."""

from __future__ import annotations

import asyncio
import random
from functools import reduce
from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from durum import RunConfig, StepError
from durum.core.config import FixedBackoff, RetryPolicy
from tests.engine.runs import Ran, run
from tests.engine.states import Does, plan_of

if TYPE_CHECKING:
    from durum import ExecutionPlan
    from durum.core.state import DynContext

KEYS = ("a", "b", "c")
DELETED = object()


class Step(NamedTuple):
    """What one state of a random plan does."""

    deps: frozenset[int]
    sets: dict[str, int | None]  # None deletes
    appends: int
    gives: int | None  # what it contributes to the keys with reducers
    fails: int  # attempts that fail before it succeeds; 9: for good
    tagged: bool


@st.composite
def plans(draw: st.DrawFn) -> list[Step]:
    """Draw a plan in which every state depends on earlier ones only."""
    steps: list[Step] = []
    for number in range(draw(st.integers(2, 9))):
        deps = draw(st.frozensets(st.integers(0, number - 1), max_size=3)) if number else frozenset()
        sets = draw(st.dictionaries(st.sampled_from(KEYS), st.sampled_from([0, 1, 2, None]), max_size=2))
        fails = draw(st.sampled_from([0, 0, 0, 0, 1, 2, 9]))
        gives = draw(st.none() | st.integers(0, 9))
        steps.append(Step(deps, sets, draw(st.integers(0, 2)), gives, fails, draw(st.integers(0, 7)) == 0))
    return steps


class Gates:
    """Lets states that run go on one by one, in an order drawn by chance."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._waiting: list[asyncio.Future[None]] = []
        self._arrived = 0

    async def turn(self) -> None:
        """Wait until chance picks this one."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._arrived += 1
        self._later(5, self._arrived)
        await future

    def _later(self, turns: int, arrived: int) -> None:
        loop = asyncio.get_running_loop()
        if turns:
            loop.call_soon(self._later, turns - 1, arrived)
        elif self._waiting and arrived <= self._arrived:
            self._waiting.pop(self._chance.randrange(len(self._waiting))).set_result(None)


def built(steps: list[Step], chance: random.Random, seen: dict[int, Any]) -> ExecutionPlan:
    """Return the plan; ``seen`` takes the context each state began with."""
    gates = Gates(chance)
    tried: dict[int, int] = {}

    def state_of(number: int, step: Step) -> Does:
        async def act(ctx: DynContext, io: object, rec: object) -> None:
            del io, rec
            seen[number] = ctx.dump()
            tried[number] = tried.get(number, 0) + 1
            ctx.write("never", number)
            ctx.delete("never")
            await gates.turn()
            if tried[number] <= step.fails:
                message = f"try {tried[number]}"
                raise StepError(message, retryable=True)
            for key, value in step.sets.items():
                if value is None:
                    ctx.delete(key)
                else:
                    ctx.write(key, value)
            ctx.append("log", [f"{number}.{place}" for place in range(step.appends)])
            if step.gives is not None:
                ctx.write("trail", "overwritten")
                for key, given in (("total", step.gives), ("all", [step.gives]), ("trail", step.gives)):
                    ctx.write(key, given)

        return Does(act, tags=("skip",) if step.tagged else ())

    states = {f"s{number}": state_of(number, step) for number, step in enumerate(steps)}
    edges = {f"s{number}": " ".join(f"s{dep}" for dep in sorted(step.deps)) for number, step in enumerate(steps)}
    return plan_of(states, edges, {"log": "append", "total": "sum", "all": "union", "trail": trail})


def trail(old: Any, new: Any) -> Any:
    """Tell every order of contributions from every other."""
    return ((old or 0) * 31 + new + 1) % 1_000_003


def config(room: int, steps: list[Step]) -> RunConfig:
    """Return a policy of three attempts, at once, that skips the tag of some."""
    tags = ("skip",) if any(step.tagged for step in steps) else ()
    return RunConfig(retry_policy=RetryPolicy(3, FixedBackoff(0), 0.0), max_concurrency=room, skip_tags=tags)


def ran(steps: list[Step], seed: int, room: int) -> tuple[Ran, dict[int, Any]]:
    """Run a plan."""
    seen: dict[int, Any] = {}
    return run(built(steps, random.Random(seed), seen), {"a": 7, "log": ["given"]}, config=config(room, steps)), seen


@settings(max_examples=60, deadline=None)
@given(plans(), st.integers(0, 999), st.integers(1, 4))
def test_finish_order_and_room_change_nothing(steps: list[Step], seed: int, room: int) -> None:
    """Whatever finishes first and however many run at once: the same outcome of every state, digest and final snapshot."""
    one, _ = ran(steps, 0, 50)
    two, _ = ran(steps, seed, room)
    assert one.statuses() == two.statuses()
    assert one.summary["semantic_digest"] == two.summary["semantic_digest"]
    assert one.summary["final_snapshot_id"] == two.summary["final_snapshot_id"]
    assert two.service.verify(two.id).first_bad is None
    assert two.service.replay(two.id).divergence is None


class Model:
    """What the documentation says of joins, as directly as it can be written: ancestry counts, and the plan's order."""

    def __init__(self, steps: list[Step]) -> None:
        self.steps = steps
        self.ancestors: list[set[int]] = []
        for step in steps:
            self.ancestors.append(set(step.deps).union(*(self.ancestors[dep] for dep in step.deps)))
        self.completed: set[int] = set()
        self.orders: dict[
            int, list[int]
        ] = {}  # state -> the completed states up to it, in the order their writes came together
        self.status: dict[int, str] = {}
        for number in range(len(steps)):
            self.status[number] = self._decide(number)
            if self.status[number] == "completed":
                self.orders[number] = [*self.order(self.ancestors[number]), number]
                self.completed.add(number)

    def _decide(self, number: int) -> str:
        step = self.steps[number]
        if any(self.status[dep] in {"failed", "upstream"} for dep in step.deps):
            return "upstream"
        if step.tagged:
            return "skipped"
        return "failed" if step.fails > 2 or self.context(self.ancestors[number]) is None else "completed"

    def order(self, members: set[int]) -> list[int]:
        """Return the completed ones of some states and all before them, as a join of them brings their writes together."""
        done = members & self.completed
        last = [one for one in sorted(done) if not any(one in self.ancestors[other] for other in done)]
        start = self.orders[last[0]] if last else []
        return [*start, *sorted(done - set(start))]  # every state comes after its dependencies by number, too

    def context(self, members: set[int]) -> dict[str, Any] | None:
        """Return the context after some states and all before them, None if two of them conflict."""
        done = members & self.completed
        found: dict[str, Any] = {"a": 7}
        for key in KEYS:
            writers = [number for number in done if key in self.steps[number].sets]
            last = [one for one in writers if not any(one in self.ancestors[other] for other in writers)]
            values = {self.steps[number].sets[key] for number in last}
            if len(values) > 1:
                return None
            if values:
                found[key] = values.pop()
        order = self.order(members)
        log = [f"{number}.{place}" for number in order for place in range(self.steps[number].appends)]
        merged: dict[str, Any] = {"log": ["given", *log]}
        given = [gives for number in order if (gives := self.steps[number].gives) is not None]
        if given:
            merged |= {"total": sum(given), "all": list(dict.fromkeys(given)), "trail": reduce(trail, given, None)}
        return {key: value for key, value in found.items() if value is not None} | merged


@settings(max_examples=60, deadline=None)
@given(plans(), st.integers(0, 999))
def test_every_state_sees_what_its_ancestors_wrote(steps: list[Step], seed: int) -> None:
    """Statuses, the context each state begins with and the final one are those of the model."""
    real, seen = ran(steps, seed, 3)
    model = Model(steps)
    expected = {f"s{number}": status.replace("upstream", "skipped") for number, status in model.status.items()}
    assert real.statuses() == expected
    for number, context in seen.items():
        assert context == model.context(model.ancestors[number])
    final = model.context(set(range(len(steps))))
    assert (real.status == "completed") == (final is not None and "failed" not in expected.values())
    if final is None:
        assert real.summary["error"]["code"] == "context_conflict" or "failed" in expected.values()
    else:
        assert real.context == final
