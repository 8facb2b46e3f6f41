"""A service for commands: the application built as the server builds it, without serving."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from parlance_recommend.service import Recommender

__all__ = ["opened"]


@asynccontextmanager
async def opened(obj: Mapping[str, Any] | None, *, models: bool) -> AsyncIterator[Recommender]:
    """The service over the configured database.

    Args:
        obj: what the ``parlance`` command leaves for its subcommands (``config``: the settings file).
        models: whether the engine is started, for commands that encode or rank.
    """
    from parlance.app import build
    from parlance.settings import load_settings

    app = build(load_settings((obj or {}).get("config")))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(app.close)
        await app.migrate()
        if models:
            await app.engine.start()
            stack.push_async_callback(app.engine.close)
        yield await stack.enter_async_context(Recommender(app.contexts["recommend"]).running())
