"""The poison corpus by the command line: each text comes back as what it says, or is refused in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from durum.cli.inputs import read_inputs
from durum.core.canonical import canonical_json
from durum.errors import ConfigError
from tests.properties.poison import JSON_TEXTS, REFUSED

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.command_line import CommandLine

NAMES = {f"v{number}": name for number, name in enumerate(JSON_TEXTS)}
ACCEPTED = {place: JSON_TEXTS[name] for place, name in NAMES.items() if JSON_TEXTS[name][1] is not REFUSED}
BROKEN = [name for name, (_, value) in JSON_TEXTS.items() if value is REFUSED]
FLOW = """
from typing import Any, NotRequired
from typing_extensions import TypedDict
from durum import Workflow

Given = TypedDict("Given", {f"v{number}": NotRequired[Any] for number in range(COUNT)} | {"typed": NotRequired[KIND]})
flow = Workflow("flow", inputs=Given)

@flow.step
def done() -> int:
    return 1
"""


def written(durum: CommandLine, kind: str = "Any") -> str:
    """Write the flow, with one input of a kind of its own, and return its name."""
    durum.write("flow.py", FLOW.replace("COUNT", str(len(NAMES))).replace("KIND", kind))
    return "flow.py"


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_with_it_is_refused(name: str, tmp_path: Path) -> None:
    """Before anything runs, with the file and a sentence of bounded length."""
    file = tmp_path / "in.json"
    file.write_text('{"v": ' + JSON_TEXTS[name][0] + "}", "utf-8")
    with pytest.raises(ConfigError) as raised:
        read_inputs([], file)
    message = str(raised.value)
    assert "in.json" in message
    assert len(message) < 1000
    assert "\n" not in message


def test_a_file_that_begins_with_a_byte_order_mark_is_refused(tmp_path: Path) -> None:
    """By its name, not by a place where nothing is to be seen."""
    file = tmp_path / "in.json"
    file.write_bytes(b'\xef\xbb\xbf{"v": 1}')
    with pytest.raises(ConfigError, match="byte order mark"):
        read_inputs([], file)


def test_what_a_file_says_comes_back(durum: CommandLine) -> None:
    """All that is JSON, through the store, by another process."""
    durum.write("in.json", "{" + ",".join(f'"{place}":{text}' for place, (text, _) in ACCEPTED.items()) + "}")
    run = durum("run", written(durum), "--input-file", "in.json", "--json").json["run_id"]
    context = durum("context", run, "--json").json
    for place, (_, value) in ACCEPTED.items():
        assert canonical_json(context[place]) == canonical_json(value), NAMES[place]


def test_what_is_typed_comes_back(durum: CommandLine) -> None:
    """Under an input of any type: JSON as what it says, anything else as the text it is, and nothing in between."""
    typed = {place: text for place, name in NAMES.items() if "\x00" not in (text := JSON_TEXTS[name][0])}
    given = [part for place, text in typed.items() for part in ("--input", f"{place}={text}")]
    run = durum("run", written(durum), *given, "--json").json["run_id"]
    context = durum("context", run, "--json").json
    for place, text in typed.items():
        value = JSON_TEXTS[NAMES[place]][1]
        assert canonical_json(context[place]) == canonical_json(text if value is REFUSED else value), NAMES[place]


@pytest.mark.parametrize(
    ("kind", "name"), [("dict", "duplicate keys"), ("int", "2**53 + 1"), ("float", "nan"), ("list", "10,000 deep")]
)
def test_what_is_typed_for_a_declared_type_is_refused(kind: str, name: str, durum: CommandLine) -> None:
    """With exit 2 and no run."""
    ran = durum("run", written(durum, kind), "--input", f"typed={JSON_TEXTS[name][0]}", code=2)
    assert "typed" in ran.err
    assert "Traceback" not in ran.err
    assert len(ran.err) < 1000
    assert not [*durum.folder.rglob("*.db")]


@pytest.mark.parametrize(
    "options",
    [
        ("--input", "v0=\udcff"),
        ("--input", "\udcff=1"),
        ("--events", "\udcff"),
        ("--skip-tag", "\udcff"),
        ("--run-id", "\udcff"),
    ],
)
def test_an_argument_that_is_not_utf_8_is_refused(options: tuple[str, ...], durum: CommandLine) -> None:
    """Wherever it stands: exit 2, a sentence, no run."""
    ran = durum("run", written(durum), *options, code=2)
    assert "Traceback" not in ran.err
    assert ran.err.strip()
    assert not [*durum.folder.rglob("*.db")]
