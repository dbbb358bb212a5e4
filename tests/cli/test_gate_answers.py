"""Answers as people type them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from durum.app.service import Durum
from durum.cli.gate_answers import asks_for_it, fields_of, is_shown
from durum.cli.streams import Streams
from durum.cli.verb import Session
from durum.errors import AnswerError

if TYPE_CHECKING:
    from durum.core.canonical import JsonObject


class OneRun(Durum):
    """A service of a run without a parent, which asks a bank."""

    def __init__(self) -> None:
        pass

    def show(self, run_id: str) -> JsonObject:
        """Return that it has no parent."""
        assert run_id == "r"
        return {"parent": None}

    def artifact(self, artifact_id: str) -> bytes:
        """Return what is asked of the bank."""
        assert artifact_id == "it"
        return b'{"namespace":"bank","request":{"sum":7}}'


GATE: JsonObject = {
    "gate": "pay@3f2a91c0",
    "digest": "3f2a91c0" + "0" * 56,
    "fields": [
        {"name": "happened", "type": "boolean", "required": True, "help": "whether it happened"},
        {"name": "result", "type": "json", "required": False, "help": "what it gave back"},
        {"name": "amount", "type": "number", "required": False, "help": "how much"},
        {"name": "note", "type": "text", "required": False, "help": "anything"},
    ],
}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("happened", "true", True),
        ("happened", "false", False),
        ("result", '"text"', "text"),
        ("result", '{"a": [1, null]}', {"a": [1, None]}),
        ("amount", "1.5", 1.5),
        ("note", "true", "true"),
        ("unknown", "1", "1"),
    ],
)
def test_a_value_becomes_what_the_gate_asks_for(name: str, text: str, value: object) -> None:
    """A field the gate does not have is left to the service to refuse."""
    assert fields_of(GATE, {name: text}) == {name: value}


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("happened", "True", "field happened is true or false, not 'True'; give happened=true or happened=false"),
        ("happened", "1", "true or false"),
        ("happened", "", "true or false"),
        ("result", "text", "a text stands in double quotes: --field 'result=\"TEXT\"'"),
        ("result", '{"a": 1, "a": 2}', "field result is no JSON"),
        ("result", "NaN", "field result is no JSON"),
        ("amount", "many", "give for example amount=1"),
    ],
)
def test_what_is_of_another_type_is_refused(name: str, text: str, says: str) -> None:
    """With what to type."""
    with pytest.raises(AnswerError) as raised:
        fields_of(GATE, {name: text})
    assert says in str(raised.value)
    assert str(raised.value).startswith("gate pay: ")


class Typing(Streams):
    """Streams where a person types these lines; what stood before each is kept."""

    def __init__(self, *lines: str) -> None:
        super().__init__()
        self._lines = [*lines]
        self.questions: list[str] = []

    def ask(self, question: str) -> str:
        """Type the next line."""
        self.questions.append(question.partition(":")[0])
        return self._lines.pop(0)


NEEDED: JsonObject = {
    "run_id": "r",
    "gate": "pay@3f2a91c0",
    "state_id": "wf.pay.main",
    "subject": "k",
    "prompt": "effect k: nobody knows",
    "request_id": "it",
    "fields": [
        {"name": "happened", "type": "boolean", "required": True, "help": "whether it happened"},
        {"name": "result", "type": "json", "required": False, "needed_if": "happened", "help": "the receipt, as JSON"},
        {"name": "note", "type": "text", "required": False, "help": "anything"},
    ],
}


@pytest.mark.parametrize(
    ("lines", "answer", "asked_for"),
    [
        (("y", "7", "", "y"), {"happened": "true", "result": "7"}, ["happened", "result", "note"]),
        (("n", "seen", "y"), {"happened": "false", "note": "seen"}, ["happened", "note"]),
        (
            ("yes", "y", "no json", "7", "", "y"),
            {"happened": "true", "result": "7"},
            ["happened"] * 2 + ["result"] * 2 + ["note"],
        ),
        (("y", "7", "", "yes"), None, ["happened", "result", "note"]),
        (("y", ""), None, ["happened", "result"]),
        (("",), None, ["happened"]),
    ],
)
def test_fields_are_asked_for_as_they_are_needed(
    lines: tuple[str, ...], answer: dict[str, str] | None, asked_for: list[str]
) -> None:
    """One of another type once more; what happened needs its result, what did not has none; only y says so."""
    streams = Typing(*lines)
    service = OneRun()
    assert asks_for_it(Session(streams=streams), service, NEEDED, {}) == answer
    assert [question for question in streams.questions if not question.startswith("answer it")] == asked_for


def test_a_result_that_is_needed_cannot_be_left_out_of_what_is_given() -> None:
    """Nobody is asked to confirm what would be refused."""
    with pytest.raises(AnswerError, match="field result is missing; give --field result=VALUE"):
        asks_for_it(Session(streams=Typing()), OneRun(), NEEDED, {"happened": "true"})


def test_only_the_digest_that_was_shown_means_the_gate() -> None:
    """At least eight digits of it."""
    assert is_shown(GATE, "pay@3f2a91c0")
    assert is_shown(GATE, f"pay@{GATE['digest']}")
    assert not any(is_shown(GATE, typed) for typed in ("pay", "pay@", "pay@3f2a", "pay@3f2a91c1"))
