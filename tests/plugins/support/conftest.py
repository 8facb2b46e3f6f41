"""A support plugin over a real, migrated database with a fake engine, over HTTP and without."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from litestar.testing import AsyncTestClient

from parlance.clock import ManualClock
from parlance.plugins.context import PluginContext
from parlance.testing import FakeEngine, application, context
from parlance_support.plugin import plugin
from parlance_support.settings import SupportSettings


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def client(engine: FakeEngine) -> AsyncIterator[AsyncTestClient]:
    """The whole application with the demonstration data."""
    async with (
        application({"support": plugin}, engine=engine, demo=True) as app,
        AsyncTestClient(app.asgi) as opened,
    ):
        yield opened


@pytest.fixture
async def made(engine: FakeEngine, clock: ManualClock) -> AsyncIterator[PluginContext[SupportSettings]]:
    """The plugin's context, its knowledge base empty."""
    settings = {"support.retention_days": 30}
    async with context("support", plugin, engine=engine, clock=clock, settings=settings) as opened:
        yield opened
