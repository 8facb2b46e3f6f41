"""A sentiment plugin's context over a real, migrated database, with a fake engine and a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from prometheus_client import CollectorRegistry

from parlance.clock import ManualClock
from parlance.observe.metrics import Metrics
from parlance.plugins.context import PluginContext
from parlance.plugins.items import Tables
from parlance.settings import DatabaseSettings, LimitSettings
from parlance.storage.database import Database
from parlance.storage.events import EventLog
from parlance.storage.migrations import CORE_FOLDER, migrate
from parlance.storage.outbox import Outbox
from parlance.storage.tables import metadata as core_metadata
from parlance.testing import FakeEngine
from parlance_sentiment.plugin import plugin
from parlance_sentiment.rules import ThresholdRule
from parlance_sentiment.service import SentimentService
from parlance_sentiment.settings import SentimentSettings

NOW = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)
RULE = ThresholdRule(name="surge", window="6h", negative_share=0.6, min_documents=3, recovery_share=0.4)


class RecordingOutbox(Outbox):
    """The real outbox, which also keeps what was put into it once its transaction has committed."""

    messages: list[tuple[str, dict[str, Any]]]

    async def put(self, connection: Any, *, kind: str, body: Any, **target: Any) -> list[str]:
        ids = await super().put(connection, kind=kind, body=body, **target)
        self.database.after_commit(connection, lambda: self.messages.append((kind, body)))
        return ids


@dataclass
class World:
    """Everything that a test looks at."""

    service: SentimentService
    context: PluginContext[SentimentSettings]
    engine: FakeEngine
    clock: ManualClock
    outbox: RecordingOutbox
    database: Database


Opener = Callable[..., AbstractAsyncContextManager[World]]


@asynccontextmanager
async def opened(
    database: DatabaseSettings,
    settings: SentimentSettings | None = None,
    limits: LimitSettings | None = None,
    engine: Any = None,
) -> AsyncIterator[World]:
    """A migrated database and a service over it."""
    opened_database = Database.open(msgspec.structs.replace(database, lock_timeout_s=30.0))
    clock = ManualClock(NOW)
    await migrate(
        opened_database, [("core", Tables(core_metadata, CORE_FOLDER)), ("sentiment", plugin.parlance_tables())]
    )
    engine = engine or FakeEngine()
    outbox = RecordingOutbox(opened_database, clock=clock)
    outbox.messages = []
    parts: dict[str, Any] = {
        "name": "sentiment",
        "settings": settings or SentimentSettings(rules=(RULE,)),
        "limits": limits or LimitSettings(batch_texts=64, text_chars=1000),
        "engine": engine,
        "models": None,
        "storage": opened_database,
        "events": EventLog(opened_database, clock=clock, poll_s=0.02),
        "outbox": outbox,
        "search": None,
        "jobs": None,
        "clock": clock,
        "metrics": Metrics(CollectorRegistry(), "sentiment"),
        "log": structlog.get_logger("sentiment"),
        "http": None,
        "call_hook": None,
    }
    context: PluginContext[SentimentSettings] = PluginContext(**parts)
    try:
        yield World(SentimentService(context), context, engine, clock, outbox, opened_database)
    finally:
        await opened_database.close()


@pytest.fixture
def sqlite_settings(tmp_path: Path) -> DatabaseSettings:
    """A new SQLite file."""
    return DatabaseSettings(url=f"sqlite:///{tmp_path / 'sentiment.sqlite'}")


@pytest.fixture
async def world(database_settings: DatabaseSettings) -> AsyncIterator[World]:
    """A plugin over a new database, with one rule that fires at three documents."""
    async with opened(database_settings) as world:
        yield world


@pytest.fixture(scope="session")
def opener() -> Opener:
    """Opens a second plugin over a database, or one with other settings."""
    return opened
