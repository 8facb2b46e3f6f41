"""Column types that behave alike on SQLite and PostgreSQL: UTC times, big automatic ids, JSON by msgspec."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import BigInteger, DateTime, Integer
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

__all__ = ["BigId", "UtcDateTime", "json_dumps", "json_loads"]

BigId = BigInteger().with_variant(Integer, "sqlite")
"""A 64-bit automatic primary key. SQLite gives automatic ids only to a column declared ``INTEGER``; set
``sqlite_autoincrement=True`` on the table where an id must never be used twice."""


class UtcDateTime(TypeDecorator[datetime]):
    """A moment: goes in and comes out timezone-aware and in UTC, with microseconds.

    PostgreSQL stores ``timestamptz``, SQLite the text ``YYYY-MM-DD HH:MM:SS.ffffff`` in UTC, which sorts by time and
    which ``strftime`` reads.

    Raises:
        ValueError: a naive datetime is bound.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; times are stored timezone-aware, make it UTC.")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def json_dumps(value: Any) -> str:
    """Encode a value for a JSON column; lone surrogates raise ``UnicodeEncodeError``, NaN becomes null."""
    return msgspec.json.encode(value).decode()


def json_loads(text: str | bytes) -> Any:
    """Decode a JSON column."""
    return msgspec.json.decode(text)
