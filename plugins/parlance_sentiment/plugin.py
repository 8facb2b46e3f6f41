"""The plugin's hooks."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from parlance.plugins.hookspecs import hookimpl

if TYPE_CHECKING:
    import click
    from litestar.types import ControllerRouterHandler

    from parlance.plugins.context import PluginContext
    from parlance.plugins.items import Check, ConsolePage, Job, Tables
    from parlance_sentiment.settings import SentimentSettings

__all__ = ["SentimentPlugin", "plugin"]

_HERE = Path(__file__).parent


class SentimentPlugin:
    """Labels news as it arrives, follows its trend, and raises alerts."""

    @hookimpl
    def parlance_settings(self) -> type[SentimentSettings]:
        from parlance_sentiment.settings import SentimentSettings

        return SentimentSettings

    @hookimpl
    def parlance_tables(self) -> Tables:
        from parlance.plugins.items import Tables
        from parlance_sentiment.tables import metadata

        return Tables(metadata=metadata, migrations=_HERE / "migrations")

    @hookimpl
    def parlance_routes(self, context: PluginContext[SentimentSettings]) -> Sequence[ControllerRouterHandler]:
        from parlance_sentiment.routes import sentiment_router

        return [sentiment_router(context)]

    @hookimpl
    def parlance_jobs(self, context: PluginContext[SentimentSettings]) -> Sequence[Job]:
        from parlance.plugins.items import Job
        from parlance_sentiment.service import SentimentService

        service = SentimentService(context)

        async def judge() -> None:
            await service.judge()

        return [Job(name="judge-rules", run=judge, every_s=context.settings.evaluate_every_s)]

    @hookimpl
    def parlance_checks(self, context: PluginContext[SentimentSettings]) -> Sequence[Check]:
        from parlance_sentiment.readiness import model_check

        return [model_check(context)]

    @hookimpl
    def parlance_metrics(self, context: PluginContext[SentimentSettings]) -> Sequence[str]:
        from parlance_sentiment.measures import Measures

        return Measures(context.metrics).NAMES

    @hookimpl
    def parlance_pages(self) -> Sequence[ConsolePage]:
        from parlance.plugins.items import ConsolePage

        return [ConsolePage(title="Sentiment", path="/", html=_HERE / "pages" / "sentiment.html")]

    @hookimpl
    def parlance_commands(self) -> click.Command:
        from parlance_sentiment.commands import sentiment

        return sentiment

    @hookimpl
    def parlance_demo(self, context: PluginContext[SentimentSettings]) -> AbstractAsyncContextManager[Sequence[str]]:
        from parlance_sentiment.demo.loading import demo

        return demo(context)


plugin = SentimentPlugin()
