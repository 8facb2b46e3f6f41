"""Brings the database to the schema of this version: each owner of tables has its own folder of Alembic revisions and
its own version table.

The other files of this folder are the core's own revisions. Alembic is imported only when something is to be applied.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from sqlalchemy import Connection, MetaData, column, select, table
from sqlalchemy.exc import DBAPIError

from parlance.errors import PluginError, StorageError
from parlance.storage.database import Database
from parlance.storage.failures import translate

__all__ = ["CORE_FOLDER", "HasTables", "Migrated", "SchemaState", "migrate", "status"]

CORE_FOLDER = Path(__file__).parent


class HasTables(Protocol):
    """What an owner of tables declares; ``parlance.plugins.items.Tables`` is one."""

    @property
    def metadata(self) -> MetaData: ...

    @property
    def migrations(self) -> Path: ...


@dataclass(frozen=True, slots=True)
class SchemaState:
    """Where one owner's tables stand."""

    owner: str
    state: Literal["current", "pending", "newer"]
    revision: str | None
    """The revision in the database; ``None`` where nothing was applied yet."""
    head: str
    """The newest revision that this version knows."""
    pending: tuple[str, ...] = ()
    """The revisions to apply, in order."""


@dataclass(frozen=True, slots=True)
class Migrated:
    """What was applied for one owner."""

    owner: str
    applied: tuple[str, ...]


async def migrate(database: Database, owners: Sequence[tuple[str, HasTables]]) -> list[Migrated]:
    """Apply what is missing, owner by owner in the order given, each wholly or not at all.

    Cheap when nothing is missing. Several processes may start at once: one migrates, the others wait and find it done.

    Args:
        database: the database.
        owners: name and tables of each; the version table of ``support`` is ``support_migrations``.

    Returns:
        What was applied; empty when the schema was current.

    Raises:
        StorageError: ``database_newer`` when the database has a revision that this version does not know (then nothing
            was changed for anyone), or another code when it could not be used.
        PluginError: a migration failed (``migration_failed``); it was rolled back.
    """
    states = await status(database, owners)
    newer = [state for state in states if state.state == "newer"]
    if newer:
        raise _newer(database, newer)
    if all(state.state == "current" for state in states):
        return []
    runner = await asyncio.to_thread(_import_runner)
    done: list[Migrated] = []
    for (owner, tables), state in zip(owners, states, strict=True):
        if state.state != "pending":
            continue
        # Alembic's operations are module globals, so one migration runs at a time in this process too.
        async with _one_at_a_time(), database.schema_transaction() as connection:
            now = await connection.run_sync(_state, owner, _revisions(owner, tables.migrations))
            if now.state == "newer":
                raise _newer(database, [now])
            if now.state == "current":
                continue
            await connection.run_sync(_apply, runner, owner, tables, database.name)
            done.append(Migrated(owner, now.pending))
    return done


async def status(database: Database, owners: Sequence[tuple[str, HasTables]]) -> list[SchemaState]:
    """Compare the database with the revisions in the owners' folders, without changing anything.

    Raises:
        StorageError: the database cannot be used.
        PluginError: a folder of revisions is not a single line of revisions.
    """
    known = [(owner, _revisions(owner, tables.migrations)) for owner, tables in owners]

    def read(connection: Connection) -> list[SchemaState]:
        return [_state(connection, owner, revisions) for owner, revisions in known]

    async with database.read() as connection:
        return await connection.run_sync(read)


def _import_runner() -> object:
    from parlance.storage import alembic_runner

    return alembic_runner


def _state(connection: Connection, owner: str, revisions: Sequence[str]) -> SchemaState:
    name = f"{owner}_migrations"
    head = revisions[-1]
    current: str | None = None
    if connection.dialect.has_table(connection, name):
        current = connection.execute(select(column("version_num")).select_from(table(name))).scalar_one_or_none()
    if current is None:
        return SchemaState(owner, "pending", None, head, tuple(revisions))
    if current not in revisions:
        return SchemaState(owner, "newer", current, head)
    pending = tuple(revisions[revisions.index(current) + 1 :])
    return SchemaState(owner, "pending" if pending else "current", current, head, pending)


def _apply(connection: Connection, runner: object, owner: str, tables: HasTables, where: str) -> None:
    try:
        runner.upgrade(connection, owner=owner, folder=tables.migrations, metadata=tables.metadata)  # type: ignore[attr-defined]
    except DBAPIError as error:
        known = translate(error, where=where)
        if isinstance(known, StorageError) and known.code != "database_schema":
            raise known from error
        raise _failed(owner, error) from error
    except StorageError:
        raise
    except Exception as error:
        raise _failed(owner, error) from error


def _failed(owner: str, error: Exception) -> PluginError:
    return PluginError(
        f"A migration of '{owner}' failed and was rolled back: {type(error).__name__}: {' '.join(str(error).split())}",
        hint="The database is as it was before.",
        code="migration_failed",
        plugin=owner,
    )


def _newer(database: Database, states: Sequence[SchemaState]) -> StorageError:
    what = ", ".join(f"'{s.owner}' is at {s.revision}, this version knows up to {s.head}" for s in states)
    return StorageError(
        f"The database {database.name} was written by a newer version: {what}.",
        hint="Install that version again, or restore a backup from before it; nothing was changed.",
        code="database_newer",
    )


def _revisions(owner: str, folder: Path) -> list[str]:
    """The revisions of a folder, oldest first, read without importing them."""
    after: dict[str | None, str] = {}
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix == ".py" and path.name != "__init__.py")
    except OSError as error:
        raise PluginError(f"The migrations of '{owner}' cannot be read: {error}.", plugin=owner) from error
    for path in files:
        names = _assignments(owner, path)
        revision, down = names.get("revision"), names.get("down_revision")
        if revision is None or "down_revision" not in names:
            raise PluginError(
                f"{path} of '{owner}' is no revision: it must assign a text to 'revision' and the revision before it,"
                " or None, to 'down_revision'.",
                plugin=owner,
            )
        if down in after:
            raise PluginError(
                f"Two revisions of '{owner}' follow {down!r}: {after[down]} and {revision}.", plugin=owner
            )
        after[down] = revision
    line: list[str] = []
    following = after.get(None)
    while following is not None:
        line.append(following)
        following = after.get(following)
    if not line or len(line) != len(files):
        raise PluginError(
            f"The migrations of '{owner}' in {folder} are not one line that starts at down_revision None.", plugin=owner
        )
    return line


def _assignments(owner: str, path: Path) -> Mapping[str, str | None]:
    """The two constants that a revision's file assigns at its top level."""
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise PluginError(f"{path} of '{owner}' cannot be read: {error}.", plugin=owner) from error
    return {found[1]: found[3] for found in _ASSIGNMENT.finditer(source)}


_ASSIGNMENT = re.compile(
    r"""^(revision|down_revision)\b[^=\n]*=[ \t]*(?:None|(["'])([^"'\n]+)\2)[ \t]*(?:\#.*)?$""", re.MULTILINE
)


_turns: dict[asyncio.AbstractEventLoop, asyncio.Lock] = {}


def _one_at_a_time() -> asyncio.Lock:
    loop = asyncio.get_running_loop()
    for other in [known for known in _turns if known.is_closed()]:
        del _turns[other]
    return _turns.setdefault(loop, asyncio.Lock())
