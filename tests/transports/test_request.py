"""Requests are read strictly: a wrong one is refused by name of its field, and a secret's value never shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from durum.errors import TransportError
from durum.transports.request import Fields
from tests.transports.no_store import NoStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from durum.core.canonical import JsonObject, JsonValue


@dataclass(frozen=True)
class Call(NoStore):
    """A call that knows two secrets."""

    effect_key: str | None = None
    secrets: dict[str, str] = field(default_factory=lambda: {"TOKEN": "canary-1"})

    def secret(self, name: str) -> str:
        """Return the secret's value."""
        return self.secrets[name]


def fields(request: JsonObject) -> Fields:
    """Return the fields of a request that knows ``a`` only."""
    return Fields("exec", request, {"a"})


def refused(read: Callable[[], object]) -> str:
    """Return the message of the refusal that ``read`` meets."""
    with pytest.raises(TransportError) as caught:
        read()
    assert caught.value.transport_code == "invalid_request"
    assert not caught.value.retryable
    return str(caught.value)


def test_unknown_fields_are_refused() -> None:
    """A misspelt field is named beside the known ones, and a request that is no object is refused."""
    assert refused(lambda: fields({"a": 1, "b": 2})) == "exec request: unknown field 'b'; the known ones are a"
    assert "an object" in refused(lambda: fields([]))  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [None, 1, True, [], {}])
def test_text_takes_strings_only(value: JsonValue) -> None:
    """Neither null nor another type stands for a string."""
    assert refused(lambda: fields({"a": value}).text("a")) == "exec request: a must be a string"
    assert fields({"a": "x"}).text("a") == "x"


@pytest.mark.parametrize("value", [None, True, "5", 5.0, 0, 11])
def test_integer_takes_integers_in_range_only(value: JsonValue) -> None:
    """Booleans and floats are no integers, and both limits hold."""
    assert refused(lambda: fields({"a": value}).integer("a", 3, 1, 10)) == "exec request: a must be an integer from 1 to 10"


def test_integer_defaults_and_limits() -> None:
    """An absent field is the default; the limits themselves are allowed."""
    assert fields({}).integer("a", 3, 1, 10) == 3
    assert fields({"a": 1}).integer("a", 3, 1, 10) == 1
    assert fields({"a": 10}).integer("a", 3, 1, 10) == 10


def test_the_other_shapes() -> None:
    """Flags, objects, arrays of strings and payloads are checked the same way."""
    assert "true or false" in refused(lambda: fields({"a": 1}).flag("a", default=False))
    assert "an object" in refused(lambda: fields({"a": []}).mapping("a"))
    assert "array of strings" in refused(lambda: fields({"a": "x"}).texts("a"))
    assert "array of strings" in refused(lambda: fields({"a": ["x", 1]}).texts("a"))
    assert refused(lambda: fields({"a": {"text": 1}}).payload("a")).startswith("exec request: a: a payload is")
    assert fields({}).payload("a") is None


def test_secrets_are_resolved_where_they_are_allowed() -> None:
    """A reference becomes the value, with its prefix, and is marked as a secret; plain text is not."""
    reader = fields({})
    assert reader.reveal("a", "plain", Call()) == ("plain", False)
    assert reader.reveal("a", {"$secret": "TOKEN"}, Call()) == ("canary-1", True)
    assert reader.reveal("a", {"$secret": "TOKEN", "prefix": "Bearer "}, Call(), prefix=True) == ("Bearer canary-1", True)


@pytest.mark.parametrize(
    "value", [None, 1, {}, {"$secret": 1}, {"$secret": "TOKEN", "x": 1}, {"$secret": "TOKEN", "prefix": "B "}, ["a"]]
)
def test_other_references_are_refused(value: JsonValue) -> None:
    """A reference has exactly its fields, and a prefix only where the transport allows one."""
    assert "canary" not in refused(lambda: fields({}).reveal("env A", value, Call()))
