"""Looks up what a secret reference stands for: a variable of the environment, or ``file:`` and the path of a file."""

from __future__ import annotations

import os
import stat

from durum.core.known_secrets import SHORTEST_SECRET
from durum.errors import TransportError

FILE = "file:"
MAX_SECRET_BYTES = 64 * 1024


def secret_value(name: str) -> str:
    """Return a secret's value; ``TransportError`` (``secret_missing``) says what to do if there is none to be used."""
    value = _from_file(name) if name.startswith(FILE) else _from_environment(name)
    if len(value.strip()) < SHORTEST_SECRET:
        raise _missing(name, f"is shorter than {SHORTEST_SECRET} characters; one that short cannot be blanked out, use another")
    return value


def _from_environment(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise _missing(name, "is not set; put it into the environment of the process that runs this")
    return value


def _from_file(name: str) -> str:
    path = name.removeprefix(FILE)
    if not os.path.isabs(path) or "\0" in path:  # noqa: PTH117 - the text as it was recorded
        raise _missing(name, "names no absolute path; write it as file:/run/secrets/token")
    try:
        data = _read(name, path)
    except OSError as error:
        raise _missing(
            name, f"cannot be read: {error.strerror}; put the secret into that file and let this user read it"
        ) from None
    try:
        value = data.decode("utf-8")
    except UnicodeDecodeError:
        raise _missing(name, "is not UTF-8; put the secret into that file as text") from None
    value = value.removesuffix("\n").removesuffix("\r") if value.endswith("\n") else value
    if not value:
        raise _missing(name, "is empty; put the secret into that file")
    return value


def _read(name: str, path: str) -> bytes:
    """Return a file's bytes; a pipe or a device, which may never end, is refused without a wait."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _missing(name, "is not a regular file; put the secret into one")
        data = os.read(descriptor, MAX_SECRET_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(data) > MAX_SECRET_BYTES:
        raise _missing(name, f"is over {MAX_SECRET_BYTES} bytes; put only the secret into that file")
    return data


def _missing(name: str, reason: str) -> TransportError:
    return TransportError(f"secret {name} {reason}", code="secret_missing")
