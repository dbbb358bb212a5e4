"""Failures that are the machine's or the store's and not the run's: whoever drives it stops, and the run goes on later."""

from __future__ import annotations

import errno
from typing import Any

from durum.errors import OutOfFilesError, StoreUnavailableError, WorldError

_DEEPEST = 16
_OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE})
_cause, _context = vars(BaseException)["__cause__"].__get__, vars(BaseException)["__context__"].__get__


def worlds_fault(error: BaseException) -> WorldError | None:
    """Return the world's fault behind what a call raised, None if there is none: a transport may say it in its own words."""
    found: Any = error
    for _ in range(_DEEPEST):
        if found is None or issubclass(type(found), StoreUnavailableError | OutOfFilesError):
            fault: WorldError | None = found
            return fault
        if issubclass(type(found), OSError) and _number(found) in _OUT_OF_FILES:
            return OutOfFilesError("Too many open files")
        found = _cause(found) or _context(found)
    return None


def _number(error: BaseException) -> object:
    """Return the system's number for an error, past whatever its class made of that name."""
    number: object = vars(OSError)["errno"].__get__(error)
    return number if type(number) is int else None
