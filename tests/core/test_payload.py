"""Bytes travel as text where that loses nothing, as base64 otherwise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durum.core.canonical import canonical_json, decode_json
from durum.core.payload import decode_payload, encode_payload


@given(st.one_of(st.binary(), st.text().map(lambda text: text.encode("utf-8", "surrogatepass"))))
def test_every_bytes_come_back_through_canonical_json(data: bytes) -> None:
    """Encoding, storing as canonical JSON and decoding gives the same bytes, whatever they are."""
    assert decode_payload(decode_json(canonical_json(encode_payload(data)))) == data


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", {"text": ""}),
        ("größer\0\r\n".encode(), {"text": "größer\0\r\n"}),
        (b"\xef\xbb\xbfa", {"text": "\ufeffa"}),  # a byte order mark is content
        (b"\xff\xfe", {"base64": "//4="}),
        (b"\xed\xa0\x80", {"base64": "7aCA"}),  # a surrogate written as UTF-8
        (b"\xc0\x80", {"base64": "wIA="}),  # an overlong NUL
    ],
)
def test_text_only_if_it_is_valid_utf8(data: bytes, expected: dict[str, str]) -> None:
    """Exactly valid UTF-8 is text; nothing is normalised or stripped."""
    assert encode_payload(data) == expected


def test_base64_of_text_is_accepted() -> None:
    """A caller may send any bytes as base64, also those that would fit in text."""
    assert decode_payload({"base64": "aGk="}) == b"hi"


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        "text",
        [],
        {},
        {"text": 1},
        {"bytes": "x"},
        {"text": "a", "base64": "YQ=="},
        {"text": "\ud800"},
        {"base64": "YQ"},
        {"base64": "YQ==\n"},
        {"base64": "YR=="},  # stray low bits
        {"base64": "_-8="},
        {"base64": "é"},
    ],
)
def test_anything_else_is_refused(wrong: object) -> None:
    """Another shape, a lone surrogate and sloppy base64 raise ValueError with a sentence about payloads."""
    with pytest.raises(ValueError, match="payload"):
        decode_payload(wrong)
