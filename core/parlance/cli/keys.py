"""``parlance keys``: create, list and revoke API keys."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from parlance.http.api_keys import ApiKey, ApiKeys

__all__ = ["keys"]

T = TypeVar("T")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_config = click.option("--config", "config_file", metavar="FILE", help="Settings file; default parlance.toml.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class _Duration(click.ParamType[timedelta]):
    """``30d``, ``12h``, ``45m`` or ``2w``."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        found = re.fullmatch(r"([1-9][0-9]{0,4})([mhdw])", str(value))
        if found is None:
            self.fail(f"'{value}' is no duration; write 30d, 12h, 45m or 2w.", param, ctx)
        return timedelta(**{_UNITS[found.group(2)]: int(found.group(1))})


@click.group()
def keys() -> None:
    """Create, list and revoke API keys.

    A running server accepts a new key at once and refuses a revoked one within seconds.
    """


@keys.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    help="What the key may do: sentiment:read, sentiment:write, models:use, admin …; may be given several times.",
)
@click.option("--expires", type=_Duration(), metavar="30d", help="How long the key is valid; default for ever.")
@_json
@_config
def create(
    name: str, scopes: tuple[str, ...], expires: timedelta | None, as_json: bool, config_file: str | None
) -> None:
    """Create the key NAME and show it, this one time.

    \b
    Examples:
      parlance keys create website --scope support:write
      parlance keys create analyst --scope sentiment:read --scope models:use --expires 30d
    """
    key, secret = _with_keys(config_file, lambda store: store.create(name, scopes, valid_for=expires))
    if as_json:
        _print_json({**_plain(key), "key": secret})
        return
    click.echo(secret)
    click.echo(
        f"\nThis is the only time that the key '{key.name}' is shown. Send it as 'Authorization: Bearer …'.", err=True
    )


@keys.command("list")
@_json
@_config
def list_keys(as_json: bool, config_file: str | None) -> None:
    """List keys with their scopes; the keys themselves are nowhere kept."""
    found = _with_keys(config_file, lambda store: store.list_keys())
    if as_json:
        _print_json([_plain(key) for key in found])
        return
    if not found:
        click.echo("There are no API keys. Create one: parlance keys create NAME --scope admin")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("id", "name", "scopes", "created", "expires", "last used", "state", box=None)
    for key in found:
        expires = f"{key.expires_at:%Y-%m-%d %H:%M}" if key.expires_at else "never"
        created = f"{key.created_at:%Y-%m-%d %H:%M}"
        used = f"{key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "never"
        table.add_row(key.id, key.name, " ".join(key.scopes), created, expires, used, _state(key))
    Console().print(table)


@keys.command()
@click.argument("name_or_id")
@_config
def revoke(name_or_id: str, config_file: str | None) -> None:
    """Revoke the key with this id, or all keys of this name."""
    for key in _with_keys(config_file, lambda store: store.revoke(name_or_id)):
        click.echo(f"Revoked {key.id} ({key.name}).")


def _with_keys(config_file: str | None, work: Callable[[ApiKeys], Awaitable[T]]) -> T:
    """Run ``work`` on the keys of the configured database, whose core tables are brought up to date first."""
    from parlance.builtin import CorePlugin
    from parlance.http.api_keys import ApiKeys
    from parlance.settings import load_settings
    from parlance.storage.database import Database
    from parlance.storage.migrations import migrate

    async def run() -> T:
        database = Database.open(load_settings(config_file).core.database)
        try:
            await migrate(database, [("core", CorePlugin().parlance_tables())])
            return await work(ApiKeys(database))
        finally:
            await database.close()

    return asyncio.run(run())


def _plain(key: ApiKey) -> dict[str, Any]:
    import msgspec

    return {**msgspec.to_builtins(key), "state": _state(key)}


def _state(key: ApiKey) -> str:
    from datetime import UTC, datetime

    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is not None and key.expires_at <= datetime.now(UTC):
        return "expired"
    return "in force"


def _print_json(value: Any) -> None:
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
