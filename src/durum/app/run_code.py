"""The code of a run: what the caller named and nothing else; what is stored only selects among that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durum.app.targets import configured_targets, load_target, load_workflows
from durum.core.plan import ExecutionPlan
from durum.errors import TargetError
from durum.workflow.authoring import Workflow

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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


class Codes:
    """What a worker may drive: the workflows it was given, and those their steps start child runs of."""

    def __init__(self, named: Iterable[Code]) -> None:
        """Load what is named.

        Raises:
            TargetError: nothing was named, or it cannot be loaded.
        """
        self._known: dict[str, list[tuple[Workflow | None, ExecutionPlan]]] = {}
        for code in named:
            for one in load_workflows(code).values() if isinstance(code, str) else (code,):
                self._add(one)
        if not self._known:
            raise TargetError("nothing", "no code was named to drive runs with; name its files: durum worker FILE.py ...")

    def _add(self, code: Workflow | ExecutionPlan) -> None:
        workflow, plan = resolve(code)
        known = self._known.setdefault(plan.op_id, [])
        if any(code in (one, its_plan) for one, its_plan in known):
            return
        known.append((workflow, plan))
        for node in plan.states:
            child = getattr(node.state, "child", None)
            if isinstance(child, Workflow):
                self._add(child)

    def find(self, run: LoadedRun) -> tuple[Workflow | None, ExecutionPlan] | None:
        """Return the code of a recorded run, of its version if there are several; None if none was given."""
        known = self._known.get(run.state.plan.op_id, [])
        exact = [code for code in known if code[0] is not None and code[0].version == run.manifest.op_version]
        return next(iter(exact or known), None)
