"""Values of pydantic models and constrained types, to JSON and back; only this module and ``inputs`` load pydantic."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from pydantic_core import PydanticSerializationError

from durum.core.canonical import canonical_json
from durum.errors import SerializationError
from durum.workflow.json_form import sets_sorted

if TYPE_CHECKING:
    from durum.core.canonical import JsonValue

_UNORDERED = re.compile(r"'type': '(set|frozenset|any)'")
_HIDDEN = "pydantic.types.Secret"
_NO_SECRETS = "a secret is never recorded; declare the name of an environment variable as text and call with durum.Secret(name)"


def adapter_of(annotation: object) -> TypeAdapter[Any]:
    """Return what validates and dumps values of an annotation.

    Raises:
        TypeError: pydantic knows no way, or it holds secrets, of which only asterisks would come back.
    """
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(cast("Any", annotation))
        adapter.rebuild(raise_errors=True)
    except (PydanticUserError, PydanticUndefinedAnnotation) as error:
        raise TypeError(str(error.message).partition("\n")[0]) from error
    if _HIDDEN in repr(adapter.core_schema):
        raise TypeError(_NO_SECRETS)
    return adapter


class ModelConverter:
    """Converts by pydantic; fields go by their own names, whatever aliases they have."""

    def __init__(self, annotation: object) -> None:
        self._adapter = adapter_of(annotation)
        self._sorts = _UNORDERED.search(repr(self._adapter.core_schema)) is not None

    def load(self, key: str, value: JsonValue) -> Any:  # noqa: ANN401 - see ``Converter``
        """Return context JSON as the declared type."""
        try:
            return self._adapter.validate_json(canonical_json(value), by_alias=True, by_name=True)
        except ValidationError as error:
            raise SerializationError(key, first_problem(error)) from error

    def dump(self, key: str, value: object, *, check: bool = True) -> object:
        """Return a result as JSON."""
        try:
            if check:
                self._adapter.validate_python(value)
            form = self._adapter.dump_python(
                value, mode="json", round_trip=True, by_alias=False, warnings="error" if check else "none"
            )
        except ValidationError as error:
            raise SerializationError(key, f"{first_problem(error)} (in the step's result)") from error
        except PydanticSerializationError as error:
            raise SerializationError(key, f"the step's result does not convert to JSON: {error}") from error
        return sets_sorted(value, form) if self._sorts else form


def first_problem(error: ValidationError) -> str:
    """Return the first of the problems found, with the place."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return first["msg"] + (f" at {where}" if where else "")
