"""The one place where everything is wired: settings → storage → models → engine → plugins → Litestar."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from litestar import Litestar
from litestar.exceptions import ImproperlyConfiguredException
from prometheus_client import CollectorRegistry

from parlance.builtin import CorePlugin
from parlance.clock import Clock, SystemClock
from parlance.engine.interface import Engine
from parlance.errors import ConfigError, ParlanceError, PluginError
from parlance.http.builtin import builtin_plugins
from parlance.http.client import HttpClient
from parlance.http.setup import http_config
from parlance.jobs.supervisor import JobQueue, Supervisor
from parlance.models.registry import ModelRegistry
from parlance.observe.logging import get_logger
from parlance.observe.metrics import Metrics
from parlance.plugins import contributions
from parlance.plugins.context import PluginContext
from parlance.plugins.items import Check, ConsolePage, Job, Tables, TaskType
from parlance.plugins.manager import PluginManager
from parlance.plugins.state import Owned, ServerState
from parlance.search.hybrid import Search
from parlance.settings import LoadedSettings
from parlance.storage.database import Database
from parlance.storage.events import EventLog
from parlance.storage.migrations import migrate
from parlance.storage.outbox import Outbox

if TYPE_CHECKING:
    from parlance.engine.early import EarlyLoads

__all__ = ["Application", "build", "build_registry"]

TASKS = ("embed", "classify", "tag", "score", "generate")
"""The core's own tasks; a plugin's task has another name."""


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
    folders.extend(owned.item for owned in contributions.items(plugins, "parlance_model_folders", kind=Path))
    sources = contributions.merged(plugins, "parlance_model_sources")
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
    early: EarlyLoads | None = None,
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
        early: eager models that are being loaded already.

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
    tables = [(owned.plugin, owned.item) for owned in contributions.answers(manager, "parlance_tables", kind=Tables)]
    metrics = Metrics(collectors, "core")
    registry = build_registry(settings, manager)
    runners = contributions.merged(manager, "parlance_runners")
    state.tasks = contributions.named_items(manager, "parlance_tasks", kind=TaskType, reserved=TASKS)
    running = engine if engine is not None else _local_engine(settings, runners, registry, clock, metrics, early)
    database = Database.open(settings.core.database)
    events = EventLog(database, clock=clock, keep_days=settings.core.database.keep_events_days)
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
            call_hook=manager.call,
        )
    services = contributions.items(
        manager, "parlance_services", contexts=app.contexts, kind=AbstractAsyncContextManager
    )
    routes = contributions.routes(manager, app.contexts)
    state.checks = contributions.items(manager, "parlance_checks", contexts=app.contexts, kind=Check)
    state.pages = contributions.items(manager, "parlance_pages", contexts=app.contexts, kind=ConsolePage)
    contributions.items(manager, "parlance_metrics", contexts=app.contexts, kind=str)
    services, routes, state.checks, state.pages = (
        contributions.still_running(manager, found) for found in (services, routes, state.checks, state.pages)
    )
    app.tables = [(name, owned) for name, owned in tables if name in manager.names]

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
                state.drain()

    handlers = [owned.item for owned in routes]
    try:
        app.asgi = Litestar(route_handlers=handlers, lifespan=[lifespan], **http_config(state, app.contexts["core"]))
    except ImproperlyConfiguredException as error:
        raise PluginError(
            f"The plugins' routes cannot be put together: {error.detail}.", hook="parlance_routes"
        ) from error
    return app


async def _start(
    app: Application,
    stack: AsyncExitStack,
    *,
    services: list[Owned],
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
    for owned in services:
        if owned.plugin in app.plugins.names:
            await _enter(app, stack, owned, hook="parlance_services")
    await jobs.start()
    stack.push_async_callback(jobs.stop)
    if demo:
        await _load_demo(app, stack)
    for owned in contributions.items(app.plugins, "parlance_jobs", contexts=app.contexts, kind=Job):
        try:
            app.supervisor.add(owned.plugin, owned.item)
        except ParlanceError as error:
            app.plugins.fail(owned.plugin, "parlance_jobs", error)
    await app.supervisor.start()
    stack.push_async_callback(app.supervisor.stop, app.settings.core.server.drain_s)


async def _start_engine(engine: Any) -> None:
    start = getattr(engine, "start", None)
    if start is not None:
        await start()


async def _load_demo(app: Application, stack: AsyncExitStack) -> None:
    demos = contributions.answers(app.plugins, "parlance_demo", contexts=app.contexts, kind=AbstractAsyncContextManager)
    for owned in demos:
        lines = await _enter(app, stack, owned, hook="parlance_demo")
        if lines is not None:
            app.state.tips.extend(f"{line}" for line in lines)
            get_logger("parlance").info("demo_loaded", plugin=owned.plugin)


async def _enter(app: Application, stack: AsyncExitStack, owned: Owned, *, hook: str) -> Any:
    """Enter what a plugin contributed; ``None`` when it raised and broken plugins are skipped."""
    try:
        return await stack.enter_async_context(owned.item)
    except Exception as error:  # noqa: BLE001  # a plugin may raise anything; it is reported by name
        app.plugins.fail(owned.plugin, hook, error)
        return None


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
    for owned in contributions.answers(manager, "parlance_settings", kind=type):
        decoded[owned.plugin] = settings.plugin(owned.plugin, owned.item)
    return decoded


def _local_engine(
    settings: LoadedSettings,
    runners: Mapping[str, Any],
    registry: ModelRegistry,
    clock: Clock,
    metrics: Metrics,
    early: EarlyLoads | None,
) -> Any:
    from parlance.engine.engine import LocalEngine

    return LocalEngine(
        registry,
        settings=settings.core.engine,
        model_settings=settings.core.models,
        runners=runners,
        clock=clock,
        metrics=metrics,
        early=early,
    )
