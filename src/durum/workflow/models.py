"""Values of pydantic models and constrained types, to JSON and back; the only module that loads pydantic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec
import typing_extensions
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError

from durum.core.canonical import normalized
from durum.core.failure import text_of
from durum.errors import CanonicalJsonError, SerializationError
from durum.workflow.json_form import items_of, refuse_endless, settled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from durum.core.canonical import JsonValue

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

    def load(self, key: str, value: JsonValue) -> Any:  # noqa: ANN401 - see ``Converter``
        """Return context JSON as the declared type."""
        try:
            return self._adapter.validate_json(_spelled(value), by_alias=True, by_name=True)
        except ValidationError as error:
            raise SerializationError(key, first_problem(error)) from error

    def dump(self, key: str, value: object, *, check: bool = True) -> object:
        """Return a result as JSON."""
        try:
            refuse_endless(value)
            if check:
                self._adapter.validate_python(value)
            form = self._adapter.dump_python(
                value, mode="json", round_trip=True, by_alias=False, warnings="error" if check else "none"
            )
            return settled(value, form)
        except ValidationError as error:
            raise SerializationError(key, f"{first_problem(error)} (in the step's result)") from error
        except Exception as error:  # a value's own code may raise anything
            raise SerializationError(key, f"the step's result does not convert to JSON: {text_of(error)}") from error


def first_problem(error: ValidationError) -> str:
    """Return the first of the problems found, with the place."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return first["msg"] + (f" at {where}" if where else "")


class InputModel:
    """The declared inputs of a workflow: a pydantic model, or a TypedDict with the constraints pydantic knows."""

    def __init__(self, declared: Any) -> None:  # noqa: ANN401 - a class
        self.annotations: dict[str, Any] = {}  # name -> type without constraints
        self._places: dict[str, set[str]] = {}  # name -> what pydantic may call it in an error
        if hasattr(declared, "model_fields"):
            self._adapter = adapter_of(declared)
            for name, field in declared.model_fields.items():
                self.annotations[name] = field.annotation
                self._places[name] = {name, str(field.alias), str(field.validation_alias)}
        else:
            hints = typing_extensions.get_type_hints(declared, include_extras=True)
            fields = {name: _presence(hint, name in declared.__required_keys__) for name, hint in hints.items()}
            make: Any = typing_extensions.TypedDict  # before Python 3.12 pydantic refuses the one of ``typing``
            rebuilt = make(declared.__name__, fields)
            rebuilt.__pydantic_config__ = ConfigDict(extra="forbid")
            self._adapter = adapter_of(rebuilt)
            self.annotations = typing_extensions.get_type_hints(declared)
            self._places = {name: {name} for name in hints}

    def problems(self, values: Mapping[str, object], *, typed: bool) -> list[tuple[str, str, str | None]]:
        """Return place, reason and the value that was given of everything wrong; ``typed`` values came as JSON."""
        try:
            self._validated(values, typed=typed)
        except ValidationError as error:
            return [_problem(found) for found in error.errors(include_url=False, include_context=False)]
        return []

    def accepts(self, name: str, value: object) -> bool:
        """Tell whether nothing is wrong with the value of one input."""
        try:
            self._validated({name: value}, typed=True)
        except ValidationError as error:
            return not any(found["loc"] and found["loc"][0] in self._places[name] for found in error.errors())
        return True

    def dump(self, values: Mapping[str, object], *, typed: bool) -> JsonValue:
        """Return valid inputs as JSON, defaults filled in.

        Raises:
            CanonicalJsonError: one has no JSON form.
        """
        validated = self._validated(values, typed=typed)
        members = validated if isinstance(validated, dict) else vars(validated)
        for name, value in members.items():
            if _holds_bytes(value):
                raise CanonicalJsonError("bytes are no JSON; declare text, or the path of a file", f"$.{name}")
        try:
            refuse_endless(validated)
            form = self._adapter.dump_python(validated, mode="json", round_trip=True, by_alias=False, warnings="none")
            return cast("JsonValue", settled(validated, form))
        except Exception as error:  # a value's own code may raise anything
            raise CanonicalJsonError(text_of(error)) from error

    def _validated(self, values: Mapping[str, object], *, typed: bool) -> Any:  # noqa: ANN401 - of the declared class
        if typed:
            return self._adapter.validate_json(_spelled(normalized(values)), by_alias=True, by_name=True)
        return self._adapter.validate_python(values, by_alias=True, by_name=True)


def _presence(hint: object, required: bool) -> object:  # noqa: FBT001 - a fact about the hint
    """Return a TypedDict's hint with what it says of presence made explicit; string annotations hide it from Python."""
    origin = typing_extensions.get_origin(hint)
    if origin in {typing_extensions.Required, typing_extensions.NotRequired, typing_extensions.ReadOnly}:
        inner = typing_extensions.get_args(hint)[0]
        return _presence(inner, required if origin is typing_extensions.ReadOnly else origin is typing_extensions.Required)
    return hint if required else typing_extensions.NotRequired[hint]


def _problem(found: Any) -> tuple[str, str, str | None]:  # noqa: ANN401 - pydantic's error details
    where = ".".join(str(part) for part in found["loc"]) or "inputs"
    return where, found["msg"], None if found["type"] == "missing" else _shown(found["input"])


def _shown(given: object) -> str:
    try:
        return repr(given)
    except Exception:  # noqa: BLE001 - a value's own code
        return type(given).__name__


def _spelled(value: JsonValue) -> bytes:
    """Return JSON that pydantic reads as the same numbers; canonical JSON spells 1e20 with digits only, as an integer."""
    return msgspec.json.encode(value)


def _holds_bytes(value: object) -> bool:
    met: set[int] = set()
    stack = [value]
    while stack:
        part = stack.pop()
        if issubclass(type(part), bytes | bytearray):
            return True
        if id(part) not in met:
            met.add(id(part))
            stack += items_of(part)
    return False
