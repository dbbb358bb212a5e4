"""An invocation is checked and complete before anything is stored, and makes what a run starts from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from durum import ExecutionPlan
from durum.core.manifest import Parent, decode_manifest
from durum.errors import InvalidIdError
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
