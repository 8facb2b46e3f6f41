"""Events as the plugin works with them, and moments in time as callers write them."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from parlance.errors import ValidationFailed

__all__ = ["Event", "Kind", "derived_id", "moment_ms"]

Kind = Literal["item", "user", "ranking", "interaction"]
_EARLIEST_MS = 0
_LATEST_MS = 4_102_444_800_000
"""The year 2100: a moment beyond is a wrong unit, not a time."""


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event, whatever format it came in. ``at_ms``: epoch milliseconds."""

    id: str
    kind: Kind
    at_ms: int
    user: str | None = None
    session: str | None = None
    item: str | None = None
    ranking: str | None = None
    type: str = ""
    value: float | None = None
    fields: dict[str, Any] = {}
    items: tuple[str, ...] = ()


def derived_id(*parts: object) -> str:
    """An id for an event that came without one: the same facts give the same id, so a repeated import adds nothing."""
    return "h:" + hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).hexdigest()[:40]


def moment_ms(value: object, *, unit: Literal["ms", "s"] = "ms", where: str = "timestamp") -> int:
    """Read a moment: a number (also as text) in ``unit``, or ISO 8601 (without a zone it is UTC).

    Raises:
        ValidationFailed: code ``bad_timestamp``: neither of them, or outside 1970–2100.
    """
    found: float | None = None
    if isinstance(value, int | float) and not isinstance(value, bool):
        found = float(value)
    elif isinstance(value, str):
        try:
            found = float(value) if value.strip() and "_" not in value else None
        except ValueError:
            found = None
        if found is None:
            return _iso_ms(value, where)
    if found is not None and unit == "s":
        found *= 1000
    if found is None or not _EARLIEST_MS <= found < _LATEST_MS:
        raise _bad(value, where)
    return int(found)


def _iso_ms(value: str, where: str) -> int:
    try:
        moment = datetime.fromisoformat(value.strip())
    except ValueError as error:
        raise _bad(value, where) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    found = int(moment.timestamp() * 1000)
    if not _EARLIEST_MS <= found < _LATEST_MS:
        raise _bad(value, where)
    return found


def _bad(value: object, where: str) -> ValidationFailed:
    return ValidationFailed(
        f"{where} cannot be {str(value)[:80]!r}.",
        hint="Give epoch milliseconds or ISO 8601 such as 2026-01-31T12:00:00Z, between 1970 and 2099.",
        code="bad_timestamp",
        path=where,
    )
