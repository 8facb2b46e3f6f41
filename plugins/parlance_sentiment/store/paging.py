"""Cursors for lists that are ordered by a time and an id, newest first."""

from __future__ import annotations

import base64
from datetime import datetime

import msgspec
from sqlalchemy import Column, ColumnElement, and_, or_

from parlance.errors import ValidationFailed

__all__ = ["before", "decode_cursor", "encode_cursor"]


def encode_cursor(moment: datetime, identity: str) -> str:
    """An opaque cursor that stands after the row with this time and id."""
    return base64.urlsafe_b64encode(msgspec.json.encode([moment, identity])).decode().rstrip("=")


def decode_cursor(cursor: str) -> tuple[datetime, str]:
    """Read a cursor.

    Raises:
        ValidationFailed: code ``bad_cursor``.
    """
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        moment, identity = msgspec.json.decode(raw, type=tuple[datetime, str])
    except (ValueError, UnicodeError) as error:
        raise ValidationFailed(
            "'cursor' is none of this list.", hint="Take it from 'next_cursor' of the page before.", code="bad_cursor"
        ) from error
    if moment.tzinfo is None:
        raise ValidationFailed("'cursor' is none of this list.", code="bad_cursor")
    return moment, identity


def before(cursor: str, moment: Column[datetime], identity: Column[str]) -> ColumnElement[bool]:
    """The condition for rows that follow the cursor in falling order."""
    at, last = decode_cursor(cursor)
    return or_(moment < at, and_(moment == at, identity < last))
