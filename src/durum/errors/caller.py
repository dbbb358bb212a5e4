"""The caller's fault: the call is wrong; fix it and call again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durum.errors.roots import CallerError

if TYPE_CHECKING:
    from collections.abc import Sequence


_SHOWN_CHARACTERS = 80
_SHOWN_BITS = 64


def _shown(value: object) -> str:
    """Return an id that is none as its error shows it: a bounded text, the type of anything else; no code of its own is run."""
    if value is None or type(value) in {bool, float} or (type(value) is int and value.bit_length() <= _SHOWN_BITS):
        return repr(value)
    if not issubclass(type(value), str):
        return f"of type {type(value).__name__}"
    text = str.__str__(value)
    shown = repr(text[:_SHOWN_CHARACTERS])
    return shown if len(text) <= _SHOWN_CHARACTERS else f"{shown} and {len(text) - _SHOWN_CHARACTERS} more characters"


class InvalidIdError(CallerError):
    """An identifier breaks the naming contract of its kind (seed 002, ``ids``)."""

    code = "invalid_id"

    def __init__(self, kind: str, value: object, rule: str = "") -> None:
        self.kind = kind
        self.value = value
        self.rule = rule
        super().__init__(f"invalid {kind}: {_shown(value)}" + (f"; it must be {rule}" if rule else ""))


class CanonicalJsonError(CallerError):
    """A value has no canonical JSON form (RFC 8785); ``path`` is where, as ``$.a[0]``."""

    code = "not_canonical_json"

    def __init__(self, reason: str, path: str = "$") -> None:
        self.reason = reason
        self.path = path
        super().__init__(f"not JSON at {path}: {reason}")


class SecretsDetectedError(CallerError):
    """A value that would be stored holds a secret; pass a reference instead."""

    code = "secrets_detected"

    def __init__(self, where: str, path: str, rule: str) -> None:
        self.where = where
        self.path = path
        self.rule = rule
        super().__init__(f"{where} holds a secret at {path} ({rule}); pass a reference such as durum.Secret('NAME') instead")


class InvalidInputError(CallerError):
    """Inputs of a run are missing, unknown or of the wrong type."""

    code = "invalid_input"

    def __init__(self, workflow: str, problems: Sequence[str]) -> None:
        self.workflow = workflow
        self.problems = tuple(problems)
        super().__init__(f"invalid input for workflow {workflow}: {'; '.join(self.problems)}")


class AnswerError(CallerError):
    """An answer does not fit the gate it is for."""

    code = "invalid_answer"

    def __init__(self, gate: str, reason: str) -> None:
        self.gate = gate
        self.reason = reason
        super().__init__(f"gate {gate}: {reason}")


class RunOverError(CallerError):
    """A run that is over is to be steered; only rewinding or forking goes on from there."""

    code = "run_over"

    def __init__(self, run_id: str, status: str) -> None:
        self.run_id = run_id
        self.status = status
        super().__init__(f"run {run_id} is over ({status}); nothing can be changed in it any more")


class TargetError(CallerError):
    """A TARGET names no workflow that can be loaded."""

    code = "invalid_target"

    def __init__(self, target: str, reason: str) -> None:
        self.target = target
        self.reason = reason
        super().__init__(f"cannot load {target}: {reason}")


class WorkflowDefinitionError(CallerError):
    """A workflow is authored wrongly; found when its file is loaded."""

    code = "invalid_workflow"

    def __init__(self, workflow: str, reason: str) -> None:
        self.workflow = workflow
        self.reason = reason
        super().__init__(f"workflow {workflow}: {reason}")


class PlanValidationError(CallerError):
    """A plan breaks a structural rule (seed 002, ``plan``)."""

    code = "invalid_plan"


class EmptyPlanError(PlanValidationError):
    """The plan holds no states."""

    code = "empty_plan"

    def __init__(self) -> None:
        super().__init__("the plan has no states; add at least one step")


class DuplicateStateIdError(PlanValidationError):
    """Two states of a plan share an id."""

    code = "duplicate_state_id"

    def __init__(self, state_id: str) -> None:
        self.state_id = state_id
        super().__init__(f"state {state_id} appears twice in the plan; give each its own id")


class MissingStateForEdgeError(PlanValidationError):
    """An edge names a state that is not in the plan."""

    code = "missing_state_for_edge"

    def __init__(self, missing: str) -> None:
        self.missing = missing
        super().__init__(f"an edge names state {missing}, which is not in the plan")


class CircularDependencyError(PlanValidationError):
    """The plan has a cycle; ``cycle`` lists its states in order."""

    code = "circular_dependency"

    def __init__(self, cycle: Sequence[str]) -> None:
        self.cycle = tuple(cycle)
        super().__init__(f"the plan has a cycle: {' -> '.join((*self.cycle, self.cycle[0]))}; break one of these dependencies")


class DanglingDependencyTagError(PlanValidationError):
    """A state depends on a tag that no state carries."""

    code = "dangling_dependency_tag"

    def __init__(self, state_id: str, missing_tag: str) -> None:
        self.state_id = state_id
        self.missing_tag = missing_tag
        super().__init__(f"state {state_id} depends on tag {missing_tag!r}, which no state carries")


class SideBySideWritersError(PlanValidationError):
    """Two states declare to write one context key, neither comes before the other, and the key declares no merge."""

    code = "side_by_side_writers"

    def __init__(self, key: str, writers: Sequence[str]) -> None:
        self.key = key
        self.writers = tuple(writers)
        super().__init__(
            f"states {' and '.join(self.writers)} write context key {key!r} side by side; order them or declare a merge"
        )


class ConfigError(CallerError):
    """A setting is unknown or out of range."""

    code = "invalid_config"


class NotFoundError(CallerError):
    """A run, key or artifact that was asked for does not exist."""

    code = "not_found"

    def __init__(self, kind: str, name: str, hint: str = "") -> None:
        self.kind = kind
        self.name = name
        self.hint = hint
        super().__init__(f"no {kind} {name}" + (f"; {hint}" if hint else ""))


class RunExistsError(CallerError):
    """A run with this id was started before."""

    code = "run_already_exists"

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(f"run {run_id} exists already; resume it with: durum resume {run_id}")


class KeyReusedError(CallerError):
    """An invocation key was used before to ask for something else."""

    code = "key_reused"

    def __init__(self, run_id: str, differences: Sequence[str]) -> None:
        self.run_id = run_id
        self.differences = tuple(differences)
        super().__init__(
            f"this invocation key started run {run_id} with {'; '.join(self.differences)}; "
            "ask for the same again to find that run, or give this job a key of its own"
        )


class RunOwnedError(CallerError):
    """Another live worker drives the run."""

    code = "run_owned"

    def __init__(self, run_id: str, owner: str) -> None:
        self.run_id = run_id
        self.owner = owner
        super().__init__(f"run {run_id} is being driven by {owner}; wait for it or stop that process first")


class PlanChangedError(CallerError):
    """The code named for a resume no longer fits the run's log."""

    code = "plan_changed"

    def __init__(self, run_id: str, reasons: Sequence[str]) -> None:
        self.run_id = run_id
        self.reasons = tuple(reasons)
        super().__init__(
            f"run {run_id} cannot go on with this code: {'; '.join(self.reasons)}; resume it with the code it started on"
        )


class ForeignStoreError(CallerError):
    """The store is no Durum store of a version this code can read; it was not touched."""

    code = "foreign_store"

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path} {reason}; it was not touched")
