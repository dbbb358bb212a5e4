"""Bytes as a JSON object: ``{"text": str}`` when they are valid UTF-8, ``{"base64": str}`` otherwise."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from durum.core.canonical import JsonObject


def encode_payload(data: bytes) -> JsonObject:
    """Return the one JSON form of ``data``; ``decode_payload`` gives back the same bytes."""
    try:
        return {"text": data.decode("utf-8")}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode("ascii")}


def decode_payload(obj: object) -> bytes:
    """Return the bytes of ``{"text": str}`` or ``{"base64": str}``.

    Raises:
        ValueError: ``obj`` has another shape, the text holds a lone surrogate, or the base64 is not standard and padded.
    """
    if not isinstance(obj, dict) or len(obj) != 1:
        msg = 'a payload is an object with exactly one field, "text" or "base64"'
        raise ValueError(msg)
    ((kind, value),) = obj.items()
    if kind not in {"text", "base64"} or not isinstance(value, str):
        msg = 'a payload is {"text": str} or {"base64": str}'
        raise ValueError(msg)
    return _decode_text(value) if kind == "text" else _decode_base64(value)


def _decode_text(value: str) -> bytes:
    try:
        return value.encode("utf-8")
    except UnicodeEncodeError:
        msg = "the payload's text holds a lone surrogate, which has no UTF-8 form; send the bytes as base64"
        raise ValueError(msg) from None


def _decode_base64(value: str) -> bytes:
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        data = None
    # Standard decoders ignore stray low bits, so that two texts would stand for the same bytes.
    if data is None or base64.b64encode(data).decode("ascii") != value:
        msg = "the payload's base64 is not standard, padded base64"
        raise ValueError(msg)
    return data


def payload_text(value: object) -> str | None:
    """Return the bytes of a ``{"base64": ...}`` payload as Latin-1 text, to be searched; None for anything else."""
    if not isinstance(value, dict) or value.keys() != {"base64"}:
        return None
    try:
        return decode_payload(value).decode("latin-1")
    except ValueError:
        return None


def payload_of_text(text: str) -> JsonObject:
    """Return the payload of what ``payload_text`` gave, after it was changed."""
    return encode_payload(text.encode("latin-1"))
