"""What the core's own features may see of the running server beyond a plugin's context: health, admin and console."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from parlance.models.registry import ModelRegistry
    from parlance.plugins.items import Check, ConsolePage, TaskType
    from parlance.plugins.manager import PluginManager
    from parlance.settings import LoadedSettings

__all__ = ["Owned", "ServerState"]


@dataclass(frozen=True, slots=True)
class Owned:
    """Something that a plugin contributed."""

    plugin: str
    item: Any


@dataclass(slots=True)
class ServerState:
    """One server's moving facts. Written by ``parlance.app`` only."""

    settings: LoadedSettings
    metrics: CollectorRegistry
    plugins: PluginManager | None = None
    models: ModelRegistry | None = None
    engine: Any = None
    phase: Literal["starting", "ready", "draining"] = "starting"
    checks: list[Owned] = field(default_factory=list)
    """Readiness checks with the plugin that owns each (``item`` is a ``Check``)."""
    pages: list[Owned] = field(default_factory=list)
    """Console pages (``item`` is a ``ConsolePage``)."""
    tasks: dict[str, TaskType] = field(default_factory=dict)
    """Plugins' task types by name, beside the core's own."""
    failure: BaseException | None = None
    """What stopped the start, if anything did: HTTP servers do not pass an exception of the lifespan on."""
    tips: list[str] = field(default_factory=list)
    """Lines to show under "try this" after the start."""
    key_uses: dict[str, datetime] = field(default_factory=dict)
    """When API keys, by id, were used since that was last written down."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the server stops: answers without an end (event streams) end."""

    def drain(self) -> None:
        """Take note that the server stops."""
        self.phase = "draining"
        self.stopping.set()

    def check_items(self) -> list[tuple[str, Check]]:
        """Checks with their owner's name."""
        return [(owned.plugin, owned.item) for owned in self.checks]

    def page_items(self) -> list[tuple[str, ConsolePage]]:
        """Console pages with their owner's name."""
        return [(owned.plugin, owned.item) for owned in self.pages]
