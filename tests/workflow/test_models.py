"""Pydantic's types are read and written by the names of their fields, and a secret is never taken for data."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, Json, SecretStr, field_serializer, field_validator

from durum.core.canonical import normalized
from durum.errors import SerializationError
from durum.workflow.json_form import from_json
from durum.workflow.models import InputModel, ModelConverter, adapter_of


class Wide(BaseModel):
    """What round trips usually break."""

    model_config = ConfigDict(serialize_by_alias=True, ser_json_bytes="base64", val_json_bytes="base64")

    user_id: int = Field(validation_alias="userId", serialization_alias="id")
    blob: bytes = b""
    parsed: Json[list[int]] = Field(default_factory=lambda: "[1]", validate_default=True)


class Tagged(BaseModel):
    """A model that writes a field in its own way."""

    words: set[str]

    @field_serializer("words")
    def joined(self, words: set[str]) -> str:
        """Join them."""
        return ",".join(sorted(words))


class Login(BaseModel):
    """A model with a secret deep inside."""

    inner: dict[str, list[SecretStr]]


def test_a_model_comes_back_whatever_its_aliases_and_encodings() -> None:
    """Aliases of either kind, bytes as base64, JSON inside JSON."""
    pair = ModelConverter(Wide)
    value = Wide.model_validate({"userId": 3, "blob": b"\xff\x00"})
    stored: Any = pair.dump("key", value)
    assert stored == {"user_id": 3, "blob": "_wA=", "parsed": "[1]"}
    loaded: Any = pair.load("key", stored)
    assert loaded == value


def test_a_model_may_be_given_by_alias_too() -> None:
    """As another system writes it."""
    assert ModelConverter(Wide).load("key", {"userId": 4}).user_id == 4


def test_a_serialiser_of_the_author_has_the_last_word() -> None:
    """What it makes of a set stays as it is."""
    assert ModelConverter(Tagged).dump("key", Tagged(words={"b", "a"})) == {"words": "a,b"}


def test_secrets_of_pydantic_are_refused_as_types() -> None:
    """Only asterisks would come back from the record."""
    for annotation in (SecretStr, Login, list[Login]):
        with pytest.raises(TypeError, match=r"a secret is never recorded; .* call with durum\.Secret\(name\)"):
            adapter_of(annotation)


def test_values_json_has_no_word_for_are_refused_with_the_reason() -> None:
    """Bytes that are no text, where the model does not encode them."""

    class Plain(BaseModel):
        blob: bytes

    with pytest.raises(SerializationError, match=r"does not convert to JSON: .*utf-8"):
        ModelConverter(Plain).dump("key", Plain(blob=b"\xff"))


def test_an_input_is_judged_alone() -> None:
    """What is wrong or missing elsewhere does not count, and an alias is the same field."""

    class Given(BaseModel):
        model_config = ConfigDict(strict=True)

        count: int = Field(alias="n")
        other: str

    model = InputModel(Given)
    assert model.accepts("count", 3)
    assert not model.accepts("count", "3")
    assert model.annotations == {"count": int, "other": str}


def test_pydantic_is_not_loaded_where_it_is_not_used() -> None:
    """A workflow of plain types starts without it, which saves a tenth of a second."""
    program = """
import sys
import durum

flow = durum.Workflow("flow")

@flow.step
def one() -> list[int]:
    return [1]

@flow.step
def two(one: list[int]) -> dict[str, int]:
    return {"a": one[0]}

with durum.open("memory://") as service:
    assert service.start(flow)["status"] == "completed"
print([name for name in sys.modules if name.startswith("pydantic")])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


class Free(BaseModel):
    """A model with room for anything."""

    anything: Any = None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_none_is_refused(value: float) -> None:
    """Pydantic would write null in its place, and nobody would know."""
    with pytest.raises(SerializationError, match="is not a JSON number"):
        ModelConverter(Free).dump("key", Free(anything=[{"a": value}]))
    with pytest.raises(SerializationError, match="is not a JSON number"):
        ModelConverter(dict[str, Free]).dump("key", {"a": Free(anything=value)})


@pytest.mark.parametrize("value", [2.0**53, -1e20, 1e22, 1.5, -(2.0**53)])
def test_a_large_float_comes_back_as_one(value: float) -> None:
    """Canonical JSON spells it with digits only; it is no integer for that, and the next step may return it."""
    pair = ModelConverter(Free)
    found = pair.load("key", normalized(pair.dump("key", Free(anything=[value]))))
    assert (type(found.anything[0]), found.anything[0]) == (float, value)
    assert normalized(pair.dump("key", found)) == {"anything": [value]}
    assert normalized(InputModel(Free).dump({"anything": value}, typed=True)) == {"anything": value}


def test_a_large_float_inside_another_type_comes_back_as_one() -> None:
    """Where msgspec hands a model to pydantic as well."""

    @dataclass
    class Holder:
        free: Free

    found: Any = from_json(Holder, {"free": {"anything": -1e20}})
    assert type(found.free.anything) is float


def test_keys_that_become_one_text_are_refused() -> None:
    """Rather than one of their values lost."""
    with pytest.raises(SerializationError, match="two keys of an object become one text"):
        ModelConverter(Free).dump("key", Free(anything={1: 2, "1": 3}))


class Loud:
    """Raises whatever it is asked."""

    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__
    __len__ = __str__
    __iter__ = __str__


class Keeps(BaseModel):
    """A model whose serialiser raises what pydantic does not know."""

    number: int = 0

    @field_serializer("number")
    def fail(self, number: int) -> int:
        """Fail."""
        raise LookupError(number)


class Judged(BaseModel, revalidate_instances="always"):
    """A model whose validator raises what pydantic does not know."""

    number: int = 0

    @field_validator("number")
    @classmethod
    def judge(cls, number: int) -> int:
        """Fail."""
        raise LookupError(f"no judge for {number}")


@pytest.mark.parametrize("value", [Free(anything=Loud()), Free(anything=[Loud()]), Keeps(), Judged()])
def test_whatever_a_value_raises_its_result_is_refused(value: BaseModel) -> None:
    """As the fault of the result, not as the step's own exception."""
    with pytest.raises(SerializationError, match="does not convert to JSON"):
        ModelConverter(type(value)).dump("key", value)
