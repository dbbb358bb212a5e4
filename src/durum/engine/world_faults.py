"""Failures that are the machine's or the store's and not the run's: whoever drives it stops, and the run goes on later."""

from __future__ import annotations

import errno

from durum.errors import OutOfFilesError, StoreUnavailableError, WorldError

_DEEPEST = 16
_OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE})


def worlds_fault(error: BaseException) -> WorldError | None:
    """Return the world's fault behind what a call raised, None if there is none: a transport may say it in its own words."""
    found: BaseException | None = error
    for _ in range(_DEEPEST):
        if found is None or isinstance(found, StoreUnavailableError | OutOfFilesError):
            return found
        if isinstance(found, OSError) and found.errno in _OUT_OF_FILES:
            return OutOfFilesError(found.strerror or str(found))
        found = found.__cause__ or found.__context__
    return None
