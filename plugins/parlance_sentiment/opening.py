"""A service for commands: the application built as the server builds it, without serving."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from parlance_sentiment.service import SentimentService

__all__ = ["opened"]


@asynccontextmanager
async def opened(obj: Mapping[str, Any] | None, *, models: bool) -> AsyncIterator[SentimentService]:
    """The service over the configured database.

    Args:
        obj: what the ``parlance`` command leaves for its subcommands (``config``: the settings file).
        models: whether the engine is started, for commands that label.
    """
    from parlance.session import open_context

    async with open_context(obj, "sentiment", models=models) as context:
        yield SentimentService(context)
