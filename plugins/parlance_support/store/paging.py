"""Opaque cursors: where a page ended, so that the next begins after it whatever was written meanwhile."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from parlance.errors import BadInput

__all__ = ["decode_cursor", "encode_cursor"]


def encode_cursor(*position: Any) -> str:
    """A cursor for a position of JSON-able values."""
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).rstrip(b"=").decode()


def decode_cursor(cursor: str, kind: type[tuple[Any, ...]] | Any) -> Any:
    """The position of a cursor.

    Raises:
        BadInput: it is not one of ours (``bad_cursor``).
    """
    try:
        raw = base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4))
        return msgspec.json.decode(raw, type=kind)
    except (binascii.Error, UnicodeError, msgspec.DecodeError, ValueError) as error:
        raise BadInput(
            "The cursor is not one that this server gave.", hint="Start again without a cursor.", code="bad_cursor"
        ) from error
