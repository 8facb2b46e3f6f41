"""What a plugin is handed: everything that it may use, and nothing else to reach for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from parlance.clock import Clock
    from parlance.engine.interface import Engine
    from parlance.http.client import HttpClient
    from parlance.jobs.supervisor import JobQueue
    from parlance.models.registry import ModelRegistry
    from parlance.observe.metrics import Metrics
    from parlance.plugins.manager import HookAnswer
    from parlance.search.hybrid import Search
    from parlance.settings import LimitSettings
    from parlance.storage.database import Database
    from parlance.storage.events import EventLog
    from parlance.storage.outbox import Outbox

__all__ = ["PluginContext"]

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class PluginContext(Generic[S]):
    """A plugin's world.

    No global state, no environment, no other plugin: a plugin that needs something else asks for it to be added here.
    """

    name: str
    """The plugin's name: prefix of its tables, its settings section, its metrics."""
    settings: S
    """The plugin's own settings, decoded."""
    limits: LimitSettings
    """The server's limits on requests, so that commands and imports honour the same ones."""
    engine: Engine
    """Models by task."""
    models: ModelRegistry
    """Manifests, versions and aliases; read it, don't build with it."""
    storage: Database
    """Connections and transactions on the one database."""
    events: EventLog
    """The durable event log: append in a transaction, follow from any point."""
    outbox: Outbox
    """Deliver this to the outside, in this transaction, at least once."""
    search: Search
    """Collections with full-text and vector search."""
    jobs: JobQueue
    """One-off background work that need not survive a crash."""
    clock: Clock
    """The time; tests and replays own it."""
    metrics: Metrics
    """Counters, gauges and histograms, already labelled with the plugin's name."""
    log: FilteringBoundLogger
    """A bound structured logger; never log a user's text."""
    http: HttpClient
    """Outbound HTTP with time-outs, size limits and no private addresses unless allowed."""
    call_hook: Callable[..., list[HookAnswer]]
    """``call_hook("glossary_terms", language="en")``: ask the other plugins a hook that this one defined by
    ``parlance_hookspecs``. Gives one answer with ``plugin`` and ``value`` for each that implements it."""
