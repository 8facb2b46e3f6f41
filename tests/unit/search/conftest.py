"""A migrated database, and a search over it with a fake engine."""

from __future__ import annotations

import pytest

from parlance.search import tables  # noqa: F401  # puts its tables on the core's metadata
from parlance.search.hybrid import Search
from parlance.settings import DatabaseSettings
from parlance.storage.database import Database
from parlance.storage.migrations import CORE_FOLDER, migrate
from parlance.storage.tables import metadata
from parlance.testing import FakeEngine


class CoreTables:
    metadata = metadata
    migrations = CORE_FOLDER


@pytest.fixture
async def database(tmp_path):
    opened = Database.open(DatabaseSettings(url=f"sqlite:///{tmp_path / 'search.sqlite'}"))
    await migrate(opened, [("core", CoreTables())])
    yield opened
    await opened.close()


@pytest.fixture
def engine():
    return FakeEngine()


@pytest.fixture
async def search(database, engine):
    made = Search(database, engine, refresh_s=0.0)
    yield made
    await made.close()
