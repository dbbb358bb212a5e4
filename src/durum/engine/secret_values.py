"""Looks up what a secret reference stands for: a variable of the environment, or ``file:`` and the path of a file."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any, NoReturn

from durum.core.known_secrets import SHORTEST_SECRET
from durum.errors import ConfigError, TransportError

if TYPE_CHECKING:
    from durum.core.canonical import JsonObject

FILE = "file:"
MAX_SECRET_BYTES = 64 * 1024


class Secret:
    """Where a secret is: a name in the environment, or ``file:`` and an absolute path. It is read when a call needs it.

    ``Secret("API_TOKEN")``, ``Secret("file:/run/secrets/token")``: only this reference is recorded, never the value. It has no
    text, for wherever that went the receiver would get the name in place of the value.
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        if not name or not issubclass(type(name), str):
            message = "a Secret is made of the name of an environment variable, or of file: and an absolute path"
            raise ConfigError(message)
        self._name = name

    def reference(self, prefix: str = "") -> JsonObject:
        """Return the reference a request carries in its place."""
        return {"$secret": self._name, "prefix": prefix} if prefix else {"$secret": self._name}

    def __repr__(self) -> str:
        """Show the reference to whoever debugs."""
        return f"Secret({self._name!r})"

    def __eq__(self, other: object) -> bool:
        """Tell whether both name the same place."""
        return isinstance(other, Secret) and other._name == self._name

    def __hash__(self) -> int:
        """Go by the name."""
        return hash((Secret, self._name))

    def _refuse(self, *_: object) -> NoReturn:
        message = (
            f"a Secret may stand in env=, in headers= and in the request of io.call only; {self!r} has no text of its own "
            'to put into anything else (a word before it: Secret("NAME").reference("Bearer ") as the value of a header)'
        )
        raise ConfigError(message)

    __str__ = __format__ = __add__ = __radd__ = _refuse


def refuse_secret(value: object) -> None:
    """Refuse a ``Secret`` where only plain text or bytes can stand; ``ConfigError``."""
    if issubclass(type(value), Secret):
        str(value)


def with_references(value: object) -> Any:  # noqa: ANN401 - of the type it was
    """Return a request with its reference in place of each ``Secret``; shared parts stay shared; what is no JSON stays."""
    try:
        return _referring(value, {})
    except RecursionError:
        return value


def _referring(value: Any, done: dict[int, object]) -> object:  # noqa: ANN401 - whatever a step asks for
    kind = type(value)  # what a value says its class is, is its own code
    if issubclass(kind, Secret):
        return value.reference()
    if not issubclass(kind, dict | list | tuple):
        return value
    if id(value) not in done:
        done[id(value)] = value  # one that holds itself is refused as it was
        if issubclass(kind, dict):
            done[id(value)] = {key: _referring(item, done) for key, item in dict.items(value)}
        else:
            done[id(value)] = [_referring(item, done) for item in value]
    return done[id(value)]


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
