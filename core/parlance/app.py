"""The one place where everything is wired: settings → storage → models → engine → plugins → Litestar."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from litestar import Litestar
from prometheus_client import CollectorRegistry

from parlance.builtin import CorePlugin
from parlance.clock import Clock, SystemClock
from parlance.engine.interface import Engine
from parlance.errors import ConfigError
from parlance.http.builtin import builtin_plugins
from parlance.http.client import HttpClient
from parlance.http.setup import http_config
from parlance.jobs.supervisor import JobQueue, Supervisor
from parlance.models.registry import ModelRegistry
from parlance.observe.logging import get_logger
from parlance.observe.metrics import Metrics
from parlance.plugins.context import PluginContext
from parlance.plugins.items import Tables
from parlance.plugins.manager import PluginManager
from parlance.plugins.state import Owned, ServerState
from parlance.search.hybrid import Search
from parlance.settings import LoadedSettings
from parlance.storage.database import Database
from parlance.storage.events import EventLog
from parlance.storage.migrations import migrate
from parlance.storage.outbox import Outbox

__all__ = ["Application", "build", "build_registry"]


@dataclass(slots=True)
class Application:
    """One built application: its parts, and the Litestar app whose lifespan starts and stops them."""

    settings: LoadedSettings
    state: ServerState
    plugins: PluginManager
    registry: ModelRegistry
    engine: Any
    database: Database
    supervisor: Supervisor
    search: Search
    contexts: dict[str, PluginContext[Any]] = field(default_factory=dict)
    tables: list[tuple[str, Tables]] = field(default_factory=list)
    asgi: Litestar = field(init=False)

    async def migrate(self) -> None:
        """Bring the database to the schema of this version (a no-op where it has it)."""
        await migrate(self.database, self.tables)

    async def close(self) -> None:
        """Release what does not belong to a running lifespan."""
        await self.database.close()


def build_registry(settings: LoadedSettings, plugins: PluginManager) -> ModelRegistry:
    """The model registry with every plugin's folders and sources, for the server and for ``parlance models``."""
    folders: list[Path] = [Path(folder).expanduser() for folder in settings.core.models.folders]
    for answer in plugins.call("parlance_model_folders"):
        folders.extend(answer.value)
    sources = _merged(plugins, "parlance_model_sources")
    return ModelRegistry(folders, Path(settings.core.models.cache).expanduser(), sources=sources)


def build(
    settings: LoadedSettings,
    *,
    engine: Engine | None = None,
    clock: Clock | None = None,
    plugins: Mapping[str, object] | None = None,
    discover: bool = True,
    demo: bool = False,
    on_ready: Callable[[ServerState], None] | None = None,
) -> Application:
    """Wire an application; no input or output happens before its lifespan starts.

    Args:
        settings: everything that was configured.
        engine: instead of the real one (tests, remote engines).
        clock: instead of the machine's.
        plugins: further plugin objects by name, beside the core's own.
        discover: whether installed and configured plugins are loaded too.
        demo: whether plugins load their demonstration data at start.
        on_ready: called once everything has started.

    Raises:
        ConfigError: a setting cannot be used.
        PluginError: a plugin broke its contract; named with hook and cause.
    """
    clock = clock or SystemClock()
    collectors = CollectorRegistry()
    state = ServerState(settings=settings, metrics=collectors)
    manager = PluginManager(
        settings.core.plugins,
        builtin={"core": CorePlugin(), **builtin_plugins(state), **(plugins or {})},
        discover=discover,
    )
    state.plugins = manager
    _check_sections(settings, manager)
    plugin_settings = _decode_settings(settings, manager)
    tables = [(answer.plugin, answer.value) for answer in manager.call("parlance_tables") if answer.value is not None]
    metrics = Metrics(collectors, "core")
    registry = build_registry(settings, manager)
    running = engine if engine is not None else _local_engine(settings, manager, registry, clock, metrics)
    database = Database.open(settings.core.database)
    events = EventLog(database, clock=clock)
    outbox = Outbox(database, settings=settings.core.outbox, clock=clock, metrics=metrics)
    search = Search(database, running, metrics=metrics)
    supervisor = Supervisor(database, clock=clock, metrics=metrics)
    jobs = JobQueue(metrics=metrics)
    http = HttpClient(settings.core.http_client)
    state.models, state.engine = registry, running
    app = Application(settings, state, manager, registry, running, database, supervisor, search, tables=tables)
    for name in manager.names:
        app.contexts[name] = PluginContext(
            name=name,
            settings=plugin_settings.get(name),
            limits=settings.core.limits,
            engine=running,
            models=registry,
            storage=database,
            events=events,
            outbox=outbox,
            search=search,
            jobs=jobs,
            clock=clock,
            metrics=metrics.child(name),
            log=get_logger(name),
            http=http,
        )
    services = _per_plugin(app, "parlance_services")
    routes = [route for _, contributed in _per_plugin(app, "parlance_routes") for route in contributed]
    for name, contributed in _per_plugin(app, "parlance_checks"):
        state.checks.extend(Owned(name, check) for check in contributed)
    for name, contributed in _per_plugin(app, "parlance_pages"):
        state.pages.extend(Owned(name, page) for page in contributed)
    _per_plugin(app, "parlance_metrics")

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            try:
                await _start(app, stack, services=services, jobs=jobs, http=http, demo=demo)
            except BaseException as error:
                state.failure = error
                raise
            state.phase = "ready"
            if on_ready is not None:
                on_ready(state)
            try:
                yield
            finally:
                state.phase = "draining"

    app.asgi = Litestar(route_handlers=routes, lifespan=[lifespan], **http_config(state, app.contexts["core"]))
    return app


async def _start(
    app: Application,
    stack: AsyncExitStack,
    *,
    services: list[tuple[str, Any]],
    jobs: JobQueue,
    http: HttpClient,
    demo: bool,
) -> None:
    """Start the parts in order; the stack stops them in reverse."""
    stack.push_async_callback(app.database.close)
    stack.push_async_callback(http.close)
    starting = asyncio.create_task(_start_engine(app.engine))
    try:
        await app.migrate()
    except BaseException:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        raise
    await starting
    close = getattr(app.engine, "close", None)
    if close is not None:
        stack.push_async_callback(close)
    await app.search.start()
    stack.push_async_callback(app.search.close)
    for name, managers in services:
        for manager in managers:
            try:
                await stack.enter_async_context(manager)
            except Exception as error:  # noqa: BLE001  # a plugin may raise anything; it is reported by name
                app.plugins.fail(name, "parlance_services", error)
                break
    await jobs.start()
    stack.push_async_callback(jobs.stop)
    if demo:
        await _load_demo(app, stack)
    for name, contributed in _per_plugin(app, "parlance_jobs"):
        for job in contributed:
            app.supervisor.add(name, job)
    await app.supervisor.start()
    stack.push_async_callback(app.supervisor.stop, app.settings.core.server.drain_s)


async def _start_engine(engine: Any) -> None:
    start = getattr(engine, "start", None)
    if start is not None:
        await start()


async def _load_demo(app: Application, stack: AsyncExitStack) -> None:
    for name, manager in _per_plugin(app, "parlance_demo"):
        if manager is not None:
            app.state.tips.extend(f"{line}" for line in await stack.enter_async_context(manager))
            get_logger("parlance").info("demo_loaded", plugin=name)


def _per_plugin(app: Application, hook: str) -> list[tuple[str, Any]]:
    """Call a hook that takes a context, each plugin with its own."""
    answers = (app.plugins.call_one(name, hook, context=app.contexts[name]) for name in app.plugins.names)
    return [(answer.plugin, answer.value) for answer in answers if answer is not None]


def _check_sections(settings: LoadedSettings, manager: PluginManager) -> None:
    for section in settings.sections:
        if section not in manager.found:
            known = ", ".join(sorted(name for name in manager.names if not manager.is_builtin(name))) or "none"
            raise ConfigError(
                f"[{section}]: no plugin of that name is installed and no section of the core.",
                hint=f"Plugins here: {known}.",
            )


def _decode_settings(settings: LoadedSettings, manager: PluginManager) -> dict[str, Any]:
    decoded: dict[str, Any] = {}
    for answer in manager.call("parlance_settings"):
        if answer.value is not None:
            decoded[answer.plugin] = settings.plugin(answer.plugin, answer.value)
    return decoded


def _merged(manager: PluginManager, hook: str) -> dict[str, Any]:
    """Contributions by name from all plugins; a name that is taken already is the later plugin's fault."""
    merged: dict[str, Any] = {}
    for answer in manager.call(hook):
        for name, value in answer.value.items():
            if name in merged:
                manager.fail(answer.plugin, hook, ValueError(f"the name '{name}' is taken already"))
                break
            merged[name] = value
    return merged


def _local_engine(
    settings: LoadedSettings, manager: PluginManager, registry: ModelRegistry, clock: Clock, metrics: Metrics
) -> Any:
    from parlance.engine.engine import LocalEngine

    return LocalEngine(
        registry,
        settings=settings.core.engine,
        model_settings=settings.core.models,
        runners=_merged(manager, "parlance_runners"),
        clock=clock,
        metrics=metrics,
    )
