"""A plugin's context outside the server: for commands that import, ask or report on the same database and models."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parlance.plugins.context import PluginContext

__all__ = ["open_context"]


@asynccontextmanager
async def open_context(
    obj: Mapping[str, Any] | None, name: str, *, engine: Any = None, models: bool = True
) -> AsyncIterator[PluginContext[Any]]:
    """Open a plugin's context: settings read, database migrated, engine running until the block ends.

    Args:
        obj: what the command line passes to commands (``ctx.obj``): the settings file under ``config``.
        name: the plugin's name.
        engine: instead of the real one (tests).
        models: whether the command runs models; without, no engine is started and calls on it fail.

    Raises:
        ConfigError: a setting cannot be used.
        PluginError: the plugin is not installed, or failed.
        StorageError: the database cannot be used.
    """
    from parlance.app import build
    from parlance.errors import NotFound
    from parlance.observe.logging import configure
    from parlance.settings import load_settings

    loaded = load_settings((obj or {}).get("config"))
    configure(loaded.core.log)
    app = build(loaded, engine=engine)
    if name not in app.contexts:
        raise NotFound(
            f"There is no running plugin '{name}'.", hint="See: parlance plugins list", code="unknown_plugin"
        )
    try:
        await app.migrate()
        if models:
            start = getattr(app.engine, "start", None)
            if start is not None:
                await start(eager=False)
            await app.search.start()
        yield app.contexts[name]
    finally:
        if models:
            await app.search.close()
            close = getattr(app.engine, "close", None)
            if close is not None:
                await close()
        await app.close()
