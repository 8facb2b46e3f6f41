"""Where the database is: reads the URL of the settings, and says what connecting to it can raise."""

from __future__ import annotations

import asyncio
import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from parlance.errors import ConfigError, StorageError
from parlance.settings import DatabaseSettings

__all__ = ["Location", "locate"]


@dataclass(frozen=True, slots=True)
class Location:
    """A database's address, taken apart."""

    dialect: Literal["sqlite", "postgresql"]
    url: URL
    shown: str
    """For messages: no password."""
    file: Path | None = None
    """The SQLite file; ``None`` on PostgreSQL."""
    connect_args: dict[str, Any] = field(default_factory=dict)
    connect_errors: tuple[type[BaseException], ...] = (SQLAlchemyError, OSError)

    async def prepare(self) -> None:
        """Make the folder of the SQLite file.

        Raises:
            StorageError: it cannot be made.
        """
        if self.file is None or self.file.parent.is_dir():
            return
        try:
            await asyncio.to_thread(self.file.parent.mkdir, parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"The folder {self.file.parent} for the database cannot be made ({error.strerror}).",
                hint="Set database.url to a place that can be written.",
                code="database_gone",
            ) from error


def locate(settings: DatabaseSettings) -> Location:
    """Read the settings' URL.

    Raises:
        ConfigError: unreadable URL or file, another kind of database, or a driver that is not installed.
    """
    try:
        url = make_url(_read_url(settings))
    except ArgumentError as error:
        raise ConfigError(f"database.url is not a database URL ({error}).", hint=_FORMS) from error
    kind = url.drivername.partition("+")[0]
    if kind == "sqlite":
        return _sqlite(url)
    if kind in ("postgresql", "postgres"):
        return _postgresql(url)
    raise ConfigError(f"database.url names a '{kind}' database, which is not supported.", hint=_FORMS)


_FORMS = "Use sqlite:///path/to/file or postgresql://user:password@host/name."


def _read_url(settings: DatabaseSettings) -> str:
    if not settings.url_file:
        return settings.url
    try:
        return Path(settings.url_file).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"database.url_file '{settings.url_file}' cannot be read ({error}).") from error


def _sqlite(url: URL) -> Location:
    if not url.database or url.database == ":memory:" or url.query:
        raise ConfigError(
            f"database.url '{url}' names no file.",
            hint="Use sqlite:///path/to/file; databases in memory are not supported, because nothing would last.",
        )
    file = Path(url.database).expanduser()
    return Location(
        dialect="sqlite",
        url=URL.create("sqlite+aiosqlite", database=str(file)),
        shown=f"sqlite:///{file}",
        file=file,
    )


def _postgresql(url: URL) -> Location:
    shown = url.set(drivername="postgresql").render_as_string(hide_password=True)
    if importlib.util.find_spec("asyncpg") is None:
        raise ConfigError(
            f"database.url names {shown}, but the driver of PostgreSQL is not installed.",
            hint="Install it: pip install 'parlance[postgres]'.",
        )
    import asyncpg

    query = dict(url.query)
    arguments: dict[str, Any] = {}
    if (mode := query.pop("sslmode", None)) is not None:
        arguments["ssl"] = mode
    if (socket := query.pop("host", None)) is not None:
        arguments["host"] = socket
    if query:
        raise ConfigError(
            f"database.url has parameters that are not known: {', '.join(sorted(query))}.",
            hint="Only sslmode and host (the folder of a Unix socket) can be given after the question mark.",
        )
    return Location(
        dialect="postgresql",
        url=url.set(drivername="postgresql+asyncpg", query={}),
        shown=shown,
        connect_args=arguments,
        connect_errors=(SQLAlchemyError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError),
    )
