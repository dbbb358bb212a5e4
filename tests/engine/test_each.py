"""Runs with a step for each item: cut off after any event, resumed with changed code, and acting on the world item by item."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypedDict

import pytest

from durum import Io, Retry, RunConfig, StepError, TransportError, Workflow
from durum.errors import PlanChangedError
from durum.stores.memory import MemoryBackend
from tests.engine.crashes import RUN, cut, opened
from tests.engine.doubles import Scripted
from tests.engine.runs import Ran, run

if TYPE_CHECKING:
    from collections.abc import Callable

AGAIN = Retry(attempts=3, delay=timedelta(0), jitter=0)
INPUTS: dict[str, object] = {"xs": [1, 2, 3, 4, 5], "ys": [1, 2]}


class Given(TypedDict):
    """Two lists."""

    xs: list[int]
    ys: list[int]


class World:
    """Does what it is asked, and remembers how often it was asked under each key; it answers item 3 late and badly once."""

    def __init__(self) -> None:
        self.done: dict[str, list[int]] = {}
        self.stumbles: set[int] = set()

    async def act(self, request: Any, call: Any) -> str:
        """Do it."""
        for _ in range(7 * request["n"] % 4):
            await asyncio.sleep(0)
        self.done.setdefault(call.effect_key, []).append(request["n"])
        if request["n"] in self.stumbles:
            self.stumbles.discard(request["n"])
            raise TransportError("busy", code="busy", retryable=True)
        return f"did {request['n']}"


def started(flow: Workflow, config: RunConfig | None = None) -> tuple[MemoryBackend, Ran]:
    """Run a workflow in a store that can be cut off."""
    backend = MemoryBackend()
    return backend, Ran(service := opened(backend), flow, service.start(flow, INPUTS, run_id=RUN, config=config))


def resumed(left: MemoryBackend, flow: Workflow) -> Ran:
    """Drive a run on."""
    return Ran(service := opened(left), flow, service.resume(RUN, flow))


def boundaries(ran: Ran) -> list[int]:
    """Return after which events a log can be cut off; the items and the end of who counted them are one append."""
    return [row["seq"] for row in ran.events()[:-1] if row["event"]["kind"] != "plan.extended"]


def acting(world: World, **options: Any) -> Workflow:
    """Return a workflow in which each item has two effects, with a step before and one behind."""
    flow = Workflow("acts", inputs=Given, transports={"act": lambda: Scripted(world.act)})

    before: Any = {"idempotency": "{run_id}/publish"} if options.get("idempotency") else {}

    @flow.step(effects="apply_side_effect", **before)
    async def first(io: Io) -> Any:
        return [await io.call("act", {"n": 100 + number}, read=False) for number in range(3)]

    @flow.step(each="xs", effects="apply_side_effect", retry=AGAIN, after=[first], **options)
    async def publish(item: int, io: Io) -> Any:
        return [await io.call("act", {"n": item}, read=False), await io.call("act", {"n": item + 10}, read=False)]

    flow.step(name="end")(lambda publish: publish[1:])
    return flow


# --- effects ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "keys"),
    [
        ("{run_id}/publish", "{run}/publish/i{index}"),
        ("{run_id}/{index}/publish", "{run}/{index}/publish"),
        ("publish {index}", "publish {index}"),
        ("publish", "publish/i{index}"),
        (None, "{run}/acts.publish.i{index}"),
    ],
)
def test_each_item_s_effects_have_keys_of_their_own(template: str | None, keys: str) -> None:
    """Under one template, for every effect of every item, also after a failure; no key is another step's or item's."""
    world = World()
    world.stumbles = {2, 13}
    options: dict[str, Any] = {} if template is None else {"idempotency": template, "idempotent": True}
    ran = run(acting(world, **options), INPUTS)
    own = [keys.format(run=ran.id, index=index) for index in range(5)]
    mine = {key: numbers for key, numbers in world.done.items() if max(numbers) < 100}
    if template is None:  # nobody knows what became of what stumbled: asked, not repeated
        assert ran.status == "paused"
        assert {numbers[0] for numbers in mine.values() if len(numbers) > 1} == set()
    else:
        assert len(ran.sound().context["end"]) == 4
        assert mine == {
            **{key: [index + 1] * (2 if index == 1 else 1) for index, key in enumerate(own)},
            **{f"{key}/1": [index + 11] * (2 if index == 2 else 1) for index, key in enumerate(own)},
        }
    assert len(world.done) == len({*world.done, *own}) if template else True


def test_an_effect_of_an_item_is_not_taken_for_that_of_another_step_under_the_same_template() -> None:
    """The third effect of a plain step and that of item 3: the suffixes differ."""
    world = World()
    ran = run(acting(world, idempotency="{run_id}/publish", idempotent=True), INPUTS).sound()
    assert {len(numbers) for numbers in world.done.values()} == {1}
    assert len(world.done) == 3 + 2 * 5
    assert world.done[f"{ran.id}/publish/1"] == [101]
    assert world.done[f"{ran.id}/publish/i1"] == [2]


@pytest.mark.parametrize("limit", [None, 2])
def test_cut_after_any_event_each_item_s_effect_is_done_under_its_own_key(limit: int | None) -> None:
    """Resumed from there the run ends with the same snapshot; whoever is asked twice is asked the same under the same key."""
    options: dict[str, Any] = {"idempotency": "{run_id}/publish", "idempotent": True}
    options |= {} if limit is None else {"max_concurrency": limit}
    backend, ran = started(acting(World(), **options))
    for events in boundaries(ran):
        world = World()
        again = resumed(cut(backend, events), acting(world, **options))
        if again.status == "paused":  # within the plain step before, which knows no careful receiver
            assert [gate["gate"].split("@")[0] for gate in again.summary["gates"]] == ["first"]
            continue
        assert again.summary["final_snapshot_id"] == ran.summary["final_snapshot_id"], events
        assert again.summary["semantic_digest"] == ran.summary["semantic_digest"], events
        assert all(numbers == numbers[:1] for numbers in world.done.values())
        for key, (number,) in world.done.items():
            if number < 100:
                index, place = (number - 1) % 10, (number - 1) // 10
                assert key == f"{RUN}/publish/i{index}{f'/{place}' if place else ''}"
        again.sound()


def test_cut_within_the_effect_of_an_item_only_that_item_is_asked_about() -> None:
    """The others finish, nothing is done again, and with the answer the run ends as if nothing had happened."""
    backend, ran = started(acting(World()), RunConfig(max_concurrency=1))
    (intent,) = [row["seq"] for row in ran.events("effect.intended") if row["event"]["effect_key"] == f"{RUN}/acts.publish.i2"]
    world = World()
    parked = resumed(cut(backend, intent), acting(world))
    (gate,) = parked.summary["gates"]
    assert (parked.status, gate["state_id"], gate["subject"]) == ("paused", "acts.publish.i2", f"{RUN}/acts.publish.i2")
    assert sorted(number for numbers in world.done.values() for number in numbers) == [4, 5, 14, 15]
    parked.service.answer(RUN, gate["gate"], {"happened": True, "result": "did 3"}, actor="me")
    again = parked.resume()
    assert again.sound().summary["final_snapshot_id"] == ran.summary["final_snapshot_id"]
    assert sorted(number for numbers in world.done.values() for number in numbers) == [4, 5, 13, 14, 15]


def test_a_body_that_is_the_effect_is_one_effect_an_item() -> None:
    """Without Io the function itself is what happens; retried, it is served what happened."""
    flow = Workflow("body", inputs=Given)
    did: list[int] = []

    @flow.step(each="xs", effects="apply_side_effect", idempotency="{run_id}/did")
    def act(item: int) -> int:
        did.append(item)
        return item

    ran = run(flow, INPUTS).sound()
    assert sorted(did) == [1, 2, 3, 4, 5]
    assert sorted(row["event"]["effect_key"] for row in ran.events("effect.intended")) == [
        f"{ran.id}/did/i{index}" for index in range(5)
    ]


# --- crashes ----------------------------------------------------------------------------------------------------------------


def crashing(limit: int | None) -> Workflow:
    """Return a workflow with items that stumble, draw at random and add to a shared list, and items over those."""
    flow = Workflow("crashes", inputs=Given)
    flow.key("log", merge="append")
    options: dict[str, Any] = {} if limit is None else {"max_concurrency": limit}

    @flow.step(each="xs", writes="log", retry=AGAIN, **options)
    async def one(item: int, io: Io) -> list[str]:
        drawn = await io.random_bytes(1)
        if item % 2 and await io.get_recorded_fact(f"tried/{item}") is None:
            await io.record_value(f"tried/{item}", item)
            raise StepError("again", retryable=True)
        return [f"{item} {drawn.hex()}"] * (item % 3)

    flow.step(name="two", each="log", after=[one], **options)(lambda item, index: f"{index} {item}")
    flow.step(name="none", each="ys", tags=["off"])(lambda item: item)
    flow.step(name="again", each="none", on_missing="skip")(lambda item: item)
    flow.step(name="end")(lambda two, log, again: [len(two), len(log), again])
    return flow


@pytest.mark.parametrize("limit", [None, 1, 3])
def test_cut_after_any_event_a_run_of_items_ends_the_same(limit: int | None) -> None:
    """What was decided stays decided: no item is counted anew, none is executed that was done, and results keep their order."""
    backend, ran = started(crashing(limit), RunConfig(skip_tags=("off",)))
    assert ran.context["end"] == [6, 6, []]
    for events in boundaries(ran):
        again = resumed(cut(backend, events), crashing(limit)).sound()
        assert again.summary["final_snapshot_id"] == ran.summary["final_snapshot_id"], events
        assert again.summary["semantic_digest"] == ran.summary["semantic_digest"], events
        assert len(again.events("plan.extended")) == 3  # the third is that of no items
        done = [row["state_id"] for row in again.events("state.completed")]
        assert len(set(done)) == len(done)
        assert again.events("code.changed") == []


# --- changed code -----------------------------------------------------------------------------------------------------------


def doubled(item: int) -> int:
    """Do what the item's function did first."""
    return item * 2


def tripled(item: int) -> int:
    """Do what it does now."""
    return item * 3


def flow_of(function: Callable[..., object] = doubled, more: bool = False, **options: Any) -> Workflow:  # noqa: FBT001, FBT002
    """Return a workflow with a step for each item and one behind it; perhaps with others around it."""
    flow = Workflow("changing", inputs=Given)
    if more:
        flow.step(name="early")(lambda ys: ys[:1])
    flow.step(**{"name": "made", "each": "xs", **options})(function)
    flow.step(name="behind", after=["made"])(lambda xs: xs[:1])
    if more:
        flow.step(name="late", each="ys", after=["made"], max_concurrency=1)(lambda item, early: [item, early])
    return flow


def cut_at(item: int, kind: str = "state.completed", **options: Any) -> tuple[MemoryBackend, Ran]:
    """Return a run of one item at a time that was cut off after an event of that item."""
    backend, ran = started(flow_of(**options), RunConfig(max_concurrency=1))
    (seq,) = [row["seq"] for row in ran.events(kind) if row["state_id"] == f"changing.made.i{item}"]
    return cut(backend, seq), ran


@pytest.mark.parametrize("kind", ["state.entered", "state.completed"])
@pytest.mark.parametrize("limit", [None, 1, 2])
def test_a_changed_item_function_is_recorded_and_holds_from_there_on(limit: int | None, kind: str) -> None:
    """Items that were done keep their results; the change is on record once; a second crash changes nothing."""
    options: dict[str, Any] = {} if limit is None else {"max_concurrency": limit}
    left, _ = cut_at(1, kind, **options)
    again = resumed(left, flow_of(tripled, **options))
    done = 2 if kind == "state.completed" else 1
    assert again.context["made"] == [item * (2 if item <= done else 3) for item in (1, 2, 3, 4, 5)]
    (event,) = again.events("code.changed")
    assert event["event"]["steps"] == ["changing.made.each"]
    seqs = {row["state_id"]: row["seq"] for row in again.events("state.completed")}
    backend = again.service._store._backend  # type: ignore[attr-defined]  # a MemoryStore
    third = resumed(cut(backend, seqs["changing.made.i3"]), flow_of(tripled, **options))
    assert third.summary["final_snapshot_id"] == again.summary["final_snapshot_id"]
    assert len(third.events("code.changed")) == 1
    assert third.service.verify(RUN).first_bad is None
    found = third.service.replay(RUN, "reproduce", third.code).divergence
    assert (None if found is None else found.state_id) == "changing.made.i0"  # what the old code did, the new one does not


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"each": "ys"}, "state changing.made.each has run but adds other states to the plan now"),
        ({"effects": "apply_side_effect"}, "state changing.made.each has run but adds other states to the plan now"),
        ({"child": flow_of(), "each": "xs"}, "state changing.made.each has run but adds other states to the plan now"),
        ({"name": "other"}, "state changing.made.each has run but is gone"),
        ({"each": None}, "state changing.made.each has run but is gone"),
        ({"after": ["new"]}, "state changing.made.each has run but depends on other states now"),
        ({"writes": "more"}, "context key 'made' merges in another way now"),
    ],
)
def test_what_the_counted_items_no_longer_fit_is_refused(change: dict[str, Any], reason: str) -> None:
    """Once the items were counted: another source, other states for each, or none; nothing is written, the old code goes on."""
    left, ran = cut_at(1)

    def edited() -> Workflow:
        options = {key: value for key, value in change.items() if value is not None}
        if "each" in change and change["each"] is None:
            flow = Workflow("changing", inputs=Given)
            flow.step(name="made")(lambda xs: xs)
            return flow
        flow = Workflow("changing", inputs=Given)
        flow.step(name="new")(lambda: 1)
        function: Any = (lambda item: {"xs": [item], "ys": []}) if "child" in change else doubled
        flow.step(**{"name": "made", "each": "xs", **options})(function)
        return flow

    events = len(left.runs[RUN].events)
    service = opened(left)
    with pytest.raises(PlanChangedError, match=reason):
        service.resume(RUN, edited())
    assert len(left.runs[RUN].events) == events
    assert resumed(left, flow_of()).sound().summary["final_snapshot_id"] == ran.summary["final_snapshot_id"]


def test_before_the_items_are_counted_everything_may_change() -> None:
    """The log does not speak of the step yet."""
    backend, _ = started(flow_of(more=True), RunConfig(max_concurrency=1))
    again = resumed(cut(backend, 2), flow_of(tripled, more=True, each="ys", max_concurrency=1))
    assert again.sound().context["made"] == [3, 6]


@pytest.mark.parametrize("item", [0, 2, 4])
def test_steps_added_around_the_items_are_run_and_keep_their_order(item: int) -> None:
    """Positions move, what was recorded of the items stays theirs."""
    left, _ = cut_at(item, max_concurrency=2)
    again = resumed(left, flow_of(more=True, max_concurrency=2)).sound()
    assert again.context["made"] == [2, 4, 6, 8, 10]
    assert (again.context["early"], again.context["late"]) == ([1], [[1, [1]], [2, [1]]])


@pytest.mark.parametrize(("before", "after"), [(None, 1), (1, None), (1, 3), (3, 1), (2, 2)])
def test_another_limit_goes_on_and_holds(before: int | None, after: int | None) -> None:
    """What has not begun goes by the new one; the results are as they would have been."""
    under_way = most = 0

    async def slow(item: int) -> int:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        for _ in range(5):
            await asyncio.sleep(0)
        under_way -= 1
        return item * 2

    old: dict[str, Any] = {} if before is None else {"max_concurrency": before}
    new: dict[str, Any] = {} if after is None else {"max_concurrency": after}
    backend, ran = started(flow_of(slow, **old))
    seq = min(row["seq"] for row in ran.events("state.completed") if ".i" in row["state_id"])
    most = 0
    again = resumed(cut(backend, seq), flow_of(slow, **new)).sound()
    assert again.context == ran.context
    assert most <= (after or 5)
    assert len(again.events("code.changed")) == (before != after)
