"""A workflow's declared inputs: what people pass is converted, every mistake is named at once."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any

from durum.core.canonical import canonical_json, decode_json, parse_json
from durum.core.failure import text_of
from durum.core.secrets import redact_text, refuse_secrets
from durum.errors import CanonicalJsonError, InvalidInputError, WorkflowDefinitionError
from durum.workflow.json_form import refuse_endless
from durum.workflow.options import did_you_mean, wrong_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from durum.core.canonical import JsonObject
    from durum.workflow.models import InputModel

_MAX_PROBLEM_CHARACTERS = 300


class Inputs:
    """The inputs of one workflow; ``declared`` is a pydantic model, a TypedDict or None for a workflow without any."""

    def __init__(self, workflow: str, declared: type | None) -> None:
        self._workflow = workflow
        self._declared = declared
        self._made: InputModel | None = None
        self.names: tuple[str, ...] = () if declared is None else self._names(declared)
        for name in self.names:
            if reason := wrong_key(name):
                raise WorkflowDefinitionError(workflow, f"declares the input {reason}")

    def _names(self, declared: object) -> tuple[str, ...]:
        if isinstance(declared, type) and hasattr(declared, "__required_keys__"):  # that of typing_extensions is one too
            return tuple(declared.__annotations__)
        is_root = getattr(declared, "__pydantic_root_model__", False)
        if isinstance(declared, type) and hasattr(declared, "model_fields") and not is_root:
            return tuple(declared.model_fields)
        raise WorkflowDefinitionError(self._workflow, f"inputs={declared!r} is neither a pydantic model nor a TypedDict")

    def convert(self, given: Mapping[str, object], *, texts: bool) -> JsonObject:
        """Return the inputs as JSON, defaults filled in. ``texts``: values were typed on a command line.

        Raises:
            InvalidInputError: some are missing, unknown or of the wrong type; all of them are named.
            SecretsDetectedError: one holds a secret.
            WorkflowDefinitionError: the declaration itself cannot be used.
        """
        problems = [self._unknown(str(name)) for name in given if name not in self.names]
        if self._declared is None:
            if problems:
                raise InvalidInputError(self._workflow, problems)
            return {}
        model = self._model()
        values = {name: value for name, value in given.items() if name in self.names}
        self._refuse_endless(values)
        if texts:
            values = {name: _typed(model, name, value) for name, value in values.items()}
        found = self._problems(model, values, texts=texts)
        if problems or found:
            raise InvalidInputError(self._workflow, [*problems, *found])
        return self._clean(model, values, texts=texts)

    def _refuse_endless(self, values: Mapping[str, object]) -> None:
        """Refuse, before anyone's validators look at it, what they would never come to the end of."""
        for name, value in values.items():
            try:
                refuse_endless(value)
            except ValueError as error:
                raise InvalidInputError(self._workflow, [f"{name}: {error}"]) from error

    def _unknown(self, name: str) -> str:
        declared = f"; declared are {', '.join(self.names)}" if self.names else "; it declares none"
        return f"{name} is not declared{did_you_mean(name, self.names, declared)}"

    def _model(self) -> InputModel:
        if self._made is None:
            from durum.workflow.models import InputModel  # noqa: PLC0415 - pydantic is loaded only where inputs are declared

            try:
                self._made = InputModel(self._declared)
            except Exception as error:  # annotations are expressions; evaluating them can raise anything
                reason = f"inputs={getattr(self._declared, '__name__', self._declared)} cannot be used: {error}"
                raise WorkflowDefinitionError(self._workflow, reason) from error
        return self._made

    def _problems(self, model: InputModel, values: Mapping[str, object], *, texts: bool) -> list[str]:
        try:
            found = model.problems(values, typed=texts)
        except CanonicalJsonError as error:  # what was typed is not UTF-8
            return [f"{error.path.removeprefix('$.')}: {error.reason}"]
        except Exception as error:  # noqa: BLE001 - a value's own code, or a validator's, may raise anything
            return [
                redact_text(f"inputs: checking them raised {type(error).__name__}: {text_of(error)}")[:_MAX_PROBLEM_CHARACTERS]
            ]
        lines = []
        for place, reason, shown in found:
            given = "" if shown is None else f" (given {shown})"
            lines.append(redact_text(f"{place}: {reason[:1].lower()}{reason[1:]}{given}")[:_MAX_PROBLEM_CHARACTERS])
        return lines

    def _clean(self, model: InputModel, values: Mapping[str, object], *, texts: bool) -> JsonObject:
        try:
            data = canonical_json(model.dump(values, typed=texts))
        except CanonicalJsonError as error:
            raise InvalidInputError(self._workflow, [f"{error.path.removeprefix('$.')}: {error.reason}"]) from error
        refuse_secrets(f"input of workflow {self._workflow}", data)
        clean = decode_json(data)
        assert isinstance(clean, dict)
        return clean


def _typed(model: InputModel, name: str, text: object) -> object:
    """Return a value for what was typed: text where text will do, else the JSON it spells; lists and objects where they fit."""
    annotation = model.annotations[name]
    if not isinstance(text, str) or annotation is str:
        return text
    try:
        value = parse_json(text)
    except CanonicalJsonError:
        return text
    if annotation in (Any, object) or (value is None and type(None) in typing.get_args(annotation)):
        return value
    if isinstance(value, dict | list):
        return value if model.accepts(name, value) or not model.accepts(name, text) else text
    return value if model.accepts(name, value) and not model.accepts(name, text) else text
