"""A step that starts a child run: its inputs are checked where they are given, and the child reaches only what is its own."""

from __future__ import annotations

from typing import Any, TypedDict

import pytest

import durum
from durum import Durum, Io, TransportError, Workflow
from durum.errors import WorkflowDefinitionError

TOKEN = "ghp_" + "a1B2" * 9


class Given(TypedDict, total=False):
    """A child's inputs."""

    count: int
    note: str


def child() -> Workflow:
    """Return a child that gives ``twice``."""
    kid = Workflow("kid", inputs=Given)

    @kid.step
    def twice(count: int = 1) -> int:
        return count * 2

    return kid


def parent_giving(value: object) -> Workflow:
    """Return a workflow that gives a child this."""
    flow = Workflow("parent")

    @flow.step(child=child(), result="twice")
    def given() -> Any:
        return value

    return flow


def failed(service: Durum, flow: Workflow) -> dict[str, Any]:
    """Start a workflow that must fail before there is a child, and return its error."""
    summary = service.start(flow)
    assert summary["status"] == "failed"
    assert [run["run_id"] for run in service.runs()] == [summary["run_id"]]
    assert summary["children"] == []
    assert not [row for row in service.events(str(summary["run_id"])) if "child.spawned" in str(row)]
    error: Any = summary["error"]
    assert error["state_id"] == "parent.given.spawn"
    return dict(error)


@pytest.mark.parametrize(
    ("value", "code", "said"),
    [
        ({"count": "many"}, "invalid_input", "count"),
        ({"cuont": 1}, "invalid_input", "cuont is not declared; did you mean 'count'?"),
        ([1], "context_serialization", "return the child's inputs as an object, not list"),
        (None, "context_serialization", "not NoneType"),
        ({"note": TOKEN}, "secrets_detected", "note"),
    ],
)
def test_inputs_are_refused_before_there_is_a_child(value: object, code: str, said: str) -> None:
    """The state that starts it fails with what is wrong, no run and no row is left, and no secret is stored."""
    with durum.open("memory://") as service:
        error = failed(service, parent_giving(value))
        assert (error["code"], said in error["message"]) == (code, True), error
        assert TOKEN not in str(service.events(str(service.runs()[0]["run_id"])))


def test_the_childs_defaults_are_its_own() -> None:
    """Inputs left out are the child's to fill in."""
    with durum.open("memory://") as service:
        summary = service.start(parent_giving({}))
        assert service.context(str(summary["run_id"]), "given") == 2


def test_several_children_give_under_a_key_of_their_own() -> None:
    """``writes=`` names the key; a step without a child beside it is not held up."""
    flow = Workflow("parent")

    @flow.step(child=child(), result="twice", writes="first")
    def one() -> Given:
        return {"count": 1}

    @flow.step(child=child(), result="twice", writes="second")
    def two(first: int) -> Given:
        return {"count": first}

    with durum.open("memory://") as service:
        summary = service.start(flow)
        assert service.context(str(summary["run_id"])) == {"first": 2, "second": 4}


def reaching() -> Workflow:
    """Return a child that runs a command, asks a private host and calls a namespace, and tells how each went."""
    kid = Workflow("kid")

    @kid.step
    async def tried(io: Io) -> list[str]:
        codes = []
        calls = (lambda: io.exec(["echo", "hi"]), lambda: io.http("GET", "http://127.0.0.1:9/"), lambda: io.call("own", {}))
        for call in calls:
            try:
                await call()
                codes.append("went through")
            except TransportError as error:
                codes.append(error.transport_code)
        return codes

    return kid


class Own:
    """A transport of the parent's."""

    async def call(self, request: object, call: object) -> str:
        """Answer."""
        del request, call
        return "answered"

    async def close(self) -> None:
        """Hold nothing."""


def test_a_child_reaches_only_what_its_own_workflow_declares() -> None:
    """Commands, private hosts and transports of its parent are not for it; the parent's are not widened by it either."""
    flow = Workflow("parent", exec=["echo"], private_hosts=["127.0.0.1:9"], transports={"own": Own})

    @flow.step(child=reaching(), result="tried")
    def given() -> dict[str, Any]:
        return {}

    with durum.open("memory://") as service:
        summary = service.start(flow)
        codes = service.context(str(summary["run_id"]), "given")
        assert codes == ["command_not_allowed", "address_refused", "unknown_namespace"]


def test_a_child_reaches_what_its_own_workflow_declares_and_its_parent_does_not() -> None:
    """A parent need not be allowed what its child is."""
    kid, flow = Workflow("kid", exec=["echo"]), Workflow("parent")

    @kid.step
    async def said(io: Io) -> str:
        return (await io.exec(["echo", "hi"])).stdout

    @flow.step(child=kid, result="said")
    def given() -> dict[str, Any]:
        return {}

    with durum.open("memory://") as service:
        summary = service.start(flow)
        assert service.context(str(summary["run_id"]), "given") == "hi\n"


def test_a_child_is_not_to_be_had_before_it_is_over() -> None:
    """The namespace is the engine's: a step that asks it by hand gets a failure, not what some run holds so far."""
    flow = Workflow("parent")

    @flow.step
    async def sly(io: Io) -> list[str]:
        codes = []
        for key in ("parent.given.spawn", "other.given.spawn"):
            try:
                await io.call("child", {"key": key})
            except TransportError as error:
                codes.append(error.transport_code)
        return codes

    with durum.open("memory://") as service:
        summary = service.start(flow)
        assert summary["status"] == "completed", summary["error"]
        assert service.context(str(summary["run_id"]), "sly") == ["child_not_over"] * 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"child": "kid"}, "has child='kid'; give a Workflow"),
        ({"child": child(), "result": "not a key"}, "name a context key of the child"),
        ({"result": "twice"}, "which only a step with child= can have"),
        ({"child": child(), "effects": "apply_side_effect"}, "do the effect in a step of its own"),
    ],
)
def test_a_declaration_that_cannot_be_meant_is_refused(options: dict[str, Any], said: str) -> None:
    """When the file is loaded, before anything runs."""
    flow = Workflow("parent")

    def given() -> dict[str, Any]:
        return {}

    with pytest.raises(WorkflowDefinitionError, match=said):
        flow.step(**options)(given)
