"""What is written of a failure fits its event and decodes, whatever its author put into it."""

from __future__ import annotations

import msgspec
import pytest

from durum import codec
from durum.core import events as ev
from durum.core.failure import MAX_MESSAGE_CHARACTERS, StateError, describe
from durum.engine.recorder import INLINE_EVENT_BYTES
from durum.errors import StepError

LONGEST = "a" * 63
STATE = f"{LONGEST}.{LONGEST}.{LONGEST}"
CHARACTERS = ["x", "\x01", "\x7f", "\n", "ü", "\u2028", "😀", "\ud800"]


def stored(error: BaseException) -> bytes:
    """Return the body of the event of a failure, with the longest names there are."""
    failed = ev.StateFailed(error=StateError(describe(error), STATE), state_id=STATE)
    header = codec.Header("0" * 36, 2**53, 2**53, STATE, 2**53, 2**53, "w" * 64)
    return codec.encode(failed, header, b"0" * 32).body


@pytest.mark.parametrize("character", CHARACTERS, ids=ascii)
def test_the_longest_failure_fits_its_event(character: str) -> None:
    """Message and details at their longest, of characters that take up to six bytes each in JSON; no event is refused."""
    for length in range(0, 9_000, 60):
        error = StepError(character * (MAX_MESSAGE_CHARACTERS + 1), code=LONGEST, details={"stderr": character * length})
        assert len(stored(error)) <= INLINE_EVENT_BYTES, length


@pytest.mark.parametrize("character", ["x", "\x01"])
def test_details_are_kept_whole_or_left_out(character: str) -> None:
    """Half a document decodes to nothing."""
    kept = [
        length
        for length in range(0, 9_000, 60)
        if msgspec.json.decode(describe(StepError("m", details={"stderr": character * length})).details)
        == {"stderr": character * length}
    ]
    assert kept == list(range(0, len(kept) * 60, 60))
    assert len(kept) > 15
