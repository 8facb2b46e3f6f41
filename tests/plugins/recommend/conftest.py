"""A recommender over a real, migrated database, with a fake engine and a clock that is moved by hand."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from parlance.clock import ManualClock
from parlance.plugins.context import PluginContext
from parlance.settings import DatabaseSettings
from parlance.testing import FakeEngine
from parlance.testing import context as testing_context
from parlance_recommend.plugin import plugin
from parlance_recommend.service import Recommender
from parlance_recommend.settings import RecommendSettings

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)

ITEMS: list[tuple[str, dict[str, Any]]] = [
    (
        "hike-1",
        {"title": "Mountain trail maps", "description": "maps for mountain hiking trails", "categories": ["hiking"]},
    ),
    ("hike-2", {"title": "Hiking boots", "description": "boots for mountain trails", "categories": ["hiking"]}),
    ("hike-3", {"title": "Light tent", "description": "a tent for mountain hiking", "categories": ["hiking"]}),
    ("cook-1", {"title": "Cast iron pan", "description": "a pan for the kitchen stove", "categories": ["cooking"]}),
    ("cook-2", {"title": "Soup recipes", "description": "kitchen recipes for winter soup", "categories": ["cooking"]}),
    ("tea-1", {"title": "龙井绿茶", "description": "春天采摘的绿茶", "categories": ["茶叶"]}),
    ("tea-2", {"title": "绿茶茶壶", "description": "泡绿茶用的陶瓷茶壶", "categories": ["茶叶"]}),
    ("code-1", {"title": "Python course", "description": "learn programming with python", "categories": ["coding"]}),
    ("code-2", {"title": "Keyboard", "description": "a quiet keyboard for programming", "categories": ["coding"]}),
]


@dataclass
class World:
    """Everything that a test looks at."""

    service: Recommender
    engine: FakeEngine
    clock: ManualClock
    context: PluginContext[RecommendSettings]

    def second(self) -> Recommender:
        """The service of another process on the same database."""
        return Recommender(self.context)


Opener = Callable[..., AbstractAsyncContextManager[World]]


@asynccontextmanager
async def opened(database: DatabaseSettings, settings: Mapping[str, Any] | None = None) -> AsyncIterator[World]:
    """A recommender whose catalogue is ``ITEMS``."""
    engine, clock = FakeEngine(), ManualClock(NOW)
    async with (
        testing_context(
            "recommend", plugin, settings=settings, database=database, engine=engine, clock=clock
        ) as context,
        Recommender(context).running() as service,
    ):
        await service.put_items(ITEMS)
        yield World(service, engine, clock, context)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with all tables, to be copied: migrating one takes longer than most tests."""
    path = tmp_path_factory.mktemp("recommend") / "migrated.sqlite"

    async def migrate_once() -> None:
        async with testing_context("recommend", plugin, database=DatabaseSettings(url=f"sqlite:///{path}")):
            pass

    asyncio.run(migrate_once())
    return path


@pytest.fixture
def sqlite_settings(migrated: Path, tmp_path: Path) -> DatabaseSettings:
    """A new SQLite database, for tests whose subject is not the database."""
    return DatabaseSettings(url=f"sqlite:///{shutil.copy(migrated, tmp_path / 'world.sqlite')}")


@pytest.fixture
async def world(sqlite_settings: DatabaseSettings) -> AsyncIterator[World]:
    """A recommender on SQLite."""
    async with opened(sqlite_settings) as found:
        yield found


@pytest.fixture
async def both(database_settings: DatabaseSettings) -> AsyncIterator[World]:
    """A recommender on SQLite and on PostgreSQL, for what reads and writes in its own way there."""
    async with opened(database_settings) as found:
        yield found


@pytest.fixture
def open_world() -> Opener:
    """Opens one with settings of the test's own."""
    return opened
