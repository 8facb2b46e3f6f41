"""The plugin's routes, put together."""

from __future__ import annotations

from litestar import Router
from litestar.di import Provide
from litestar.types import ControllerRouterHandler

from parlance.plugins.context import PluginContext
from parlance_sentiment.alert_routes import AlertController, RuleController
from parlance_sentiment.document_routes import DocumentController, TrendController
from parlance_sentiment.live import AlertStream
from parlance_sentiment.service import SentimentService
from parlance_sentiment.settings import SentimentSettings

__all__ = ["sentiment_router"]


def sentiment_router(context: PluginContext[SentimentSettings]) -> ControllerRouterHandler:
    """Everything under ``/sentiment``."""
    service = SentimentService(context)
    stream = AlertStream(context.events)
    return Router(
        "/sentiment",
        route_handlers=[DocumentController, TrendController, AlertController, RuleController],
        dependencies={
            "service": Provide(lambda: service, sync_to_thread=False),
            "stream": Provide(lambda: stream, sync_to_thread=False),
        },
        tags=["sentiment"],
    )
