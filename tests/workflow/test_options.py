"""A step's options are checked where they are written: what cannot be meant is refused with what was meant, probably."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from durum import Io, Retry, Workflow
from durum.core.meta import SideEffectKind
from durum.workflow.options import LONGEST_TIMEOUT, in_order
from tests.workflow.refusals import refused

if TYPE_CHECKING:
    from durum.core.plan import PlanNode


def plain() -> int:
    """Return something."""
    return 1


async def asynchronous() -> int:
    """Return something."""
    return 1


async def reading(io: Io) -> int:
    """Take Io."""
    del io
    return 1


def planned(function: Any = plain, **options: Any) -> PlanNode:
    """Return the stored form of one step with these options."""
    flow = Workflow("flow")
    flow.step(name="one", **options)(function)
    return flow.plan().shape.nodes[0]


WRONG: list[tuple[Any, dict[str, Any], str]] = [
    (plain, {"retries": 3}, "has no option 'retries'; did you mean 'retry'?"),
    (plain, {"idempotenty": "x"}, "has no option 'idempotenty'; did you mean 'idempotent'?"),
    (plain, {"idempotent": "x"}, "has idempotent='x'; give True if its receiver does an effect once per key"),
    (plain, {"idempotent": True}, "says what becomes of its effect but applies none; declare effects='apply_side_effect'"),
    (plain, {"reconcile": plain, "effects": "apply_side_effect"}, "give an async function of (effect, io)"),
    (plain, {"zzz": 1}, "has no option 'zzz'"),
    (plain, {"writes": "two words"}, "writes 'two words' is no context key; it must be 1 to 255 of letters, digits"),
    (plain, {"writes": "größe"}, "writes 'größe' is no context key"),
    (plain, {"writes": ""}, "writes '' is no context key"),
    (plain, {"writes": 3}, "writes 3 is no context key"),
    (plain, {"tags": "report"}, "has tags='report'; give a list of texts, such as tags=['report']"),
    (plain, {"tags": [1]}, "has tags=[1]; give a list of texts"),
    (plain, {"tags": None}, "has tags=None; give a list of texts"),
    (plain, {"after": "other"}, "has after='other'; give a list of steps, such as after=['other']"),
    (plain, {"after": plain}, "has after=plain; give a list of steps, such as after=[plain]"),
    (plain, {"after": (name for name in "ab")}, "give a list of steps"),
    (plain, {"tags": (name for name in "ab")}, "give a list of texts"),
    (plain, {"version": 2}, "has version=2; give a text, such as version='2'"),
    (plain, {"retry": 3}, "has retry=3; give a Retry, such as retry=Retry(attempts=3)"),
    (plain, {"retry": Retry}, "has retry=Retry; give a Retry"),
    (plain, {"timeout": 30}, "has timeout=30; give a timedelta, such as timeout=timedelta(seconds=30)"),
    (plain, {"timeout": timedelta(0)}, "has a timeout of 0:00:00; it must be positive and at most 10,000 days"),
    (plain, {"timeout": timedelta(seconds=-1)}, "it must be positive"),
    (plain, {"timeout": timedelta.max}, "at most 10,000 days"),
    (plain, {"blocking": "yes"}, "has blocking='yes'; give True or False"),
    (asynchronous, {"blocking": True}, "is async def and blocking; only a plain def can run in a thread"),
    (plain, {"effects": "write"}, "declares effects='write'; use pure, read_only_io, apply_side_effect"),
    (plain, {"effects": ["pure"]}, "declares effects=['pure']; use pure"),
    (reading, {"effects": "pure"}, "is declared pure but takes Io"),
    (plain, {"idempotency": "k"}, "has an idempotency key but applies no effect; declare effects='apply_side_effect'"),
    (reading, {"idempotency": "k", "effects": "read_only_io"}, "applies no effect"),
    (plain, {"idempotency": "", "effects": "apply_side_effect"}, "give a text of printable ASCII, such as '{run_id}/publish'"),
    (plain, {"idempotency": "a\nb", "effects": "apply_side_effect"}, "printable ASCII"),
    (plain, {"idempotency": "é", "effects": "apply_side_effect"}, "printable ASCII"),
    (plain, {"idempotency": 7, "effects": "apply_side_effect"}, "has idempotency=7; give a text"),
    (
        plain,
        {"idempotency": "{runid}/x", "effects": "apply_side_effect"},
        "has {runid} in its idempotency key, which stands for nothing; only {run_id} and {index} do",
    ),
]


@pytest.mark.parametrize(("function", "options", "reason"), WRONG)
def test_a_wrong_option_is_refused_at_the_step(function: Any, options: dict[str, Any], reason: str) -> None:
    """At once, by the step's name, with the value and what to write instead."""
    flow = Workflow("flow")
    message = refused(lambda: flow.step(name="one", **options)(function))
    assert message.startswith(f"step one {reason}") or (message.startswith("step one ") and reason in message)


def test_options_end_up_in_the_plan() -> None:
    """What is declared is what a run is decided by."""
    node = planned(
        reading,
        writes="found",
        tags=["fetch_data", "web"],
        retry=Retry(attempts=5, jitter=0),
        timeout=timedelta(seconds=1.5),
        effects="apply_side_effect",
        idempotency="{run_id}/x",
        version="7",
    )
    assert node.writes == ("found",)
    assert (node.meta.tags, node.meta.side_effects) == (("fetch_data", "web"), SideEffectKind.APPLY_SIDE_EFFECT)
    assert (node.meta.idempotency, node.version, node.timeout_ms) == ("{run_id}/x", "7", 1500)
    assert node.retry is not None
    assert node.retry.max_attempts == 5


def test_a_timeout_is_at_least_a_millisecond_and_at_most_what_json_counts() -> None:
    """Neither end of what is allowed is rounded away or overflows."""
    assert planned(timeout=timedelta(microseconds=1)).timeout_ms == 1
    assert planned(timeout=LONGEST_TIMEOUT).timeout_ms == 864_000_000_000


def test_effects_follow_from_io_unless_declared() -> None:
    """Without Io a step is pure, with it it reads; an effect is tried once unless told otherwise."""
    assert planned(plain).meta.side_effects is SideEffectKind.PURE
    assert planned(reading).meta.side_effects is SideEffectKind.READ_ONLY_IO
    effect = planned(plain, effects="apply_side_effect")
    assert effect.retry is not None
    assert effect.retry.max_attempts == 1
    assert planned(plain).retry is None


def test_sets_are_put_in_order() -> None:
    """A set iterates differently in each process, and the plan must not."""
    words = {f"word{number}" for number in range(50)}
    assert in_order(words) == tuple(sorted(words))
    assert in_order(["b", "a"]) == ("b", "a")
    assert planned(tags=frozenset({"b", "a", "c"})).meta.tags == ("a", "b", "c")
    flow = Workflow("flow", exec=words, private_hosts={"b", "a"})
    assert (flow.commands, flow.private_hosts) == (tuple(sorted(words)), ("a", "b"))
    for word in words:
        flow.step(name=word)(plain)
    flow.step(name="last", after=words)(plain)
    assert [edge.from_id for edge in flow.plan().edges] == [f"flow.{word}.main" for word in sorted(words)]
