"""Connections and transactions on the one database, SQLite or PostgreSQL, with errors in the product's own terms."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

from sqlalchemy import event, text
from sqlalchemy.engine import URL, Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncTransaction, create_async_engine

from parlance.errors import ParlanceError, StorageError
from parlance.settings import DatabaseSettings
from parlance.storage.failures import TRANSLATED, translate
from parlance.storage.location import Location, locate
from parlance.storage.types import json_dumps, json_loads

__all__ = ["Database"]


class Database:
    """The one database of a process.

    SQLite: WAL, ``synchronous=FULL`` (a commit that returned survives a power cut), foreign keys on; writers of this
    process queue in order, writers of other processes are waited for up to ``lock_timeout_s``; readers see a snapshot
    and wait for nobody. PostgreSQL: a pool; reads are ``REPEATABLE READ, READ ONLY``.
    """

    def __init__(self, location: Location, settings: DatabaseSettings) -> None:
        self.dialect: Literal["sqlite", "postgresql"] = location.dialect
        self.location = location
        self._settings = settings
        self._writer, self._reader = _engines(location, settings)
        self._turn = asyncio.Lock()
        self._open: dict[Connection, list[Callable[[], None]]] = {}
        self._tasks: set[asyncio.Task[Any] | None] = set()

    @classmethod
    def open(cls, settings: DatabaseSettings) -> Database:
        """Prepare the database that the settings name; connects at the first use.

        Raises:
            ConfigError: the URL cannot be used, or the driver of PostgreSQL is not installed.
        """
        return cls(locate(settings), settings)

    @property
    def name(self) -> str:
        """The URL without its password, for messages."""
        return self.location.shown

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Write: everything inside is committed together when the block ends, or not at all.

        Pass the connection on to whatever shall be part of it. Keep model calls and network out of it: on SQLite
        other writers wait meanwhile.

        Raises:
            StorageError: ``database_locked``, ``database_gone``, ``disk_full``, ``database_corrupt`` …; nothing was
                written (if the connection was lost during the commit itself, the outcome is unknown).
            Conflict: a unique or foreign key was violated (``row_conflict``).
            ValidationFailed: a value cannot be stored.
            RuntimeError: this task has a transaction open already.
        """
        task = asyncio.current_task()
        if task in self._tasks:
            raise RuntimeError("This task has a transaction open already; pass its connection on instead.")
        self._tasks.add(task)
        try:
            async with (
                self._write_turn(),
                self._connected(self._writer) as connection,
                self._running(connection),
            ):
                yield connection
        finally:
            self._tasks.discard(task)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Read one consistent snapshot; a statement that writes fails.

        Raises:
            StorageError: as :meth:`transaction`.
        """
        async with self._connected(self._reader) as connection, self._translated():
            if self.dialect == "postgresql":
                await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            async with connection.begin():
                yield connection

    def after_commit(self, connection: AsyncConnection, callback: Callable[[], None]) -> None:
        """Call ``callback`` in the event loop once the transaction of ``connection`` has committed; never otherwise.

        Args:
            connection: what :meth:`transaction` gave.
            callback: quick, must not raise; called in the order of registration.
        """
        callbacks = self._open.get(connection.sync_connection) if connection.sync_connection is not None else None
        if callbacks is None:
            raise RuntimeError("after_commit needs the connection of an open transaction() of this database.")
        callbacks.append(callback)

    async def ping(self) -> None:
        """Ask the database for an answer.

        Raises:
            StorageError: it gave none.
        """
        async with self.read() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Close all connections; the object can be used again afterwards and then opens new ones."""
        await self._writer.dispose()
        if self._reader is not self._writer:
            await self._reader.dispose()

    @asynccontextmanager
    async def schema_transaction(self) -> AsyncIterator[AsyncConnection]:
        """A write transaction for migrations: no other migration runs meanwhile, foreign keys are checked at its end.

        SQLite's foreign keys are switched off inside, because rebuilding a table (Alembic's batch mode) would
        otherwise delete the rows that refer to it.
        """
        async with self._write_turn(), self._connected(self._writer) as connection:
            if self.dialect == "sqlite":
                await _pragma(connection, "foreign_keys=OFF", "busy_timeout=600000")
            try:
                async with self._running(connection):
                    if self.dialect == "postgresql":
                        await connection.execute(text("SET LOCAL lock_timeout = 0"))
                        await connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
                    yield connection
                    if self.dialect == "sqlite":
                        broken = (await connection.execute(text("PRAGMA foreign_key_check"))).first()
                        if broken is not None:
                            raise StorageError(f"A migration would leave rows of '{broken[0]}' that refer to nothing.")
            finally:
                if self.dialect == "sqlite":
                    await connection.invalidate()  # its pragmas are not those of the pool

    @asynccontextmanager
    async def _write_turn(self) -> AsyncIterator[None]:
        """One writer at a time where the database allows only one, in the order of asking."""
        if self.dialect == "postgresql":
            yield
            return
        try:
            async with asyncio.timeout(self._settings.lock_timeout_s):
                await self._turn.acquire()
        except TimeoutError as error:
            raise StorageError(
                f"Other writes in this process held the database {self.name} for {self._settings.lock_timeout_s} s.",
                hint="Try again; if it stays, a transaction is kept open too long.",
                code="database_locked",
            ) from error
        try:
            yield
        finally:
            self._turn.release()

    @asynccontextmanager
    async def _connected(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        try:
            await self.location.prepare()
            connection = await engine.connect()
        except self.location.connect_errors as error:
            raise self._explain(error) from error
        try:
            yield connection
        finally:
            with contextlib.suppress(*TRANSLATED):
                await connection.close()

    @asynccontextmanager
    async def _running(self, connection: AsyncConnection) -> AsyncIterator[None]:
        """Begin, then commit at the end and call back, which a cancelled caller cannot interrupt, or roll back."""
        key = connection.sync_connection
        if key is None:
            raise RuntimeError("The connection is closed.")
        async with self._translated():
            running = await connection.begin()
            callbacks = self._open[key] = []
            try:
                yield
            except BaseException:
                with contextlib.suppress(*TRANSLATED):
                    await running.rollback()
                raise
            else:
                await _uninterrupted(_commit(running, callbacks))
            finally:
                del self._open[key]

    @asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        try:
            yield
        except TRANSLATED as error:
            known = translate(error, where=self.name)
            if known is None:
                raise
            raise known from error

    def _explain(self, error: BaseException) -> ParlanceError:
        known = translate(error, where=self.name)
        return known or StorageError(f"The database {self.name} cannot be opened ({error}).", code="database_gone")


_MIGRATION_LOCK = 0x7061726C  # "parl": one number for all processes that migrate this database


def _engines(location: Location, settings: DatabaseSettings) -> tuple[AsyncEngine, AsyncEngine]:
    """The engine for writing and the one for reading; the same one on PostgreSQL."""
    json: dict[str, Any] = {"json_serializer": json_dumps, "json_deserializer": json_loads}
    if location.dialect == "postgresql":
        timeout_ms = str(int(settings.lock_timeout_s * 1000))
        engine = create_async_engine(
            location.url,
            pool_size=settings.pool_size,
            max_overflow=0,
            pool_timeout=max(10.0, settings.lock_timeout_s),
            pool_pre_ping=True,
            connect_args={
                **location.connect_args,
                "timeout": max(10.0, settings.lock_timeout_s),
                "server_settings": {
                    "application_name": "parlance",
                    "lock_timeout": timeout_ms,
                    "idle_in_transaction_session_timeout": "60000",
                },
            },
            **json,
        )
        return engine, engine
    writer = _sqlite_engine(location.url, settings, size=1, begin="BEGIN IMMEDIATE", pragmas=_WRITER_PRAGMAS, **json)
    reader = _sqlite_engine(
        location.url, settings, size=settings.pool_size, begin="BEGIN", pragmas=_READER_PRAGMAS, **json
    )
    return writer, reader


_WRITER_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")
_READER_PRAGMAS = ("query_only=ON",)


def _sqlite_engine(
    url: URL, settings: DatabaseSettings, *, size: int, begin: str, pragmas: tuple[str, ...], **options: Any
) -> AsyncEngine:
    engine = create_async_engine(
        url,
        pool_size=size,
        max_overflow=0,
        pool_timeout=settings.lock_timeout_s,
        pool_reset_on_return=None,  # every block ends its own transaction; saves a thread change per use
        connect_args={"isolation_level": None, "timeout": settings.lock_timeout_s, "cached_statements": 256},
        **options,
    )
    script = "".join(f"PRAGMA {pragma};" for pragma in pragmas)

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.run_async(lambda driver: driver.executescript(script))

    @event.listens_for(engine.sync_engine, "begin")
    def start(connection: Connection) -> None:
        # The driver's own implicit BEGIN is off (isolation_level None): it would begin too late and not immediate.
        connection.exec_driver_sql(begin)

    return engine


async def _pragma(connection: AsyncConnection, *pragmas: str) -> None:
    """Set pragmas outside of any transaction, where SQLite wants them."""
    raw = await connection.get_raw_connection()
    driver: Any = raw.driver_connection
    await driver.executescript("".join(f"PRAGMA {pragma};" for pragma in pragmas))


async def _commit(running: AsyncTransaction, callbacks: Sequence[Callable[[], None]]) -> None:
    await running.commit()
    for callback in callbacks:
        callback()


async def _uninterrupted(step: Coroutine[Any, Any, None]) -> None:
    """Await a step to its end however often the caller is cancelled, so that its outcome is known; then cancel."""
    task = asyncio.create_task(step)
    interrupted: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            interrupted = error
    task.result()
    if interrupted is not None:
        raise interrupted
