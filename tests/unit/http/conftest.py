"""A small application around the core's HTTP side: real gateway, real key store on SQLite, fake engine."""

from __future__ import annotations

from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient
from prometheus_client import CollectorRegistry

from parlance.builtin import CorePlugin
from parlance.clock import SystemClock
from parlance.http.api_keys import ApiKeys
from parlance.http.builtin import builtin_plugins
from parlance.http.setup import http_config
from parlance.observe.metrics import Metrics
from parlance.plugins.manager import PluginManager
from parlance.plugins.state import ServerState
from parlance.settings import DatabaseSettings, OutboxSettings, load_settings
from parlance.storage.database import Database
from parlance.storage.migrations import migrate
from parlance.storage.outbox import Outbox
from parlance.testing import FakeEngine


class Server:
    """One small server: its client, its parts."""

    def __init__(self, client, state, engine, keys, context):
        self.client, self.state, self.engine, self.keys, self.context = client, state, engine, keys, context


@pytest.fixture
async def database(tmp_path):
    opened = Database.open(DatabaseSettings(url=f"sqlite:///{tmp_path / 'test.sqlite'}"))
    await migrate(opened, [("core", CorePlugin().parlance_tables())])
    yield opened
    await opened.close()


@pytest.fixture
def serve(database):
    @asynccontextmanager
    async def start(*handlers, **settings):
        loaded = load_settings(flags={"server.auth": "off", **settings}, environment={})
        state = ServerState(settings=loaded, metrics=CollectorRegistry(), phase="ready")
        engine = FakeEngine()
        state.engine = engine
        builtin = builtin_plugins(state)
        state.plugins = PluginManager(loaded.core.plugins, builtin=builtin, discover=False)
        metrics = Metrics(state.metrics, "core")
        clock = SystemClock()
        context = SimpleNamespace(
            engine=engine,
            limits=loaded.core.limits,
            storage=database,
            clock=clock,
            metrics=metrics,
            outbox=Outbox(database, settings=OutboxSettings(), clock=clock, metrics=metrics),
        )
        routes = [route for plugin in builtin.values() for route in plugin.parlance_routes(context)]
        app = Litestar(route_handlers=[*routes, *handlers], **http_config(state, context))
        async with AsyncTestClient(app) as client:
            yield Server(client, state, engine, ApiKeys(database), context)

    return start
