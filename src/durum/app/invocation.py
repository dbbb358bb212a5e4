"""An invocation, one ask for a run: code, inputs and configuration, checked and made into what the engine starts from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from durum.app import wiring
from durum.app.provenance import build_of
from durum.app.run_code import Code, resolve
from durum.core.canonical import JsonObject, canonical_json, digest_bytes, normalized
from durum.core.config import RunConfig
from durum.core.ids import ContextKey
from durum.core.manifest import BuildProvenance, Parent, RunManifest
from durum.core.plan import ExecutionPlan
from durum.core.secrets import refuse_secrets
from durum.engine.engine import StartRun
from durum.errors import ConfigError
from durum.workflow.authoring import Workflow
from durum.workflow.options import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from durum.engine.transports import TransportRegistry


class Invocation(msgspec.Struct, frozen=True):
    """What a run is asked to do."""

    workflow: Workflow | None  # None: a bare plan
    plan: ExecutionPlan
    context: JsonObject  # inputs, converted and complete
    config: RunConfig
    given: tuple[str, ...]  # inputs the caller named, sorted; the others are defaults

    @property
    def version(self) -> str:
        """The workflow's version as its author counts."""
        return "1" if self.workflow is None else self.workflow.version


def invocation(
    code: Code, inputs: Mapping[str, object] | None = None, config: RunConfig | None = None, *, texts: bool = False
) -> Invocation:
    """Return what a run is asked to do. ``texts``: input values were typed, convert them.

    Raises:
        InvalidInputError, SecretsDetectedError, TargetError, WorkflowDefinitionError, PlanValidationError.
        ConfigError: a tag to skip is none of the plan's, or the event profile is misspelt.
    """
    workflow, plan = resolve(code)
    config = config or RunConfig()
    config.check_profile()
    _check_tags(plan, config.skip_tags)
    context = _plain_context(inputs or {}) if workflow is None else workflow.parse_inputs(inputs or {}, texts=texts)
    return Invocation(workflow, plan, context, config, tuple(sorted(inputs or ())))


def start_run(run_id: str, asked: Invocation) -> StartRun:
    """Return what the engine starts the run from."""
    return StartRun(run_id, _manifest(asked, build_of(asked.plan)), asked.plan, asked.context)


class ChildCode(msgspec.Struct, frozen=True):
    """Implements the engine's ``ChildCode``: made once for all the children of a run that are runs of one workflow."""

    workflow: Workflow
    plan: ExecutionPlan
    build: BuildProvenance

    def transports(self) -> TransportRegistry:
        """Return the transports of the child's own workflow."""
        return wiring.transports(self.workflow)

    def start_run(self, run_id: str, inputs: JsonObject, config: RunConfig, parent: Parent) -> StartRun:
        """Return what a child run is started from; its inputs are complete, for they were converted when it was spawned."""
        asked = Invocation(self.workflow, self.plan, inputs, config, tuple(sorted(inputs)))
        return StartRun(run_id, _manifest(asked, self.build, parent), self.plan, inputs)


def child_code(workflow: object) -> ChildCode:
    """Return the code of a child run: what a step was given as ``child``."""
    assert isinstance(workflow, Workflow)
    plan = workflow.plan()
    return ChildCode(workflow, plan, build_of(plan))


def _manifest(asked: Invocation, build: BuildProvenance, parent: Parent | msgspec.UnsetType = msgspec.UNSET) -> RunManifest:
    workflow, shape = asked.workflow, asked.plan.shape
    allow = {} if workflow is None else {"exec": workflow.commands, "private_hosts": workflow.private_hosts}
    return RunManifest(
        op_id=asked.plan.op_id,
        op_version=asked.version,
        input_params=msgspec.Raw(canonical_json(asked.context)),
        run_config=asked.config,
        build=build,
        plan_id=digest_bytes(shape.stored),
        allow=allow,
        given=asked.given,
        parent=parent,
    )


def _check_tags(plan: ExecutionPlan, skip_tags: tuple[str, ...]) -> None:
    """Refuse a tag that would skip nothing."""
    nodes = plan.shape.nodes
    bodies = (node for head in nodes if head.each is not None for node in head.each.body)
    known = sorted({tag for node in (*nodes, *bodies) for tag in node.meta.tags})
    for tag in skip_tags:
        if tag not in known:
            those = f"its tags are {', '.join(known)}" if known else "its steps have no tags"
            hint = did_you_mean(tag, known)
            raise ConfigError(f"no step of {plan.op_id} has the tag {tag!r} that is to be skipped; {those}{hint}")


def _plain_context(values: Mapping[str, object]) -> JsonObject:
    """Return the initial context of a bare plan: any keys, JSON values without secrets."""
    context: JsonObject = {str(ContextKey(key)): normalized(value) for key, value in values.items()}
    refuse_secrets("the initial context", canonical_json(context))
    return context
