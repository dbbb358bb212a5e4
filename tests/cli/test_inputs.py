"""Values as people give them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from durum.cli.inputs import read_fields, read_inputs
from durum.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_pair_is_split_at_its_first_equals_sign() -> None:
    """Values may hold more of them, or be empty."""
    assert read_inputs(["a=b=c", "empty=", "text= x "], None) == {"a": "b=c", "empty": "", "text": " x "}


@pytest.mark.parametrize("pair", ["novalue", "=value", ""])
def test_what_is_no_pair_is_refused(pair: str) -> None:
    """With the form to use."""
    with pytest.raises(ConfigError, match=r"is not name=value; write for example --input .*=VALUE"):
        read_inputs([pair], None)


def test_a_file_holds_a_json_object(tmp_path: Path) -> None:
    """Its values keep their types; a name stands in one place only."""
    file = tmp_path / "in.json"
    file.write_text('{"n": 3, "deep": {"list": [1.5, null]}}')
    assert read_inputs(["m=1"], file) == {"n": 3, "deep": {"list": [1.5, None]}, "m": "1"}
    with pytest.raises(ConfigError, match="input n is given twice"):
        read_inputs(["n=1"], file)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"a": 1,\n  oops}', "line 2"),
        ('{"a": 1, "a": 2}', "appears twice"),
        ("[1]", "must hold one JSON object"),
        ("", "line 1"),
        ('{"a": NaN}', "nan"),
    ],
)
def test_what_is_no_json_object_is_refused(text: str, says: str, tmp_path: Path) -> None:
    """The error names the file and the place in it."""
    file = tmp_path / "in.json"
    file.write_text(text)
    with pytest.raises(ConfigError) as raised:
        read_inputs([], file)
    assert "in.json" in str(raised.value)
    assert says in str(raised.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """Neither one that is not there nor a folder nor bytes that are no text."""
    binary = tmp_path / "binary"
    binary.write_bytes(b'{"a": "\xff"}')
    for file in (tmp_path / "none", tmp_path, binary):
        with pytest.raises(ConfigError, match="input file"):
            read_inputs([], file)


def test_fields_are_pairs_as_well() -> None:
    """As they were typed, each once."""
    assert read_fields(["happened=true", 'result={"a=b": 1}']) == {"happened": "true", "result": '{"a=b": 1}'}
    with pytest.raises(ConfigError, match="field happened is given twice"):
        read_fields(["happened=true", "happened=true"])
    with pytest.raises(ConfigError, match=r"--field 'happened' is not name=value"):
        read_fields(["happened"])
