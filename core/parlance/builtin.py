"""The core's own plugin: its tables, models, sources, runners, the delivery of the outbox, and its readiness checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parlance.plugins.hookspecs import hookimpl
from parlance.plugins.items import Check, CheckResult, Job, Tables

if TYPE_CHECKING:
    from parlance.models.sources.base import ModelSource
    from parlance.plugins.context import PluginContext
    from parlance.runners.base import RunnerFactory

__all__ = ["CorePlugin", "bundled_models"]


def bundled_models() -> Path:
    """The folder of the project's own manifests: inside the installed package, or ``models/`` of a checkout."""
    here = Path(__file__).resolve().parent
    installed = here / "bundled_models"
    return installed if installed.is_dir() else here.parents[1] / "models"


class CorePlugin:
    """What the core contributes through the same hooks as everybody else."""

    @hookimpl
    def parlance_tables(self) -> Tables:
        from parlance.search import tables as _search_tables  # noqa: F401  # declares its tables on the core's metadata
        from parlance.storage.tables import metadata

        return Tables(metadata=metadata, migrations=Path(__file__).parent / "storage" / "migrations")

    @hookimpl
    def parlance_model_folders(self) -> Sequence[Path]:
        return [bundled_models()]

    @hookimpl
    def parlance_model_sources(self) -> Mapping[str, ModelSource]:
        from parlance.models.sources import default_sources

        return default_sources()

    @hookimpl
    def parlance_runners(self) -> Mapping[str, RunnerFactory]:
        from parlance.runners import default_runners

        return default_runners()

    @hookimpl
    def parlance_jobs(self, context: PluginContext[Any]) -> Sequence[Job]:
        delivery = context.outbox.delivery(context.http)

        async def retention() -> None:
            kept = timedelta(days=context.outbox.settings.keep_days)
            await context.outbox.prune(before=context.clock.now() - kept)

        async def event_retention() -> None:
            await context.events.expire()

        return [
            Job("outbox", delivery.run, every_s=1.0, scope="every"),
            Job("outbox_retention", retention, every_s=3600.0),
            Job("event_retention", event_retention, every_s=3600.0),
        ]

    @hookimpl
    def parlance_services(self, context: PluginContext[Any]) -> Sequence[AbstractAsyncContextManager[Any]]:
        return [context.outbox.delivery(context.http)]

    @hookimpl
    def parlance_checks(self, context: PluginContext[Any]) -> Sequence[Check]:
        async def database() -> CheckResult:
            await context.storage.ping()
            return CheckResult(ok=True, detail=context.storage.dialect)

        return [Check("database", database)]
