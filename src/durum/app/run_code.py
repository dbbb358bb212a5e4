"""The code of a run: what the caller named and nothing else; what is stored only selects among that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durum.app.targets import configured_targets, load_target, load_workflows
from durum.core.plan import ExecutionPlan
from durum.errors import TargetError
from durum.workflow.authoring import Workflow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durum.engine.recovery import LoadedRun

Code = Workflow | ExecutionPlan | str


def resolve(code: Code) -> tuple[Workflow | None, ExecutionPlan]:
    """Return the workflow, None for a bare plan, and the plan that ``code`` is or names."""
    if isinstance(code, ExecutionPlan):
        return None, code
    workflow = load_target(code) if isinstance(code, str) else code
    return workflow, workflow.plan()


def code_of(run: LoadedRun, code: Code | None, verb: str) -> tuple[Workflow | None, ExecutionPlan]:
    """Return the code of a recorded run; None looks among the targets of the working directory's ``pyproject.toml``.

    Raises:
        TargetError: nothing was named, or what was named holds no workflow of the run's name.
    """
    run_id, op_id = run.state.run_id, run.state.plan.op_id
    if isinstance(code, Workflow | ExecutionPlan):
        return resolve(code)
    named: Sequence[str] = configured_targets() if code is None else (code,)
    if not named:
        raise TargetError(op_id, f"no code was named for this run; name its file: durum {verb} {run_id} --with FILE.py")
    found: list[Workflow] = [flow for target in named for flow in load_workflows(target).values() if flow.name == op_id]
    if not found:
        places = ", ".join(named)
        raise TargetError(places, f"it holds no workflow {op_id}; name its file: durum {verb} {run_id} --with FILE.py")
    exact = [flow for flow in found if flow.version == run.manifest.op_version]
    workflow = (exact or found)[0]
    return workflow, workflow.plan()
