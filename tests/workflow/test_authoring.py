"""Names make the plan: what steps ask for and give becomes edges, and what does not fit is refused when the file is loaded."""

from __future__ import annotations

import asyncio
from typing import Any, TypedDict

import pytest

from durum import Io, Workflow
from durum.errors import CircularDependencyError, EmptyPlanError, WorkflowDefinitionError
from tests.workflow.refusals import refused


class Given(TypedDict):
    """Inputs of the flows below."""

    repo: str
    since: str


def flow_of(*functions: Any, **options: Any) -> Workflow:
    """Return a workflow of these functions."""
    flow = Workflow("flow", inputs=Given, **options)
    for function in functions:
        flow.step(function)
    return flow


def edges(flow: Workflow) -> list[tuple[str, str]]:
    """Return the edges of a plan by step."""
    return [(edge.from_id.split(".")[1], edge.to_id.split(".")[1]) for edge in flow.plan().edges]


def commits(repo: str) -> list[str]:
    """Ask for an input."""
    return [repo]


def areas(commits: list[str]) -> list[str]:
    """Ask for a step's result."""
    return commits


def nothing(areas: list[str]) -> None:
    """Return nothing."""
    del areas


def asks(commit: list[str]) -> list[str]:
    """Ask for a misspelt name."""
    return commit


# --- names to edges -------------------------------------------------------------------------------------------------------


def test_edges_follow_from_names() -> None:
    """Steps may stand in any order; inputs give no edges."""
    assert edges(flow_of(nothing, areas, commits)) == [("areas", "nothing"), ("commits", "areas")]


def test_after_orders_what_names_do_not() -> None:
    """By function or by name; a step that gives nothing can be waited for."""
    flow = flow_of(commits, areas, nothing)
    bound = "abc".upper
    flow.step(name="shout")(bound)
    flow.step(name="after_it", after={"shout": "a view will do"}.keys())(lambda: 1)
    flow.step(name="after_that", after=["abc".upper])(lambda: 1)
    flow.step(after=[nothing, "areas", areas])(last := _named("last"))
    assert edges(flow)[2:4] == [("shout", "after_it"), ("shout", "after_that")]
    assert edges(flow)[-2:] == [("nothing", "last"), ("areas", "last")]
    assert last() == 1


def test_an_optional_parameter_takes_a_key_if_somebody_gives_it() -> None:
    """With a writer it is a dependency, without one it keeps its default."""

    def maybe(commits: list[str] | None = None) -> int:
        return len(commits or [])

    assert edges(flow_of(maybe)) == []
    assert edges(flow_of(maybe, commits)) == [("commits", "maybe")]


def test_several_writers_of_an_appended_key_are_all_waited_for() -> None:
    """A writer that also reads the key sees what was added before it."""
    flow = Workflow("flow")
    flow.key("found", merge="append")
    for name in ("first", "second"):
        flow.step(name=name, writes="found")(lambda: [1])

    def third(found: list[int]) -> list[int]:
        return found

    def total(found: list[int]) -> int:
        return sum(found)

    flow.step(writes="found")(third)
    flow.step(total)
    assert edges(flow) == [
        ("first", "third"),
        ("second", "third"),
        ("first", "total"),
        ("second", "total"),
        ("third", "total"),
    ]
    assert flow.plan().merges == {"found": "append"}


def test_the_plan_does_not_depend_on_how_often_it_is_made() -> None:
    """Two plans of one workflow have the same stored form."""
    flow = flow_of(commits, areas)
    assert flow.plan().shape == flow.plan().shape


# --- refusals -------------------------------------------------------------------------------------------------------------


def _named(name: str) -> Any:
    def step() -> int:
        return 1

    step.__name__ = name
    return step


def _writing(key: str, name: str = "step") -> Any:
    flow = flow_of(commits)
    flow.step(name=name, writes=key)(lambda: 1)
    return flow


def test_a_parameter_nobody_provides_is_refused_with_the_closest_name() -> None:
    """Inputs and keys are looked through; far from everything, all of them are named."""
    assert refused(flow_of(commits, asks).plan) == (
        "step asks asks for 'commit', which is no input and no step's key; did you mean 'commits'?"
    )

    def stranger(xylophone: str) -> str:
        return xylophone

    assert refused(flow_of(commits, stranger).plan).endswith("; known are repo, since, commits, stranger")
    assert refused(_bare(stranger).plan).endswith("; known are stranger")


def _bare(*functions: Any) -> Workflow:
    flow = Workflow("flow")
    for function in functions:
        flow.step(function)
    return flow


def test_a_step_that_gives_no_such_key_is_named_with_the_key_it_gives() -> None:
    """Asking for a step by its name is the natural mistake."""

    def wants(nothing: int, named: int) -> int:
        return nothing + named

    message = refused(flow_of(commits, areas, nothing, wants).plan)
    assert (
        message
        == "step wants asks for 'nothing', but step nothing returns nothing; wait for it with after=, or give it that key"
    )
    flow = flow_of(wants)
    flow.step(name="nothing")(lambda: 1)
    flow.step(name="named", writes="other")(lambda: 1)
    assert "but step named writes 'other'" in refused(flow.plan)


def test_forgotten_annotations_and_methods_are_recognised() -> None:
    """``io`` without its annotation and ``self`` are what people write by mistake."""

    def unannotated(io) -> int:  # type: ignore[no-untyped-def]  # noqa: ANN001 - what this is about
        return int(io)

    def method(self: object) -> int:
        return int(str(self))

    assert refused(_bare(unannotated).plan).endswith("; annotate it, as in io: Io")
    assert refused(_bare(method).plan).endswith("; a step is a function, not a method")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: flow_of(commits, commits), "step commits is defined twice; pass name= to one of them"),
        (
            lambda: _writing("commits").plan(),
            "step step writes 'commits', as step commits does; give it another key or declare",
        ),
        (lambda: _writing("repo").plan(), "step step writes 'repo', which is an input; give writes= another key"),
        (lambda: flow_of(_named("repo")).plan(), "step repo writes 'repo', which is an input; give writes= another key"),
        (lambda: _after("commit").plan(), "step step waits for 'commit', which is no step; did you mean 'commits'?"),
        (lambda: _after("xyz").plan(), "step step waits for 'xyz', which is no step"),
        (lambda: _after(areas), "step step waits for 'areas', which is no step declared before it"),
        (lambda: _after(3), "step step waits for 3, which is no step declared before it"),
        (lambda: Workflow("flow").key("a b", merge="append"), "'a b' is no context key"),
        (lambda: Workflow("flow").key("a", merge="add"), "key a cannot merge by 'add'; use 'append', "),  # type: ignore[arg-type]
        (lambda: _merging("commit").plan(), "key 'commit' is declared, but no step writes it; did you mean 'commits'?"),
        (lambda: Workflow("flow", exec="git"), "exec and private_hosts are lists of texts, such as exec=['git']"),
        (lambda: Workflow("flow", exec=[3]), "exec and private_hosts are lists of texts"),  # type: ignore[list-item]
        (lambda: Workflow("flow", private_hosts="localhost"), "exec and private_hosts are lists of texts"),
        (
            lambda: Workflow("flow", private_hosts={"http://127.0.0.1:8871/"}),
            "private host 'http://127.0.0.1:8871/' must be one ",
        ),
        (lambda: Workflow("flow", version=2), "has version=2; give a text, such as version='2'"),  # type: ignore[arg-type]
        (lambda: Workflow("Flow"), "invalid op_id: 'Flow'; it must be 1 to 63 of a-z, 0-9 and _, starting with a letter"),
        (lambda: Workflow("a" * 64), "it must be 1 to 63"),
        (lambda: Workflow(3), "invalid op_id: 3"),  # type: ignore[arg-type]
    ],
)
def test_contradictions_are_one_sentence(make: Any, reason: str) -> None:
    """Each names what is wrong and, where it can be known, what to write instead."""
    assert refused(make).startswith(reason) or reason in refused(make)


def _after(step: Any) -> Workflow:
    flow = flow_of(commits)
    flow.step(name="step", after=[step])(lambda: 1)
    return flow


def _merging(key: str) -> Workflow:
    flow = flow_of(commits)
    flow.key(key, merge="append")
    return flow


def test_a_key_has_one_way_to_merge() -> None:
    """Declaring it again is fine, declaring it otherwise is not; "error" is what holds anyway."""
    flow = _merging("commits")
    flow.key("commits", merge="append")
    assert "declared twice, with different merges" in refused(lambda: flow.key("commits", merge="error"))
    strict = _writing("commits", "other")
    strict.key("commits", merge="error")
    assert "writes 'commits', as step commits does" in refused(strict.plan)


def test_a_cycle_is_named_and_an_empty_workflow_told_so() -> None:
    """Over several steps, and of a step that asks for its own result."""

    def first(second: int) -> int:
        return second

    def second(first: int) -> int:
        return first

    def alone(alone: int) -> int:
        return alone

    with pytest.raises(CircularDependencyError) as caught:
        _bare(first, second).plan()
    assert set(caught.value.cycle) == {"flow.first.main", "flow.second.main"}
    assert refused(_bare(alone).plan) == "step alone asks for 'alone', which it writes itself; give writes= another key"
    with pytest.raises(EmptyPlanError, match="add at least one step"):
        Workflow("flow").plan()


def test_a_refused_step_is_not_half_declared() -> None:
    """After the mistake is mended in a notebook, the same workflow goes on."""
    flow = Workflow("flow")
    with pytest.raises(WorkflowDefinitionError):
        flow.step(name="one", tags="x")(lambda: 1)
    flow.step(name="one")(lambda: 1)
    assert len(flow.plan().states) == 1


# --- what stays of the function -------------------------------------------------------------------------------------------


def test_a_step_stays_the_function_it_was() -> None:
    """Bare and with options, plain and async: callable in a unit test, its name, docstring and identity kept."""
    flow = Workflow("flow", inputs=Given)

    @flow.step
    def one(repo: str) -> str:
        """Say something."""
        return repo.upper()

    @flow.step(tags=["report"])
    async def two(one: str, io: Io | None = None) -> str:
        del io
        return one + "!"

    assert one("a") == "A"
    assert (one.__name__, one.__doc__) == ("one", "Say something.")
    assert asyncio.run(two(one="B")) == "B!"
    assert flow.step(name="again")(one) is one
