"""Published times as callers write them: ISO 8601 with a zone, or a date alone."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

from parlance.errors import ValidationFailed

__all__ = ["parse_time"]

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}|\d{8}")
_EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
_LATEST = datetime(9990, 1, 1, tzinfo=UTC)
_EXAMPLES = "2026-03-02T09:30:00Z, 2026-03-02T17:30:00+08:00 or 2026-03-02"


def parse_time(value: str, *, field: str) -> datetime:
    """Read a moment.

    Args:
        value: ISO 8601. A date alone means midnight UTC of that day; a time must carry its zone.
        field: the name that the error shows.

    Returns:
        The moment, timezone-aware, UTC.

    Raises:
        ValidationFailed: code ``bad_time``; no date, no zone, or a year out of range.
    """
    text = value.strip()
    try:
        if _DATE.fullmatch(text):
            return _in_range(datetime.combine(date.fromisoformat(text), datetime.min.time(), tzinfo=UTC), text, field)
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        shown = text[:40]
        raise ValidationFailed(
            f"'{field}' is no date or time: {shown!r} ({error}).",
            hint=f"Write ISO 8601, such as {_EXAMPLES}.",
            code="bad_time",
            field=field,
        ) from error
    if moment.tzinfo is None:
        raise ValidationFailed(
            f"'{field}' has a time without a zone: {text[:40]!r}.",
            hint=f"Add Z for UTC or an offset: {_EXAMPLES}.",
            code="bad_time",
            field=field,
        )
    return _in_range(moment, text, field)


def _in_range(moment: datetime, text: str, field: str) -> datetime:
    """Refuse years that time arithmetic or a database cannot carry."""
    try:
        utc = moment.astimezone(UTC)
    except OverflowError:
        utc = None
    if utc is None or not _EARLIEST <= utc < _LATEST:
        raise ValidationFailed(
            f"'{field}' lies outside the years 1900 to 9989: {text[:40]!r}.", code="bad_time", field=field
        )
    return utc
