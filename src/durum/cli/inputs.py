"""Values as people give them: ``--input`` and ``--field`` pairs of name=value, and a file of JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durum.core.canonical import parse_json
from durum.errors import CanonicalJsonError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from durum.core.canonical import JsonObject


def read_inputs(pairs: Sequence[str], file: Path | None) -> dict[str, object]:
    """Return the inputs of a run; typed values stay text, their declared types convert them later.

    Raises:
        ConfigError: a pair has no ``=``, a name is given twice, or the file holds no JSON object.
    """
    inputs: dict[str, object] = {} if file is None else dict(_from_file(file))
    return inputs | _pairs("input", pairs, inputs)


def read_fields(pairs: Sequence[str]) -> dict[str, str]:
    """Return the fields of an answer as they were typed; the gate says what they are.

    Raises:
        ConfigError: a pair has no ``=`` or a name is given twice.
    """
    return _pairs("field", pairs, {})


def _pairs(noun: str, pairs: Sequence[str], before: Mapping[str, object]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ConfigError(f"--{noun} {pair!r} is not name=value; write for example --{noun} {name or 'name'}=VALUE")
        if name in found or name in before:
            raise ConfigError(f"{noun} {name} is given twice; give it once")
        found[name] = value
    return found


def _from_file(file: Path) -> JsonObject:
    try:
        value = parse_json(file.read_bytes())
    except OSError as error:
        raise ConfigError(f"input file {file} cannot be read: {error.strerror}") from error
    except CanonicalJsonError as error:
        raise ConfigError(f"input file {file}, {error.path}: {error.reason}") from error
    if not isinstance(value, dict):
        raise ConfigError(f'input file {file} must hold one JSON object such as {{"name": "value"}}, not another value')
    return value
