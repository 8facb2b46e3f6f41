"""Private servers and databases for all tests: started when first needed, skipped with the reason where absent."""

from __future__ import annotations

import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `servers`, which test modules of every folder use

from parlance.plugins.items import Tables
from parlance.settings import DatabaseSettings
from parlance.storage.database import Database
from parlance.storage.migrations import CORE_FOLDER, migrate
from parlance.storage.tables import metadata
from servers import PostgreSQL, Receiver, Redis

_numbers = count(1)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A private PostgreSQL server."""
    if PostgreSQL.binaries() is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    pytest.importorskip("asyncpg", reason="asyncpg is not installed (pip install 'parlance[postgres]')")
    server = PostgreSQL()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    """A private Redis server."""
    if shutil.which("redis-server") is None:
        pytest.skip("Redis is not installed (Debian: apt-get install redis-server)")
    server = Redis()
    yield server
    server.remove()


@pytest.fixture
def new_sqlite(tmp_path: Path) -> Callable[[], str]:
    """Makes URLs of new SQLite databases."""
    return lambda: f"sqlite:///{tmp_path / f'{next(_numbers)}.sqlite'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_settings(request: pytest.FixtureRequest, new_sqlite: Callable[[], str]) -> DatabaseSettings:
    """Settings of an empty database; the test runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        url = new_sqlite()
    else:
        url = request.getfixturevalue("postgresql").create(f"test{next(_numbers)}")
    return DatabaseSettings(url=url)


@pytest.fixture
def core_tables() -> tuple[str, Tables]:
    """The core's tables as an owner of migrations."""
    return "core", Tables(metadata, CORE_FOLDER)


@pytest.fixture
async def database(database_settings: DatabaseSettings, core_tables: tuple[str, Tables]) -> AsyncIterator[Database]:
    """A database with the core's tables, on SQLite and on PostgreSQL."""
    opened = Database.open(database_settings)
    await migrate(opened, [core_tables])
    yield opened
    await opened.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A local HTTP server that records requests."""
    async with Receiver() as server:
        yield server
