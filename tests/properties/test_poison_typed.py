"""Poison in what a workflow's types convert, its inputs and results: equal, converted on purpose, or refused at the write."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict

from durum import Workflow
from durum.errors import CallerError, InvalidInputError
from tests.properties.poison import CORPUS, OBJECTS, REFUSED
from tests.properties.poisoned import Stop, check, drive

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(autouse=True)
def _no_git(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask no git where the code is from: a process for each of so many runs costs more than the runs."""
    monkeypatch.setenv("PATH", "")


class Declared(TypedDict):
    """Inputs of any type."""

    value: Any


def taking(stop: Stop) -> Workflow:
    """Return a workflow that gives back its input."""
    flow = Workflow("taking", inputs=Declared)

    @flow.step
    def back(value: Any) -> Any:
        stop.here()
        return value

    return flow


# What dataclasses and models write as text or lists, though JSON has no word for it.
CONVERTED = {"int key", "null key", "tuple key", "bytes key", "memoryview", *(case.name for case in OBJECTS)}


@pytest.mark.parametrize("name", CORPUS)
def test_a_declared_input(name: str) -> None:
    """As the input of a workflow, called from Python; pydantic gives some things a text."""
    case, flow = CORPUS[name], taking(Stop())
    if case.reads_back is REFUSED and name not in CONVERTED:
        with pytest.raises(CallerError, match=r"^.{1,1000}$"):
            drive(flow, {"value": case.make()})
        return
    with contextlib.suppress(*([InvalidInputError] if name in CONVERTED else [])):
        ran = drive(flow, {"value": case.make()})
        if name not in CONVERTED:
            check(case, ran, lambda: ran.context["back"])
        assert ran.status == "completed"


# Texts and numbers of a class of their own: msgspec knows no way for them.
SUBCLASSES = {"text that lies", "id", "int that lies", "float that lies", "keys that lie"}


@dataclass
class Row:
    """A dataclass with room for anything."""

    value: Any


class Model(BaseModel):
    """A model with room for anything."""

    value: Any


@pytest.mark.parametrize("kind", [Row, Model])
@pytest.mark.parametrize("name", CORPUS)
def test_a_result_inside_a_class(name: str, kind: Any) -> None:
    """As a member of a dataclass or model, written by one step and given back by the next."""
    case, stop = CORPUS[name], Stop()
    flow = Workflow("p")

    def one() -> object:
        return kind(value=case.make())

    def two(one: Any) -> object:
        stop.here()
        return one

    one.__annotations__ = {"return": kind}
    two.__annotations__ = {"one": kind, "return": kind}
    flow.step(one)
    flow.step(two)
    ran = drive(flow)
    if kind is Row and name in SUBCLASSES and ran.status == "failed":
        assert ran.error["code"] == "context_serialization"
    elif name in CONVERTED and ran.status == "completed":
        ran.sound()
    else:
        check(case, ran, lambda: ran.context["two"]["value"])


@pytest.mark.parametrize("kind", [Any, dict, list])
@pytest.mark.parametrize("name", CORPUS)
def test_a_result(name: str, kind: Any) -> None:
    """As a step's result under each kind of annotation."""
    case = CORPUS[name]
    wraps: dict[Any, Callable[[Any], Any]] = {
        Any: lambda value: value,
        dict: lambda value: {"value": value},
        list: lambda value: [value],
    }
    stop, flow = Stop(), Workflow("p")

    def one() -> object:
        return wraps[kind](case.make())

    def two(one: object) -> Any:
        stop.here()
        return one["value"] if kind is dict else one[0] if kind is list else one  # type: ignore[index]

    one.__annotations__ = {"return": kind}
    two.__annotations__ = {"one": kind, "return": Any}
    flow.step(one)
    flow.step(two)
    ran = drive(flow)
    check(case, ran, lambda: ran.context["two"])
