"""The plugin's hooks; what they give is made elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from parlance.plugins.hookspecs import hookimpl
from parlance.plugins.items import Check, CheckResult, ConsolePage, Job, Tables
from parlance_support.settings import SupportSettings

if TYPE_CHECKING:
    import click
    from litestar.types import ControllerRouterHandler

    from parlance.plugins.context import PluginContext

__all__ = ["SupportPlugin", "plugin"]

_HERE = Path(__file__).parent
_PURGE_EVERY_S = 3600.0


class SupportPlugin:
    """Customer service."""

    @hookimpl
    def parlance_settings(self) -> type[SupportSettings]:
        return SupportSettings

    @hookimpl
    def parlance_tables(self) -> Tables:
        from parlance_support.tables import metadata

        return Tables(metadata=metadata, migrations=_HERE / "migrations")

    @hookimpl
    def parlance_routes(self, context: PluginContext[SupportSettings]) -> Sequence[ControllerRouterHandler]:
        from parlance_support.routes import routes
        from parlance_support.service import SupportService

        return routes(SupportService(context), context.limits)

    @hookimpl
    def parlance_jobs(self, context: PluginContext[SupportSettings]) -> Sequence[Job]:
        from parlance_support.service import SupportService

        return [Job("purge", SupportService(context).purge, every_s=_PURGE_EVERY_S)]

    @hookimpl
    def parlance_checks(self, context: PluginContext[SupportSettings]) -> Sequence[Check]:
        from parlance_support.service import SupportService

        service = SupportService(context)

        async def knowledge() -> CheckResult:
            counts = await service.counts()
            shown = ", ".join(f"{number} {language}" for language, number in sorted(counts.items()))
            return CheckResult(ok=True, detail=f"entries: {shown or 'none yet; parlance support import FILE'}")

        return [Check("knowledge", knowledge)]

    @hookimpl
    def parlance_metrics(self, context: PluginContext[SupportSettings]) -> Sequence[str]:
        from parlance_support.measures import NAMES, measures

        measures(context.metrics)
        return NAMES

    @hookimpl
    def parlance_pages(self) -> Sequence[ConsolePage]:
        return [ConsolePage("Try a question", "/try", _HERE / "pages" / "try.html")]

    @hookimpl
    def parlance_commands(self) -> click.Command:
        from parlance_support.commands import support

        return support

    @hookimpl
    def parlance_demo(self, context: PluginContext[SupportSettings]) -> AbstractAsyncContextManager[Sequence[str]]:
        from parlance_support.demo import load

        return load(context)


plugin = SupportPlugin()
