"""A gate is named by what is shown, and takes only answers that fit it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from durum.core.events import GateOpened
from durum.core.gates import SHOWN_DIGITS, address, checked_answer, gate_name, unknown_effect_gate
from durum.errors import AnswerError, CanonicalJsonError, EffectUnknownError, SecretsDetectedError

REQUEST = "ab" * 32
GATE = unknown_effect_gate("notes.publish.main", 1, EffectUnknownError("run/publish", "did it happen?", REQUEST))
NEEDY = unknown_effect_gate("notes.publish.main", 1, EffectUnknownError("run/publish", "did it?", REQUEST, "its receipt"))


@pytest.mark.parametrize(
    ("state_id", "name"), [("notes.publish.main", "publish"), ("notes.publish.i7", "publish.i7"), ("a.b.each", "b.each")]
)
def test_a_gate_is_called_after_its_step(state_id: str, name: str) -> None:
    """And after the state of it, where there are several."""
    assert gate_name(state_id) == name


def test_what_is_shown_gives_the_digest() -> None:
    """Another attempt, effect, request, prompt or state is another question; the same one is the same."""

    def made(state_id: str, attempt: int, *unknown: str) -> GateOpened:
        return unknown_effect_gate(state_id, attempt, EffectUnknownError(*unknown))

    given: tuple[Any, ...] = ("notes.publish.main", 1, "run/publish", "did it happen?", REQUEST, "")
    others = ("notes.publish.i1", 2, "run/publish/1", "did it?", "cd" * 32, "its result")
    changed: list[tuple[Any, ...]] = [(*given[:at], other, *given[at + 1 :]) for at, other in enumerate(others)]
    digests = {made(*parts).digest for parts in changed}
    assert len(digests | {GATE.digest}) == len(others) + 1
    assert made(*given) == GATE
    assert address(GATE) == f"publish@{GATE.digest[:SHOWN_DIGITS]}"


@pytest.mark.parametrize(
    "given",
    [
        {"happened": True},
        {"happened": False},
        {"happened": True, "result": None},
        {"happened": True, "result": {"a": [1, 2.5, "ü", None]}},
        {"happened": True, "result": "x" * 1_000_000},
        {"result": (1, 2), "happened": True},
    ],
)
def test_answers_that_fit(given: dict[str, object]) -> None:
    """They come back as JSON."""
    answer = checked_answer(GATE, given)
    assert answer == msgspec.json.decode(msgspec.json.encode(given))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "field happened is missing"),
        ({"result": 1}, "field happened is missing"),
        ({"happened": None}, "is a boolean, not None"),
        ({"happened": 1}, "is a boolean, not 1"),
        ({"happened": "true"}, "is a boolean, not 'true'"),
        ({"happened": [True]}, "is a boolean"),
        ({"happened": "x" * 100_000}, "is a boolean"),
        ({"happened": True, "hapened": True}, "has no field 'hapened'; its fields are happened, result"),
        ({"happened": False, "result": None}, "has no result"),
    ],
)
def test_answers_that_do_not_fit(given: dict[str, object], reason: str) -> None:
    """The error is one short sentence that names the field."""
    with pytest.raises(AnswerError, match=reason) as caught:
        checked_answer(GATE, given)
    assert len(str(caught.value)) < 500


def test_a_result_the_step_cannot_do_without_is_asked_for() -> None:
    """Only if it happened; null counts as given, for the step's type is the judge of what is; the help says whose it is."""
    with pytest.raises(AnswerError, match=r"field result is missing \(what it gave back: its receipt, as JSON\)"):
        checked_answer(NEEDY, {"happened": True})
    assert checked_answer(NEEDY, {"happened": True, "result": 1}) == {"happened": True, "result": 1}
    assert checked_answer(NEEDY, {"happened": False}) == {"happened": False}
    assert [field.needed_if for field in NEEDY.fields] == ["", "happened"]


def test_an_older_gate_has_fields_that_need_nothing() -> None:
    """What was recorded before reads as it did, and what needs nothing is written as it was."""
    data = msgspec.json.encode(GATE)
    assert b"needed_if" not in data
    assert msgspec.json.decode(data, type=GateOpened) == GATE


@pytest.mark.parametrize("result", [object(), {1: 2}, float("nan"), 2**60, "\ud800", {"a": {1, 2}}])
def test_what_is_no_json_is_no_answer(result: object) -> None:
    """It is refused before anything is stored."""
    with pytest.raises(CanonicalJsonError):
        checked_answer(GATE, {"happened": True, "result": result})


@pytest.mark.parametrize("result", [{"password": "hunter2hunter2"}, "ghp_" + "a1B2" * 9])
def test_a_secret_is_no_answer(result: object) -> None:
    """An answer stands in the log for ever."""
    with pytest.raises(SecretsDetectedError):
        checked_answer(GATE, {"happened": True, "result": result})


@pytest.mark.parametrize(
    ("kind", "fits", "not_"), [("text", "a", 1), ("number", 1.5, True), ("number", 1, "1"), ("json", [1], None)]
)
def test_each_type_of_field_takes_its_own(kind: Any, fits: object, not_: object) -> None:
    """A boolean is no number, for all Python says."""
    field = msgspec.structs.replace(GATE.fields[0], name="f", type=kind)
    gate = msgspec.structs.replace(GATE, fields=(field,))
    assert checked_answer(gate, {"f": fits}) == {"f": fits}
    if kind != "json":
        with pytest.raises(AnswerError):
            checked_answer(gate, {"f": not_})
