"""Inputs are converted to what was declared, and whoever gives wrong ones learns every mistake at once."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, NotRequired, Required, TypedDict, get_type_hints
from uuid import UUID

import pytest
import typing_extensions
from pydantic import BaseModel, Field, RootModel, SecretStr, field_validator, model_validator

from durum import Workflow
from durum.errors import InvalidInputError, SecretsDetectedError, WorkflowDefinitionError
from durum.workflow.conversion import converter
from durum.workflow.inputs import Inputs
from tests.workflow.refusals import refused
from tests.workflow.shapes import Colour, Leaf


class Model(BaseModel):
    """Inputs as a pydantic model."""

    repo: str
    count: int = 3
    tags: list[str] = []
    ratio: float = 0.5


class Base(TypedDict):
    """Inputs as a TypedDict."""

    repo: str


class Given(Base, total=False):
    """Inherited, with keys that may be absent and one that may not."""

    count: int
    since: Required[str]
    positive: Annotated[int, Field(gt=0)]


class Marked(TypedDict):
    """The future import hides from Python that a key may be absent."""

    repo: str
    count: NotRequired[int]


class Modern(typing_extensions.TypedDict):
    """The TypedDict that pydantic asks for before Python 3.12."""

    repo: str


# Names that mean something to pydantic's own models.
Awkward = TypedDict("Awkward", {"json": str, "copy": int, "model_config": str, "_hidden": int, "class": str})
Wide = TypedDict("Wide", {"größe": int, "class": int})
Spaced = TypedDict("Spaced", {"two words": int})


def converted(declared: Any, **given: Any) -> Any:
    """Return what a run would start with."""
    return Inputs("flow", declared).convert(given, texts=False)


def problems(declared: Any, **given: Any) -> tuple[str, ...]:
    """Return everything that is wrong with inputs."""
    with pytest.raises(InvalidInputError) as caught:
        Inputs("flow", declared).convert(given, texts=False)
    assert str(caught.value) == "invalid input for workflow flow: " + "; ".join(caught.value.problems)
    return caught.value.problems


# --- what comes out -------------------------------------------------------------------------------------------------------


def test_defaults_are_filled_in_and_absent_keys_stay_absent() -> None:
    """A model has defaults; a TypedDict's key that may be absent is not there, rather than null."""
    assert converted(Model, repo="r") == {"repo": "r", "count": 3, "tags": [], "ratio": 0.5}
    assert converted(Given, repo="r", since="s") == {"repo": "r", "since": "s"}
    assert converted(Marked, repo="r") == {"repo": "r"}
    assert converted(Marked, repo="r", count=2) == {"repo": "r", "count": 2}
    assert converted(Modern, repo="r") == {"repo": "r"}
    assert converted(None) == {}


def test_names_that_mean_something_to_pydantic_are_names_like_others() -> None:
    """Whatever a TypedDict may be called with."""
    given = {"json": "a", "copy": 1, "model_config": "b", "_hidden": 2, "class": "c"}
    assert converted(Awkward, **given) == given


def test_aliases_are_for_others_inputs_go_by_field() -> None:
    """The name of the field is what steps ask for, so it is what people give."""

    class Aliased(BaseModel):
        since: str = Field(alias="from")

    assert Inputs("flow", Aliased).names == ("since",)
    assert converted(Aliased, since="x") == {"since": "x"}


class Everything(BaseModel):
    """A value of every kind that JSON has no word for."""

    moment: datetime
    day: date
    span: timedelta
    price: Decimal
    identity: UUID
    path: Path
    colour: Colour
    words: frozenset[str]
    pair: tuple[int, str]
    leaf: Leaf


def test_values_are_stored_as_steps_read_them() -> None:
    """Whatever class a step asks for an input as, it gets the value that was given."""
    given = {
        "moment": datetime(2024, 2, 29, tzinfo=UTC),
        "day": date(2024, 2, 29),
        "span": timedelta(days=-2, seconds=0.5),
        "price": Decimal("1.10"),
        "identity": UUID(int=5),
        "path": Path("/x"),
        "colour": Colour.RED,
        "words": frozenset({"b", "a"}),
        "pair": (1, "a"),
        "leaf": Leaf(1),
    }
    stored = converted(Everything, **given)
    assert stored["words"] == ["a", "b"]
    for name, annotation in get_type_hints(Everything).items():
        loaded = converter(annotation).load(name, stored[name])
        assert loaded == given[name], name


def test_a_model_is_converted_as_pydantic_does() -> None:
    """Numbers in text, validators of a field and of the whole, computed by the author."""

    class Checked(BaseModel):
        low: int
        high: int

        @field_validator("low", mode="before")
        @classmethod
        def stripped(cls, value: object) -> object:
            return value.strip() if isinstance(value, str) else value

        @model_validator(mode="after")
        def ordered(self) -> Checked:
            if self.low > self.high:
                raise ValueError("low must not be above high")
            return self

    assert converted(Checked, low=" 1 ", high="2") == {"low": 1, "high": 2}
    assert problems(Checked, low=3, high=2) == (
        "inputs: value error, low must not be above high (given {'low': 3, 'high': 2})",
    )


# --- what is refused ------------------------------------------------------------------------------------------------------


def test_every_mistake_is_named_at_once() -> None:
    """Unknown, missing and wrong ones, each with the name, the reason and what was given."""
    assert problems(Model, count="many", tags=["a", 1], rato=1) == (
        "rato is not declared; did you mean 'ratio'?",
        "repo: field required",
        "count: input should be a valid integer, unable to parse string as an integer (given 'many')",
        "tags.1: input should be a valid string (given 1)",
    )
    assert problems(Given, count="x", positive=0) == (
        "repo: field required",
        "count: input should be a valid integer, unable to parse string as an integer (given 'x')",
        "since: field required",
        "positive: input should be greater than 0 (given 0)",
    )


def test_unknown_names_are_answered_with_the_declared_ones() -> None:
    """The closest, else all; a workflow without inputs says so."""
    assert problems(Model, repo="r", zzz=1) == ("zzz is not declared; declared are repo, count, tags, ratio",)
    assert problems(None, repo="r") == ("repo is not declared; it declares none",)

    class Open(BaseModel, extra="allow"):
        repo: str

    assert problems(Open, repo="r", more=1) == ("more is not declared; declared are repo",)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_in_json_is_refused(number: float) -> None:
    """By name; it is not turned into null."""
    assert problems(Model, repo="r", ratio=number) == (f"ratio: {number} is not a JSON number; use null or text",)


def test_integers_beyond_doubles_are_refused() -> None:
    """Rather than rounded."""
    assert converted(Model, repo="r", count=2**53 - 1)["count"] == 2**53 - 1
    assert problems(Model, repo="r", count=2**53)[0].startswith("count: an integer is beyond 2**53 - 1")


def test_bytes_are_refused_wherever_they_are() -> None:
    """A step that asked for bytes would get others: the two libraries write them differently."""

    class Bytes(BaseModel):
        blobs: dict[str, list[bytes]] = {}

    assert problems(Bytes, blobs={"a": [b"x"]}) == ("blobs: bytes are no JSON; declare text, or the path of a file",)


def test_what_is_no_text_is_refused() -> None:
    """A byte of a command line that is not UTF-8 reaches Python as a lone surrogate."""
    for texts in (True, False):
        with pytest.raises(InvalidInputError, match=r"repo: the lone surrogate .* is not text|repo: .*unicode"):
            Inputs("flow", Model).convert({"repo": "\udcff"}, texts=texts)


def test_secrets_are_refused_by_their_place_and_never_shown() -> None:
    """By the name of a key and by the form of a token; a message about another mistake does not show one either."""

    class Login(BaseModel):
        options: dict[str, str] = {}
        note: str = ""
        count: int = 0

    with pytest.raises(
        SecretsDetectedError, match=r"input of workflow flow holds a secret at \$\.options\.password \(key name\)"
    ):
        converted(Login, options={"password": "hunter2"})
    token = "ghp_" + "a1B2" * 9
    with pytest.raises(SecretsDetectedError) as caught:
        converted(Login, note=f"use {token} for it")
    assert "$.note" in str(caught.value)
    assert token not in str(caught.value)
    assert token not in problems(Login, count=token)[0]


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        (dict, "inputs=<class 'dict'> is neither a pydantic model nor a TypedDict"),
        (Leaf, "is neither a pydantic model nor a TypedDict"),
        (Model(repo="r"), "is neither a pydantic model nor a TypedDict"),
        ({"repo": str}, "is neither a pydantic model nor a TypedDict"),
        (RootModel[list[int]], "is neither a pydantic model nor a TypedDict"),
        (Wide, "declares the input 'größe' is no context key; it must be 1 to 255 of letters"),
        (Spaced, "declares the input 'two words' is no context key"),
    ],
)
def test_a_declaration_of_another_kind_is_refused_when_the_file_is_loaded(declared: Any, reason: str) -> None:
    """With the object that was given."""
    assert reason in refused(lambda: Workflow("flow", inputs=declared))


class Unresolved(TypedDict):
    """Refers to a class that does not exist."""

    repo: Missing  # type: ignore[name-defined]  # noqa: F821 - what this is about


class Hiding(BaseModel):
    """Declares a secret."""

    token: SecretStr


class Strange(BaseModel, arbitrary_types_allowed=True):
    """Declares what has no schema."""

    thing: Inputs


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        (Unresolved, "inputs=Unresolved cannot be used: name 'Missing' is not defined"),
        (Hiding, "inputs=Hiding cannot be used: a secret is never recorded; declare the name of an environment variable"),
    ],
)
def test_a_declaration_that_cannot_be_used_is_told_so(declared: Any, reason: str) -> None:
    """As a fault of the workflow, not of who starts it."""
    inputs = Inputs("flow", declared)
    with pytest.raises(WorkflowDefinitionError) as caught:
        inputs.convert({"repo": "r", "token": "t"}, texts=False)
    assert reason in str(caught.value)


def test_an_object_pydantic_takes_but_json_has_no_word_for_is_refused() -> None:
    """By a sentence that says it cannot be written."""
    assert "Unable to serialize unknown type" in problems(Strange, thing=Inputs("flow", None))[0]
