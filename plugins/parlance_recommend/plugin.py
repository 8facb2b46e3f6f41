"""The plugin's hooks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parlance.plugins.hookspecs import hookimpl

if TYPE_CHECKING:
    import click
    from litestar.types import ControllerRouterHandler

    from parlance.plugins.context import PluginContext
    from parlance.plugins.items import Check, ConsolePage, Job, Tables
    from parlance_recommend.service import Recommender
    from parlance_recommend.settings import RecommendSettings

__all__ = ["RecommendPlugin", "plugin"]

_HERE = Path(__file__).parent


class RecommendPlugin:
    """Ranks candidates by interest match between a user's history and the items' text."""

    def __init__(self) -> None:
        self._services: dict[int, tuple[Any, Recommender]] = {}

    def service(self, context: PluginContext[RecommendSettings]) -> Recommender:
        """The one service of an application; its index and counts are shared by routes, jobs and commands."""
        from parlance_recommend.service import Recommender

        # The context is kept beside the service, so that its id cannot be given to another one meanwhile.
        if id(context) not in self._services:
            self._services[id(context)] = (context, Recommender(context))
        return self._services[id(context)][1]

    @asynccontextmanager
    async def _running(self, context: PluginContext[RecommendSettings]) -> AsyncIterator[Recommender]:
        try:
            async with self.service(context).running() as service:
                yield service
        finally:
            self._services.pop(id(context), None)

    @hookimpl
    def parlance_settings(self) -> type[RecommendSettings]:
        from parlance_recommend.settings import RecommendSettings

        return RecommendSettings

    @hookimpl
    def parlance_tables(self) -> Tables:
        from parlance.plugins.items import Tables
        from parlance_recommend.tables import metadata

        return Tables(metadata=metadata, migrations=_HERE / "migrations")

    @hookimpl
    def parlance_services(
        self, context: PluginContext[RecommendSettings]
    ) -> Sequence[AbstractAsyncContextManager[Recommender]]:
        return [self._running(context)]

    @hookimpl
    def parlance_routes(self, context: PluginContext[RecommendSettings]) -> Sequence[ControllerRouterHandler]:
        from parlance_recommend.routes import recommend_routes

        return [recommend_routes(self.service(context))]

    @hookimpl
    def parlance_jobs(self, context: PluginContext[RecommendSettings]) -> Sequence[Job]:
        from parlance.plugins.items import Job

        service = self.service(context)
        every_s = context.settings.refresh_s
        return [
            Job(name="encode-items", run=service.encode_waiting, every_s=every_s),
            Job(name="refresh", run=service.refresh, every_s=every_s, scope="every"),
        ]

    @hookimpl
    def parlance_checks(self, context: PluginContext[RecommendSettings]) -> Sequence[Check]:
        from parlance.plugins.items import Check
        from parlance_recommend.readiness import check_items

        service = self.service(context)
        return [Check(name="items", run=lambda: check_items(service))]

    @hookimpl
    def parlance_metrics(self, context: PluginContext[RecommendSettings]) -> Sequence[str]:
        from parlance_recommend.measures import Measures

        return Measures(context.metrics).NAMES

    @hookimpl
    def parlance_pages(self) -> Sequence[ConsolePage]:
        from parlance.plugins.items import ConsolePage

        return [ConsolePage(title="Recommendation", path="/", html=_HERE / "pages" / "recommend.html")]

    @hookimpl
    def parlance_commands(self) -> click.Command:
        from parlance_recommend.commands import recommend

        return recommend

    @hookimpl
    def parlance_demo(self, context: PluginContext[RecommendSettings]) -> AbstractAsyncContextManager[Sequence[str]]:
        from parlance_recommend.demo.loading import demo

        return demo(self.service(context))


plugin = RecommendPlugin()
