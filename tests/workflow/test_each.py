"""A step for each item: one state an item, results in the items' order whatever happens first, and items that misbehave."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypedDict

import pytest

from durum import Io, Retry, RunConfig, StepError, TransportError, Workflow
from tests.engine.doubles import Scripted, counting
from tests.engine.runs import Ran, run

if TYPE_CHECKING:
    from collections.abc import Callable

AGAIN = Retry(attempts=4, delay=timedelta(0), jitter=0, on=(KeyError,))  # one more than a run's own policy allows
JSON = [[], {}, None, 1.5, -7, "text", True, {"a": [1, {"b": None}]}, "x" * 5_000, [["y" * 5_000]]]


class Given(TypedDict):
    """Whatever the items come from, and something they share."""

    xs: Any
    factor: int


def each(function: Callable[..., Any], items: object = None, flow: Workflow | None = None, **options: Any) -> Ran:
    """Run a function for each item of the input ``xs`` and count its results in a step behind."""
    flow = flow or Workflow("w", inputs=Given)
    config = options.pop("config", None)
    flow.step(**{"name": "made", "each": "xs", **options})(function)

    @flow.step(after=["made"])
    def behind(made: Any = None) -> Any:
        return len(made) if isinstance(made, list) else made

    return run(flow, {"xs": items, "factor": 10}, config=config)


def item_states(ran: Ran) -> dict[str, str]:
    """Return path -> status of the states of items."""
    return {str(row["path"]): str(row["status"]) for row in ran.service.states(ran.id) if row["path"]}


class Room:
    """Counts how many are inside, and lets nobody out before as many as expected have come."""

    def __init__(self, expected: int) -> None:
        self.inside = self.most = self.seen = 0
        self._expected = expected
        self._full = asyncio.Event()

    async def visit(self) -> None:
        """Come in, wait for the others, leave."""
        self.inside += 1
        self.seen += 1
        self.most = max(self.most, self.inside)
        if self.inside == self._expected:
            self._full.set()
        await asyncio.wait_for(self._full.wait(), 20)
        for _ in range(20):  # whoever could still come in, would
            await asyncio.sleep(0)
        self.inside -= 1


# --- what the items are and what becomes of them ----------------------------------------------------------------------------


@pytest.mark.parametrize("items", [[3, 1, 2], [], JSON, [JSON, JSON], list(range(40))], ids=str)
def test_each_item_of_a_list_is_one_state_and_one_result(items: list[Any]) -> None:
    """Items of any JSON type, with their index, beside another input; people see each state as ``made[3]``."""
    ran = each(lambda item, index, factor: [item, index * factor], items).sound()
    assert ran.context["made"] == [[item, index * 10] for index, item in enumerate(items)]
    assert ran.context["behind"] == len(items)
    assert item_states(ran) == {f"made[{index}]": "completed" for index in range(len(items))}
    assert [row["event"]["count"] for row in ran.events("plan.extended")] == [len(items)]


@pytest.mark.parametrize("large", ["", "x" * 2_000], ids=["small", "large"])
def test_the_items_of_a_map_are_its_pairs_in_key_order(large: str) -> None:
    """However the map was written, and whether it is one value or a tree of them; the pair converts to what it is annotated."""

    class Pair(TypedDict):
        n: int

    seen = []

    def pair(item: tuple[str, Pair]) -> str:
        assert isinstance(item, tuple)
        seen.append(item[0])
        return f"{item[0]}={item[1]['n']}"

    pair.__annotations__["item"] = tuple[str, Pair]
    given = {
        key: {"n": number, "text": large} for number, key in enumerate(["b", "a", "\U0001f600", "\ufb01", "é", "Z", "a b"])
    }
    more = {f"k{number:03}": {"n": number, "text": large} for number in reversed(range(100))}
    both = given | more
    ran = each(pair, both, config=RunConfig(max_concurrency=1)).sound()
    assert seen[: len(both)] == sorted(both)
    assert ran.context["made"] == [f"{key}={both[key]['n']}" for key in sorted(both)]


def test_key_order_is_that_of_code_points_in_a_small_map_too() -> None:
    """Canonical JSON orders the same keys by UTF-16, and decoding keeps that."""
    ran = each(lambda item: item[1], {"\U0001f600": 1, "\ufb01": 2}).sound()
    assert ran.context["made"] == [2, 1]


def test_results_stand_in_the_order_of_the_items_whatever_finishes_first() -> None:
    """Every item waits for the one after it, so that the last is the first to end."""
    done = [asyncio.Event() for _ in range(6)]

    async def late(item: int) -> str:
        if item + 1 < len(done):
            await asyncio.wait_for(done[item + 1].wait(), 20)
        done[item].set()
        return f"r{item}"

    ran = each(late, list(range(6)))
    ended = [row["state_id"] for row in ran.events("state.completed")][1:7]
    assert ended == [f"w.made.i{index}" for index in reversed(range(6))]
    assert ran.sound().context["made"] == [f"r{index}" for index in range(6)]


def test_the_items_may_come_from_a_step_and_go_to_another_step_for_each() -> None:
    """Two such steps in a row, the second over the results of the first."""
    flow = Workflow("rows")
    flow.step(name="xs")(lambda: {"a": 1, "b": 2})
    flow.step(name="first", each="xs")(lambda item: item[1] * 10)
    flow.step(name="second", each="first")(lambda item, index, xs: [item + index, len(xs)])
    assert run(flow).sound().context["second"] == [[10, 2], [21, 2]]


def test_writes_names_the_key_and_functions_may_return_nothing() -> None:
    """A function annotated to return None leaves no key, one that just does so leaves nulls."""

    def silent(item: int) -> None:
        del item

    assert "made" not in each(silent, [1, 2]).sound().context
    assert each(lambda item: None if item else item, [1, 2], writes="out").sound().context["out"] == [None, None]


def test_under_a_key_declared_to_append_each_item_gives_a_list_of_new_ones() -> None:
    """Also beside another step that adds to it, and without any items."""

    def flow() -> Workflow:
        made = Workflow("w", inputs=Given)
        made.key("out", merge="append")
        made.step(name="first", writes="out")(lambda: ["first"])
        return made

    ran = each(lambda item: [item] * item, [2, 0, 1], flow(), writes="out", after=["first"])
    assert ran.sound().context["out"] == ["first", 2, 2, 1]
    assert each(lambda item: [item], [], flow(), writes="out").sound().context["out"] == ["first"]
    wrong = each(lambda item: item, [5], flow(), writes="out")
    assert "must return a list of the new items, not int" in wrong.error["message"]


def test_under_a_key_with_a_reducer_each_item_contributes() -> None:
    """In item order; without items the key is as it was."""

    def flow() -> Workflow:
        made = Workflow("w", inputs=Given)
        made.key("out", merge=lambda old, new: f"{old or ''}<{new}>")
        return made

    assert each(lambda item: item, [3, 1, 2], flow(), writes="out").sound().context["out"] == "<3><1><2>"
    none = each(lambda item: item, [], flow(), writes="out").sound()
    assert (none.status, "out" in none.context) == ("completed", False)


# --- how many at a time -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("of_run", "own", "most"), [(8, 3, 3), (2, 3, 2), (8, None, 8), (8, 1, 1), (64, 20, 12)])
def test_no_more_items_are_under_way_than_the_run_and_the_step_allow(of_run: int, own: int | None, most: int) -> None:
    """As many as that really are, and all get their turn; some fail once and are retried."""
    room = Room(most)

    async def visit(item: int) -> int:
        await room.visit()
        return item

    options: dict[str, Any] = {} if own is None else {"max_concurrency": own}
    ran = each(visit, list(range(12)), config=RunConfig(max_concurrency=of_run), **options)
    assert (ran.status, room.most, room.seen) == ("completed", most, 12)
    assert ran.context["made"] == list(range(12))


def test_items_a_limit_holds_back_keep_nothing_else_from_running() -> None:
    """While one item of the narrow step is under way, the items of a wide one are too."""
    room, alone = Room(4), Room(1)
    flow = Workflow("both", inputs=Given)

    @flow.step(each="xs", max_concurrency=1)
    async def narrow(item: int) -> int:
        await alone.visit()
        return item

    @flow.step(each="xs")
    async def wide(item: int) -> int:
        await room.visit()
        return -item

    ran = run(flow, {"xs": [1, 2, 3, 4], "factor": 1}, config=RunConfig(max_concurrency=5)).sound()
    assert (ran.context["narrow"], ran.context["wide"]) == ([1, 2, 3, 4], [-1, -2, -3, -4])
    assert (alone.most, room.most) == (1, 4)


# --- items that misbehave ---------------------------------------------------------------------------------------------------


def test_an_item_that_mutates_what_it_is_given_changes_nothing() -> None:
    """Neither for itself, nor for the others, nor for a retry, nor for who reads the source."""
    tries = counting(["stumble", "go", "go"])
    flow = Workflow("w", inputs=Given, transports={"tries": lambda: tries})

    @flow.step(each="xs", retry=AGAIN)
    async def made(item: dict[str, Any], xs: list[Any], io: Io) -> Any:
        before: Any = [len(item), len(xs)]
        item.clear()
        xs.clear()
        if await io.call("tries", {"before": before}, keep="attempt") == "stumble":
            raise StepError("again", retryable=True)
        return before

    ran = run(flow, {"xs": [{"a": 1}, {"b": 2, "c": 3}], "factor": 0}).sound()
    assert ran.context["made"] == [[1, 2], [2, 2]]
    assert ran.context["xs"] == [{"a": 1}, {"b": 2, "c": 3}]
    assert len(ran.events("state.failed")) == 1


def test_items_that_fail_for_good_leave_the_others_to_finish() -> None:
    """What waits for the step is skipped, the run fails and names the first item that did; the rest did their work."""

    def picky(item: int) -> int:
        if item in {2, 4}:
            raise ValueError(f"no {item}")
        return item

    ran = each(picky, [1, 2, 3, 4, 5], config=RunConfig(max_concurrency=1)).sound()
    assert ran.status == "failed"
    assert (ran.error["state_id"], ran.error["message"]) == ("w.made.i1", "ValueError: no 2")
    assert list(item_states(ran).values()) == ["completed", "failed", "completed", "failed", "completed"]
    rows = {str(row["state_id"]): row for row in ran.service.states(ran.id)}
    assert (rows["w.made.main"]["skipped"], rows["w.behind.main"]["skipped"]) == ("upstream", "upstream")
    assert "made" not in ran.context or ran.context["made"] == [1, 3, 5]


@pytest.mark.parametrize("limit", [None, 1])
def test_failing_fast_begins_no_further_item(limit: int | None) -> None:
    """The items behind the one that failed are skipped, those a limit holds back as well."""
    begun = []

    def picky(item: int) -> int:
        begun.append(item)
        raise ValueError("no")

    options: dict[str, Any] = {} if limit is None else {"max_concurrency": limit}
    ran = each(picky, [1, 2, 3, 4], config=RunConfig(max_concurrency=1, fail_fast=True), **options)
    assert begun == [1]
    assert list(item_states(ran.sound()).values()) == ["failed", "skipped", "skipped", "skipped"]


@pytest.mark.parametrize("limit", [None, 1, 2])
def test_each_item_has_retries_of_its_own_and_may_take_another_path(limit: int | None) -> None:
    """Every item uses the whole budget; what a failed attempt staged or called counts for nothing in the result."""
    tries: dict[int, int] = {}

    async def stumbling(item: int, io: Io) -> list[Any]:
        tries[item] = tries.get(item, 0) + 1
        if await io.call("tries", {"item": item}, keep="attempt") != 4:
            await asyncio.gather(io.random_bytes(1), io.now())
            raise KeyError("not yet")
        return [item, await io.record_value(f"last/{item}", {"item": item})]

    def answer(request: Any, call: object) -> int:
        del call
        return tries[request["item"]]

    fake = Scripted(answer)
    flow = Workflow("w", inputs=Given, transports={"tries": lambda: fake})
    options: dict[str, Any] = {} if limit is None else {"max_concurrency": limit}
    ran = each(stumbling, [7, 8, 9], flow, retry=AGAIN, **options)
    assert set(tries.values()) == {4}
    assert [row[0] for row in ran.context["made"]] == [7, 8, 9]
    assert ran.attempts("made").count("step_raised") == 9


def test_an_item_that_hangs_is_timed_out_alone() -> None:
    """Its others finish; one that catches everything in the way is left behind and does not hold the run."""

    async def hangs(item: int) -> int:
        while item == 1:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await asyncio.Event().wait()
        return item

    ran = each(hangs, [0, 1, 2], timeout=timedelta(milliseconds=50), retry=Retry(attempts=1))
    assert list(item_states(ran).values()) == ["completed", "failed", "completed"]
    assert (ran.error["state_id"], ran.error["code"]) == ("w.made.i1", "step_timeout")


def test_an_item_may_swallow_its_errors_and_call_side_by_side() -> None:
    """Twelve items, eight at a time, each with calls in parallel of which one fails: the record replays without a live call."""

    async def busy(item: int, io: Io) -> list[Any]:
        async def ask(n: int) -> str:
            try:
                return str(await io.call("ask", {"item": item, "n": n}))
            except TransportError as error:  # the fallback a hostile step takes
                return type(error).__name__

        return list(await asyncio.gather(*(ask(n) for n in range(4))))

    async def answer(request: Any, call: object) -> str:
        del call
        for _ in range((request["item"] * 7 + request["n"] * 3) % 5):
            await asyncio.sleep(0)
        if request["n"] == 2:
            raise ValueError("no third")
        return f"{request['item']}.{request['n']}"

    flow = Workflow("w", inputs=Given, transports={"ask": lambda: Scripted(answer)})
    ran = each(busy, list(range(12)), flow).sound()
    assert [row[0] for row in ran.context["made"]] == [f"{item}.0" for item in range(12)]
    assert {row[2] for row in ran.context["made"]} == {"TransportError"}


def test_a_blocking_function_works_through_its_items_in_threads() -> None:
    """The same as any other step."""
    assert each(lambda item: item * 2, [1, 2, 3], blocking=True).sound().context["made"] == [2, 4, 6]


def test_skipping_by_tag_skips_the_step_as_a_whole() -> None:
    """No item comes into being, and what waits for the step goes on with its default."""
    ran = each(lambda item: item, [1, 2], tags=["slow"], config=RunConfig(skip_tags=("slow",))).sound()
    assert (ran.status, ran.context["behind"], item_states(ran)) == ("completed", None, {})
    rows = {str(row["state_id"]): row["skipped"] for row in ran.service.states(ran.id)}
    assert rows == {"w.made.each": "tag", "w.made.main": "tag", "w.behind.main": None}


# --- what is no source of items ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "found"), [(None, "null"), ("abc", "a text"), (5, "a number"), (1.5, "a number"), (True, "true")]
)
def test_a_value_that_holds_no_items_fails_the_step_in_a_sentence(value: object, found: str) -> None:
    """It names key and step and says what to give; no item comes into being. ``on_missing="skip"`` makes it an empty list."""
    ran = each(lambda item: item, value).sound()
    assert (ran.status, ran.error["state_id"], ran.error["retryable"]) == ("failed", "w.made.each", False)
    assert ran.error["message"] == (
        f"context key 'xs': step made runs for each of its items, but it holds {found}; give a list, or a map whose items are "
        "its [key, value] pairs in key order, or on_missing='skip'"
    )
    assert each(lambda item: item, value, on_missing="skip").sound().context["made"] == []


@pytest.mark.parametrize(("word", "status"), [("fail", "failed"), ("skip", "completed")])
def test_a_key_that_is_not_there_is_told_or_skipped(word: str, status: str) -> None:
    """The step that gives it was skipped."""
    flow = Workflow("gone")
    flow.step(name="xs", tags=["off"])(lambda: [1])
    options: Any = {"name": "made", "each": "xs", "on_missing": word}
    flow.step(**options)(lambda item: item)
    ran = run(flow, config=RunConfig(skip_tags=("off",))).sound()
    assert ran.status == status
    if word == "skip":
        assert ran.context["made"] == []
    else:
        assert (
            "context key 'xs': step made runs for each of its items, but it is not there; give a list" in ran.error["message"]
        )


def test_an_item_that_does_not_fit_its_annotation_fails_alone() -> None:
    """The message names the parameter; the others convert."""

    def typed(item: int) -> int:
        return item

    ran = each(typed, [1, "two", 3])
    assert list(item_states(ran).values()) == ["completed", "failed", "completed"]
    assert "'item'" in ran.error["message"]
