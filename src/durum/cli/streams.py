"""Where output goes: data to stdout, everything else to stderr, whoever printed it.

A reader that went away (``durum events RUN | head``) raises BrokenPipeError once, and nothing more when the process ends.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator


class Streams:
    """The two streams of this process."""

    def __init__(self) -> None:
        self._data = _usable(sys.stdout)
        self.notes = _usable(sys.stderr)
        if isinstance(self._data, io.TextIOWrapper):
            self._data.reconfigure(errors="backslashreplace")
        self.data_is_terminal = self._data.isatty()
        self.notes_are_terminal = self.notes.isatty()
        self.can_ask = self.notes_are_terminal and sys.stdin is not None and sys.stdin.isatty()

    def data(self, text: str) -> None:
        """Write lines of data."""
        with _last_words(self._data):
            self._data.write(text if text.endswith("\n") else text + "\n")
            self._data.flush()

    def raw(self, data: bytes) -> None:
        """Write bytes as they are."""
        with _last_words(self._data):
            self._data.buffer.write(data)
            self._data.buffer.flush()

    def note(self, text: str) -> None:
        """Write a message; one that nobody can read any more is no reason to stop."""
        with contextlib.suppress(OSError), _last_words(self.notes):
            self.notes.write(text + "\n")
            self.notes.flush()

    def ask(self, question: str) -> str:
        """Return the line a person types at the terminal; nothing at its end."""
        self.notes.write(question)
        self.notes.flush()
        return sys.stdin.readline().strip()

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """While other people's code runs, what it and its processes print to stdout goes to stderr."""
        ours = self._data
        try:
            ours.flush()
            kept, place = os.dup(ours.fileno()), ours.fileno()
            os.dup2(self.notes.fileno(), place)
        except OSError:  # no file behind a stream: no process could print there
            yield
            return
        self._data = os.fdopen(kept, "w", encoding=ours.encoding, errors="backslashreplace")
        try:
            with contextlib.redirect_stdout(self.notes):
                yield
        finally:
            with contextlib.suppress(OSError):
                ours.flush()  # what was written past the redirection
            os.dup2(kept, place)
            self._data.close()
            self._data = ours


def _usable(stream: TextIO | None) -> TextIO:
    """Return a stream, or one to nowhere if this process was started without it."""
    return Path(os.devnull).open("w", encoding="utf-8") if stream is None else stream


@contextlib.contextmanager
def _last_words(stream: TextIO) -> Iterator[None]:
    """After a failed write let the rest go nowhere, so that the interpreter's own flush at the end has nothing to say."""
    try:
        yield
    except OSError:
        with contextlib.suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
        raise
