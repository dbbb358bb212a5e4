"""An invocation is checked and complete before anything is stored, and makes what a run starts from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from durum import ExecutionPlan, RunConfig, StateMeta, Workflow
from durum.core.manifest import Parent, decode_manifest
from durum.errors import ConfigError, InvalidIdError
from tests.app.flows import make

if TYPE_CHECKING:
    from pathlib import Path

    from durum import Durum


def test_a_bare_plan_starts_with_a_context_of_any_keys(service: Durum) -> None:
    """Its keys and values are checked as a step's would be."""
    plan = make().plan()
    assert isinstance(plan, ExecutionPlan)
    summary = service.start(plan, {"number": 1, "a/b": (1, 2)})
    assert service.context(str(summary["run_id"])) == {"number": 1, "a/b": [1, 2], "one": 2}
    with pytest.raises(InvalidIdError):
        service.start(plan, {"two words": 1})


def tagged(*, each: bool = False) -> Workflow:
    """Return a workflow of two steps with tags, one of them for each item."""
    flow = Workflow("tagged")
    flow.step(name="numbers", tags=["first"])(lambda: [1, 2])
    if each:
        flow.step(name="many", each="numbers", tags=["optional"])(lambda item: item)
    else:
        flow.step(name="one", tags=["optional", "slow"])(lambda: 1)
    return flow


@pytest.mark.parametrize("each", [True, False])
def test_a_tag_no_step_has_is_refused(service: Durum, each: bool) -> None:  # noqa: FBT001
    """It would skip nothing, silently; the message names the tags there are, and nothing is started."""
    flow = tagged(each=each)
    known = "first, optional" if each else "first, optional, slow"
    with pytest.raises(ConfigError) as refused:
        service.start(flow, config=RunConfig(skip_tags=("optional", "optonal")))
    assert str(refused.value) == (
        f"no step of tagged has the tag 'optonal' that is to be skipped; its tags are {known}; did you mean 'optional'?"
    )
    with pytest.raises(ConfigError, match=r"the tag 'optional' that is to be skipped; its steps have no tags$"):
        service.start(make(), {"number": 1}, config=RunConfig(skip_tags=("optional",)))
    assert service.runs() == []
    assert service.start(flow, config=RunConfig(skip_tags=("optional", "first")))["status"] == "completed"


def test_a_tag_that_only_the_states_of_items_have_counts(service: Durum) -> None:
    """Of a bare plan: what runs for each item may say something else than what counts the items."""
    plan = tagged(each=True).plan()
    (counting,) = [node for node in plan.shape.nodes if node.each is not None]
    assert counting.each is not None
    body = tuple(msgspec.structs.replace(node, meta=StateMeta(tags=("item",))) for node in counting.each.body)
    head = msgspec.structs.replace(counting, each=msgspec.structs.replace(counting.each, body=body))
    states = tuple(msgspec.structs.replace(node, node=head) if node.id == head.id else node for node in plan.states)
    plan = msgspec.structs.replace(plan, states=states)
    assert service.start(plan, config=RunConfig(skip_tags=("item",)))["status"] == "completed"


def test_a_misspelt_event_profile_is_refused(service: Durum) -> None:
    """Before anything is stored."""
    with pytest.raises(ConfigError, match="did you mean 'normal'"):
        service.start(make(), {"number": 1}, config=RunConfig(event_profile="nrmal"))
    assert service.runs() == []


FAMILY = """
from durum import Workflow

kid = Workflow("kid")
flow = Workflow("flow")


@kid.step
def one() -> int:
    return 1


@flow.step
def numbers() -> list[int]:
    return list(range(7))


@flow.step(each="numbers", child=kid, result="one")
def ones(item: int) -> dict[str, int]:
    return {}
"""


def test_where_code_comes_from_is_asked_once_for_all_the_children_of_a_run(
    service: Durum, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git is asked for the run and for its children's workflow, not for each child; every manifest holds the answer."""
    (tmp_path / "code.py").write_text(FAMILY)
    (tmp_path / ".git").mkdir()
    git = tmp_path / "git"
    git.write_text(f'#!/bin/sh\necho asked >> {tmp_path}/asked\necho "# branch.oid {"a" * 40}"\n')
    git.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    service.start(f"{tmp_path}/code.py:flow")
    assert (tmp_path / "asked").read_text() == "asked\n" * 2
    runs = [str(run["run_id"]) for run in service.runs()]
    assert len(runs) == 8
    for run_id in runs:
        started: Any = service.events(run_id)[0]["event"]
        manifest = decode_manifest(service.artifact(started["manifest_id"]))
        assert manifest.build.git_commit == "a" * 40
        assert (manifest.op_id == "kid") == isinstance(manifest.parent, Parent)
