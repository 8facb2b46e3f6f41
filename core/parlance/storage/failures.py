"""What a database's errors mean: drivers' exceptions become the product's own, with a code and what to do."""

from __future__ import annotations

import errno
import sqlite3
from typing import Literal

from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from parlance.errors import ConfigError, Conflict, ParlanceError, StorageError, ValidationFailed

__all__ = ["TRANSLATED", "translate"]

TRANSLATED = (SQLAlchemyError, OSError, UnicodeEncodeError, OverflowError)
"""Exceptions that :func:`translate` should be asked about when they leave a transaction."""

_Kind = Literal[
    "locked", "gone", "full", "corrupt", "read_only", "auth", "absent", "schema", "busy", "conflict", "data", "text"
]

_SQLITE: dict[int, _Kind] = {
    sqlite3.SQLITE_BUSY: "locked",
    sqlite3.SQLITE_LOCKED: "locked",
    sqlite3.SQLITE_FULL: "full",
    sqlite3.SQLITE_CORRUPT: "corrupt",
    sqlite3.SQLITE_NOTADB: "corrupt",
    sqlite3.SQLITE_CANTOPEN: "gone",
    sqlite3.SQLITE_IOERR: "gone",
    sqlite3.SQLITE_READONLY: "read_only",
    sqlite3.SQLITE_PERM: "read_only",
    sqlite3.SQLITE_TOOBIG: "data",
}
# SQLite says FULL only where the system says ENOSPC; a quota or a limit of file size makes the write itself fail.
_SQLITE_EXTENDED: dict[int, _Kind] = {
    sqlite3.SQLITE_IOERR_WRITE: "full",
    sqlite3.SQLITE_IOERR_SHMSIZE: "full",
}
# PostgreSQL's SQLSTATE codes, whole or by class: https://www.postgresql.org/docs/current/errcodes-appendix.html
_POSTGRESQL: dict[str, _Kind] = {
    "55P03": "locked",
    "40P01": "locked",
    "40001": "locked",
    "53100": "full",
    "53300": "busy",
    "3D000": "absent",
    "42P01": "schema",
    "42703": "schema",
    "25006": "read_only",
    "23505": "conflict",
    "23503": "conflict",
    "28": "auth",
    "08": "gone",
    "57": "gone",
    "58": "gone",
    "XX": "corrupt",
    "22021": "text",
    "22P05": "text",
    "22": "data",
}
_STORAGE: dict[_Kind, tuple[str, str, str]] = {
    "locked": (
        "database_locked",
        "The database {where} is locked by another writer",
        "Try again; if it stays, look for a long transaction or raise database.lock_timeout_s.",
    ),
    "busy": (
        "database_busy",
        "The database {where} has no free connection",
        "Try again, or raise database.pool_size and the server's max_connections.",
    ),
    "gone": (
        "database_gone",
        "The database {where} cannot be reached",
        "Check that it is there and running; work goes on by itself once it is back.",
    ),
    "full": (
        "disk_full",
        "The disk of the database {where} is full, or a quota or limit of file size is reached",
        "Free some space; nothing of this request was written.",
    ),
    "corrupt": (
        "database_corrupt",
        "The database {where} is damaged or is no database",
        "Stop the server and restore the file from a backup; 'PRAGMA integrity_check' says more.",
    ),
    "read_only": (
        "database_read_only",
        "The database {where} cannot be written",
        "Check the permissions of the file and its folder, and that the server is not a replica.",
    ),
    "schema": (
        "database_schema",
        "The database {where} lacks a table or column",
        "Run 'parlance db migrate'.",
    ),
}


def translate(error: BaseException, *, where: str) -> ParlanceError | None:
    """The product's error for a driver's, or ``None`` where there is none (a mistake in a statement, say).

    Args:
        error: what was caught.
        where: the database's name without its password, for the message.
    """
    if isinstance(error, StatementError) and isinstance(error.orig, UnicodeEncodeError | ValueError | OverflowError):
        error = error.orig
    if isinstance(error, UnicodeEncodeError):
        return ValidationFailed(
            f"A text holds a character that cannot be stored: {error.reason} at position {error.start}.",
            hint="Lone surrogates (half of an emoji) are not valid Unicode; remove them.",
            code="text_not_storable",
        )
    if isinstance(error, OverflowError):
        return ValidationFailed(f"A number is out of range: {error}.", hint="Integers have 64 bits.")
    if isinstance(error, ValueError):
        return ValidationFailed(f"A value cannot be stored: {error}", code="value_not_storable")
    if isinstance(error, PoolTimeout):
        return _storage("busy", error, where)
    original = _original(error)
    kind = _kind(original)
    if kind is None and isinstance(error, DBAPIError) and error.connection_invalidated:
        kind = "gone"
    if kind is None and isinstance(error, IntegrityError) and "UNIQUE" in str(original):
        kind = "conflict"
    if kind is None:
        return None
    return _storage(kind, original, where)


def _original(error: BaseException) -> BaseException:
    """The driver's own exception behind SQLAlchemy's wrappers: the innermost that has a code."""
    seen: list[BaseException] = [error]
    while True:
        last = seen[-1]
        below = getattr(last, "orig", None) or last.__cause__
        if below is None or below in seen:
            break
        seen.append(below)
    for candidate in reversed(seen):
        if getattr(candidate, "sqlite_errorcode", None) or getattr(candidate, "sqlstate", None):
            return candidate
    return seen[-1]


def _kind(error: BaseException) -> _Kind | None:
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        if code in (sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY):
            return "conflict"
        if code == sqlite3.SQLITE_ERROR and "no such" in str(error):
            return "schema"
        return _SQLITE_EXTENDED.get(code) or _SQLITE.get(code & 0xFF)
    state = getattr(error, "sqlstate", None)
    if state:
        return _POSTGRESQL.get(state) or _POSTGRESQL.get(state[:2])
    if isinstance(error, OSError):
        return "full" if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else "gone"
    if type(error).__module__.startswith("asyncpg"):
        return "data" if type(error).__name__ == "DataError" else "gone"
    if isinstance(error, sqlite3.DataError):
        return "data"
    return None


def _storage(kind: _Kind, error: BaseException, where: str) -> ParlanceError:
    cause = " ".join(str(error).split()) or type(error).__name__
    if kind == "conflict":
        return Conflict(
            f"A row with this key exists already, or one that it refers to does not ({cause}).", code="row_conflict"
        )
    if kind == "text":
        return ValidationFailed(
            f"A text holds a character that PostgreSQL does not store: {cause}.",
            hint="The character NUL cannot be stored; remove it.",
            code="text_not_storable",
        )
    if kind == "data":
        return ValidationFailed(f"A value cannot be stored: {cause}.", code="value_not_storable")
    if kind in ("auth", "absent"):
        return ConfigError(
            f"The database {where} refused the connection: {cause}.",
            hint="Check user, password and database name in database.url or database.url_file.",
            code="database_refused",
        )
    code, text, hint = _STORAGE[kind]
    return StorageError(f"{text.format(where=where)} ({cause}).", hint=hint, code=code)
