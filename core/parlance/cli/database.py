"""``parlance db``: where the database stands, and bringing it to this version's schema."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

if TYPE_CHECKING:
    from parlance.plugins.items import Tables
    from parlance.settings import LoadedSettings
    from parlance.storage.database import Database

__all__ = ["db", "with_database"]

T = TypeVar("T")


@click.group()
def db() -> None:
    """Look at the database and migrate it."""


@db.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def status(obj: dict[str, Any] | None, as_json: bool) -> int:
    """Show which schema each plugin's tables have. Exit status 1 when the database is not at this version's."""
    from parlance.storage.migrations import status as read_status

    settings, tables = _loaded(obj)

    async def work(database: Database) -> int:
        if database.location.file is not None and not database.location.file.exists():
            states = []
        else:
            states = await read_status(database, tables)
        current = bool(states) and all(state.state == "current" for state in states)
        if as_json:
            owners = msgspec.to_builtins(states)
            click.echo(json.dumps({"database": database.name, "current": current, "owners": owners}, indent=2))
        elif not states:
            click.echo(f"{database.name}: not there yet; 'parlance db migrate' or the first start makes it")
        else:
            click.echo(database.name)
            for state in states:
                missing = f"  to apply: {', '.join(state.pending)}" if state.pending else ""
                click.echo(f"  {state.owner:<12} {state.state:<8} {state.revision or '-'}{missing}")
        return 0 if current else 1

    return with_database(settings, work)


@db.command("migrate")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def migrate(obj: dict[str, Any] | None, as_json: bool) -> None:
    """Apply what is missing; each plugin's migrations wholly or not at all. The server does the same at its start."""
    from parlance.storage.migrations import migrate as apply

    settings, tables = _loaded(obj)

    async def work(database: Database) -> None:
        done = await apply(database, tables)
        if as_json:
            click.echo(json.dumps({"database": database.name, "applied": msgspec.to_builtins(done)}, indent=2))
        elif not done:
            click.echo(f"{database.name}: nothing to do")
        for one in [] if as_json else done:
            click.echo(f"{one.owner}: applied {', '.join(one.applied)}")

    with_database(settings, work)


def with_database(settings: LoadedSettings, work: Callable[[Database], Awaitable[T]]) -> T:
    """Open the configured database, do some work, close it."""
    from parlance.storage.database import Database

    async def run() -> T:
        database = Database.open(settings.core.database)
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(run())


def _loaded(obj: dict[str, Any] | None) -> tuple[LoadedSettings, list[tuple[str, Tables]]]:
    """The settings, and the tables of the core and of every plugin that is not disabled."""
    from parlance.builtin import CorePlugin
    from parlance.plugins.manager import PluginManager
    from parlance.settings import load_settings

    settings = load_settings((obj or {}).get("config"))
    manager = PluginManager(settings.core.plugins, builtin={"core": CorePlugin()})
    answers = manager.call("parlance_tables")
    return settings, [(answer.plugin, answer.value) for answer in answers if answer.value is not None]
