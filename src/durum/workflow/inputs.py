"""A workflow's declared inputs: what people pass is converted, every mistake is named at once."""

from __future__ import annotations

import typing
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from durum.core.canonical import canonical_json, decode_json, parse_json
from durum.core.secrets import find_secret
from durum.errors import CanonicalJsonError, InvalidInputError, SecretsDetectedError, WorkflowDefinitionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from durum.core.canonical import JsonObject, JsonValue


class Inputs:
    """The inputs of one workflow; ``declared`` is a pydantic model, a TypedDict or None for a workflow without any."""

    def __init__(self, workflow: str, declared: type | None) -> None:
        self._workflow = workflow
        self._declared = declared
        self.names: tuple[str, ...] = tuple(typing.get_type_hints(declared)) if declared is not None else ()
        if declared is not None and hasattr(declared, "model_fields"):
            self.names = tuple(declared.model_fields)
        elif declared is not None and not typing.is_typeddict(declared):
            raise WorkflowDefinitionError(workflow, f"inputs={declared!r} is neither a pydantic model nor a TypedDict")

    def convert(self, given: Mapping[str, object], *, texts: bool) -> JsonObject:
        """Return the inputs as JSON, defaults filled in. ``texts``: values were typed on a command line.

        Raises:
            InvalidInputError: some are missing, unknown or of the wrong type; all of them are named.
            SecretsDetectedError: one holds a secret.
        """
        unknown = [self._unknown(name) for name in given if name not in self.names]
        if unknown:
            raise InvalidInputError(self._workflow, unknown)
        if self._declared is None:
            return {}
        model = self._model()
        values = {name: self._typed(model, name, value) for name, value in given.items()} if texts else dict(given)
        return self._clean(self._validated(model, values))

    def _unknown(self, name: str) -> str:
        close = get_close_matches(name, self.names, n=1)
        if close:
            return f"{name} is not declared; did you mean {close[0]}?"
        return f"{name} is not declared; " + (f"declared are {', '.join(self.names)}" if self.names else "it declares none")

    def _model(self) -> type[BaseModel]:
        from pydantic import BaseModel, ConfigDict, create_model  # noqa: PLC0415 - loaded only where inputs are declared

        declared: Any = self._declared
        if issubclass(declared, BaseModel):
            model: type[BaseModel] = declared
            return model
        fields: dict[str, Any] = {
            name: (annotation, ...) if name in declared.__required_keys__ else (annotation, None)
            for name, annotation in typing.get_type_hints(declared).items()
        }
        return create_model(declared.__name__, __config__=ConfigDict(extra="forbid"), **fields)

    @staticmethod
    def _typed(model: type[BaseModel], name: str, text: object) -> object:
        """Return a typed value for what was typed: text stays text where text is asked for, else it is JSON if it can be."""
        field = model.model_fields[name]
        if field.annotation is str or not isinstance(text, str):
            return text
        try:
            value = parse_json(text)
        except CanonicalJsonError:
            return text
        wants_text = str in typing.get_args(field.annotation)
        return text if wants_text and not isinstance(value, dict | list) and value is not None else value

    def _validated(self, model: type[BaseModel], values: Mapping[str, object]) -> object:
        from pydantic import ValidationError  # noqa: PLC0415

        try:
            return model.model_validate(values).model_dump(mode="json", exclude_unset=not self._is_model())
        except ValidationError as error:
            problems = []
            for found in error.errors(include_url=False):
                where = ".".join(str(part) for part in found["loc"]) or "inputs"
                given = "" if found["type"] == "missing" else f" (given {found['input']!r})"
                problems.append(f"{where}: {found['msg'][:1].lower()}{found['msg'][1:]}{given}"[:300])
            raise InvalidInputError(self._workflow, problems) from None

    def _is_model(self) -> bool:
        return hasattr(self._declared, "model_fields")

    def _clean(self, dumped: object) -> JsonObject:
        try:
            values: JsonValue = decode_json(canonical_json(dumped))
        except CanonicalJsonError as error:
            raise InvalidInputError(self._workflow, [str(error)]) from error
        found = find_secret(values)
        if found is not None:
            raise SecretsDetectedError(f"input of workflow {self._workflow}", *found)
        assert isinstance(values, dict)
        return values
