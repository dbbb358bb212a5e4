"""The three roots: whose fault an error is says what to do about it."""

from __future__ import annotations

from typing import ClassVar


class DurumError(Exception):
    """Root of every error Durum raises; ``str()`` is one sentence a person can act on."""

    code: ClassVar[str] = "durum_error"
    retryable: bool = False


class CallerError(DurumError):
    """The call is wrong: fix it and call again."""

    code = "caller_error"


class RunError(DurumError):
    """A fault of one run; it is recorded in that run's log."""

    code = "run_error"


class WorldError(DurumError):
    """A fault of the machine or of a store; trying again may help."""

    code = "world_error"
    retryable = True
