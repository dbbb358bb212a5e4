"""What Ctrl-C and SIGTERM do to a run under way: let go of it, to be resumed; a second one ends the process at once."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import threading
from typing import TYPE_CHECKING, Self

from durum.cli.verb import ExitCode
from durum.errors import ConfigError

if TYPE_CHECKING:
    from types import FrameType, TracebackType

    from durum.cli.streams import Streams
    from durum.engine.stop import Stop

DRAIN_VARIABLE = "DURUM_DRAIN_SECONDS"
_DRAIN_SECONDS = 10.0
_LONGEST_DRAIN_SECONDS = 86_400
_SHOW_CURSOR = "\x1b[?25h"


def drain_seconds() -> float:
    """Return how long SIGTERM waits for what is under way.

    Raises:
        ConfigError: the environment holds no such time.
    """
    text = os.environ.get(DRAIN_VARIABLE, "")
    if not text:
        return _DRAIN_SECONDS
    with contextlib.suppress(ValueError):
        seconds = float(text)
        if math.isfinite(seconds) and 0 <= seconds <= _LONGEST_DRAIN_SECONDS:
            return seconds
    raise ConfigError(
        f"{DRAIN_VARIABLE}={text!r} is no number of seconds from 0 to {_LONGEST_DRAIN_SECONDS}; unset or correct it"
    )


class Signals:
    """Installed while a run may be driven. Until ``armed`` there is none, and a signal interrupts as everywhere else.

    A handler never raises into a step, nor into the event loop while that is being made: it asks ``stop``, and says so.
    """

    def __init__(self, streams: Streams) -> None:
        from durum.engine.stop import Stop

        self.stop: Stop = Stop()
        self.armed = False
        self._came = 0
        self._streams = streams
        self._drain_seconds = drain_seconds()
        self._deadline: threading.Timer | None = None
        self._before: dict[int, signal._HANDLER] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            if number is signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN:  # a background job of a shell
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        if not self.armed:
            raise KeyboardInterrupt
        self._came += 1  # before anything else: the next signal may come while this one is being handled
        if self._came > 1:
            self._say("exiting at once; the run stays as its log has it and can be resumed")
            os._exit(ExitCode.PARKED)
        if number == signal.SIGINT or not self._drain_seconds:
            self._say("letting go of the run; once more to exit at once")
            self.stop.now()
            return
        self._say(f"waiting {self._drain_seconds:g} s at most for what is under way; once more to exit at once")
        self._deadline = threading.Timer(self._drain_seconds, self.stop.now)
        self._deadline.daemon = True
        self._deadline.start()
        self.stop.drain()

    def _say(self, text: str) -> None:
        """Write past every buffer and lock: the main thread may be inside any of them."""
        shown = f"\r{_SHOW_CURSOR}{text}\r\n" if self._streams.notes_are_terminal else f"{text}\n"
        with contextlib.suppress(OSError, ValueError):
            os.write(self._streams.notes.fileno(), shown.encode())
