"""Inputs as people give them: ``--input name=value`` pairs and a file of JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durum.core.canonical import parse_json
from durum.errors import CanonicalJsonError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from durum.core.canonical import JsonObject


def read_inputs(pairs: Sequence[str], file: Path | None) -> dict[str, object]:
    """Return the inputs of a run; typed values stay text, their declared types convert them later.

    Raises:
        ConfigError: a pair has no ``=``, a name is given twice, or the file holds no JSON object.
    """
    inputs: dict[str, object] = {} if file is None else dict(_from_file(file))
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ConfigError(f"--input {pair!r} is not name=value; write for example --input {name or 'name'}=VALUE")
        if name in inputs:
            raise ConfigError(f"input {name} is given twice; give it once")
        inputs[name] = value
    return inputs


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
