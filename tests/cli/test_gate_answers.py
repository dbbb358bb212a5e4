"""Answers as people type them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from durum.cli.gate_answers import fields_of, is_shown
from durum.errors import AnswerError

if TYPE_CHECKING:
    from durum.core.canonical import JsonObject

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


def test_only_the_digest_that_was_shown_means_the_gate() -> None:
    """At least eight digits of it."""
    assert is_shown(GATE, "pay@3f2a91c0")
    assert is_shown(GATE, f"pay@{GATE['digest']}")
    assert not any(is_shown(GATE, typed) for typed in ("pay", "pay@", "pay@3f2a", "pay@3f2a91c1"))
