"""The plugin's hooks: every one that Parlance has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from parlance.plugins.hookspecs import hookimpl
from parlance.plugins.items import Check, CheckResult, ConsolePage, Job, Tables, TaskType

if TYPE_CHECKING:
    import click
    from litestar.types import ControllerRouterHandler

    from parlance.models.sources.base import ModelSource
    from parlance.plugins.context import PluginContext
    from parlance.runners.base import RunnerFactory
    from parlance_termbase.settings import TermbaseSettings
    from parlance_termbase.store import Life

__all__ = ["TermbasePlugin", "plugin"]

_HERE = Path(__file__).parent


class TermbasePlugin:
    """Keeps terms in two languages."""

    life: Life

    @hookimpl
    def parlance_hookspecs(self) -> ModuleType:
        from parlance_termbase import hooks

        return hooks

    @hookimpl
    def parlance_settings(self) -> type[TermbaseSettings]:
        from parlance_termbase.settings import TermbaseSettings

        return TermbaseSettings

    @hookimpl
    def parlance_model_folders(self) -> Sequence[Path]:
        return [_HERE / "models"]

    @hookimpl
    def parlance_model_sources(self) -> Mapping[str, ModelSource]:
        from parlance_termbase.model import TermbaseSource

        return {"termbase": TermbaseSource()}

    @hookimpl
    def parlance_runners(self) -> Mapping[str, RunnerFactory]:
        from parlance_termbase.model import TermbaseFactory

        return {"termbase": TermbaseFactory()}

    @hookimpl
    def parlance_tasks(self) -> Sequence[TaskType]:
        return [TaskType(name="translate", request=str, result=str)]

    @hookimpl
    def parlance_tables(self) -> Tables:
        from parlance_termbase.tables import metadata

        return Tables(metadata=metadata, migrations=_HERE / "migrations")

    @hookimpl
    def parlance_services(self, context: PluginContext[Any]) -> Sequence[AbstractAsyncContextManager[Life]]:
        from parlance_termbase.store import Life

        self.life = Life()
        return [self.life.running()]

    @hookimpl
    def parlance_routes(self, context: PluginContext[TermbaseSettings]) -> Sequence[ControllerRouterHandler]:
        from parlance_termbase.routes import termbase_router

        return [termbase_router(context)]

    @hookimpl
    def parlance_jobs(self, context: PluginContext[TermbaseSettings]) -> Sequence[Job]:
        from parlance_termbase.store import count_terms

        life = self.life

        async def count() -> None:
            if await count_terms(context) >= 2:
                life.counted.set()

        return [Job(name="count-terms", run=count, every_s=context.settings.count_every_s)]

    @hookimpl
    def parlance_checks(self, context: PluginContext[TermbaseSettings]) -> Sequence[Check]:
        from parlance_termbase.store import all_terms

        async def stored() -> CheckResult:
            return CheckResult(ok=True, detail=f"{len(await all_terms(context))} terms")

        return [Check("terms", stored)]

    @hookimpl
    def parlance_metrics(self, context: PluginContext[TermbaseSettings]) -> Sequence[str]:
        context.metrics.counter("terms_added", "Terms that were added.")
        return ["terms_added"]

    @hookimpl
    def parlance_pages(self) -> Sequence[ConsolePage]:
        return [ConsolePage(title="Terms", path="/", html=_HERE / "pages" / "terms.html")]

    @hookimpl
    def parlance_commands(self) -> click.Command:
        from parlance_termbase.commands import termbase

        return termbase

    @hookimpl
    def parlance_demo(self, context: PluginContext[TermbaseSettings]) -> AbstractAsyncContextManager[Sequence[str]]:
        from parlance_termbase.store import demo

        return demo(context)


plugin = TermbasePlugin()
