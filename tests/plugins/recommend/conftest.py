"""A recommender over a real, migrated database, with a fake engine and a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
from prometheus_client import CollectorRegistry

from parlance.clock import ManualClock
from parlance.observe.metrics import Metrics
from parlance.plugins.context import PluginContext
from parlance.settings import DatabaseSettings, LimitSettings
from parlance.storage.database import Database
from parlance.storage.migrations import migrate
from parlance.testing import FakeEngine
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
    database: Database
    context: PluginContext[RecommendSettings]

    def second(self) -> Recommender:
        """The service of another process on the same database."""
        return Recommender(self.context)


Opener = Callable[..., AbstractAsyncContextManager[World]]


@asynccontextmanager
async def opened(database: Database, settings: RecommendSettings | None = None) -> AsyncIterator[World]:
    """A recommender whose catalogue is ``ITEMS``."""
    await migrate(database, [("recommend", plugin.parlance_tables())])
    engine, clock = FakeEngine(), ManualClock(NOW)
    parts: dict[str, Any] = {
        "name": "recommend",
        "settings": settings or RecommendSettings(),
        "limits": LimitSettings(),
        "engine": engine,
        "models": None,
        "storage": database,
        "events": None,
        "outbox": None,
        "search": None,
        "jobs": None,
        "clock": clock,
        "metrics": Metrics(CollectorRegistry(), "recommend"),
        "log": structlog.get_logger("recommend"),
        "http": None,
    }
    context: PluginContext[RecommendSettings] = PluginContext(**parts)
    async with Recommender(context).running() as service:
        await service.put_items(ITEMS)
        yield World(service, engine, clock, database, context)


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    """A recommender on SQLite and on PostgreSQL."""
    async with opened(database) as found:
        yield found


@pytest.fixture
def open_world() -> Opener:
    """Opens one with settings of the test's own."""
    return opened


@pytest.fixture
def sqlite_settings(new_sqlite: Callable[[], str]) -> DatabaseSettings:
    """A new SQLite file, for tests that need no second database."""
    return DatabaseSettings(url=new_sqlite())


@pytest.fixture
async def lite(sqlite_settings: DatabaseSettings, core_tables: Any) -> AsyncIterator[Database]:
    """A database with the core's tables on SQLite only."""
    database = Database.open(sqlite_settings)
    await migrate(database, [core_tables])
    yield database
    await database.close()
