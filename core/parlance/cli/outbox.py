"""``parlance outbox``: webhook endpoints, messages, their delivery log, and dead letters."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click
import msgspec

from parlance.cli.database import with_database

if TYPE_CHECKING:
    from parlance.storage.database import Database
    from parlance.storage.outbox import Outbox, Status

__all__ = ["outbox"]

T = TypeVar("T")
as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def outbox() -> None:
    """Webhooks: endpoints, deliveries, dead letters. The database must have been migrated."""


@outbox.group()
def webhooks() -> None:
    """Endpoints that messages are delivered to."""


@webhooks.command("add")
@click.argument("name")
@click.argument("url")
@click.option("--kind", "kinds", multiple=True, default=("*",), help="Kind of message, '*' as in a shell; repeatable.")
@click.option("--secret-file", type=click.File("r"), help="File with the secret (whsec_…); one is made otherwise.")
@as_json_option
@click.pass_obj
def add(obj: dict[str, Any] | None, name: str, url: str, kinds: Sequence[str], secret_file: Any, as_json: bool) -> None:
    """Register an endpoint and show its signing secret, once."""
    secret = secret_file.read().strip() if secret_file is not None else None
    made = _run(obj, lambda box: box.add_webhook(name=name, url=url, kinds=kinds, secret=secret))
    if as_json:
        _json(made)
    else:
        click.echo(f"{made.name}: {', '.join(made.kinds)} -> {made.url}\nsecret (shown only now): {made.secret}")


@webhooks.command("list")
@as_json_option
@click.pass_obj
def list_webhooks(obj: dict[str, Any] | None, as_json: bool) -> None:
    """List the endpoints."""
    found = _run(obj, lambda box: box.list_webhooks())
    if as_json:
        _json(found)
        return
    for one in found:
        state = f"  disabled: {one.disabled_reason}" if one.disabled_at else ""
        click.echo(f"{one.name:<20} {', '.join(one.kinds):<20} {one.url}{state}")


@webhooks.command("remove")
@click.argument("name")
@click.pass_obj
def remove(obj: dict[str, Any] | None, name: str) -> None:
    """Forget an endpoint; what was still to be sent becomes dead letters."""
    _run(obj, lambda box: box.remove_webhook(name))
    click.echo(f"{name}: removed")


@webhooks.command("enable")
@click.argument("name")
@click.pass_obj
def enable(obj: dict[str, Any] | None, name: str) -> None:
    """Deliver again to an endpoint that was disabled because it answered 410."""
    _run(obj, lambda box: box.enable_webhook(name))
    click.echo(f"{name}: enabled")


@outbox.command("messages")
@click.option("--status", type=click.Choice(["pending", "delivered", "dead"]), help="Only these.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--after", "cursor", help="Id of the last message of the page before.")
@as_json_option
@click.pass_obj
def messages(obj: dict[str, Any] | None, status: str | None, limit: int, cursor: str | None, as_json: bool) -> None:
    """List messages, newest first; '--status dead' shows the dead letters."""
    wanted = cast("Status | None", status)
    found = _run(obj, lambda box: box.list_messages(status=wanted, limit=limit, cursor=cursor))
    if as_json:
        _json(found)
        return
    for one in found:
        error = f"  {one.last_error}" if one.last_error else ""
        click.echo(f"{one.id}  {one.status:<9} {one.attempts:>3}  {one.kind:<24} {one.webhook or one.url}{error}")


@outbox.command("attempts")
@click.argument("message_id")
@as_json_option
@click.pass_obj
def attempts(obj: dict[str, Any] | None, message_id: str, as_json: bool) -> None:
    """Show the delivery log of a message."""
    found = _run(obj, lambda box: box.attempts(message_id))
    if as_json:
        _json(found)
        return
    for one in found:
        answer = one.status if one.status is not None else "-"
        click.echo(f"{one.number:>3}  {one.at:%Y-%m-%d %H:%M:%S}  {answer}  {one.duration_ms} ms  {one.error or ''}")


@outbox.command("redeliver")
@click.argument("message_ids", nargs=-1, required=True)
@click.pass_obj
def redeliver(obj: dict[str, Any] | None, message_ids: Sequence[str]) -> None:
    """Send messages again; the running server delivers them."""
    for message_id in message_ids:
        _run(obj, partial(_redeliver, message_id=message_id))
        click.echo(f"{message_id}: will be sent again")


async def _redeliver(box: Outbox, *, message_id: str) -> None:
    await box.redeliver(message_id)


def _run(obj: dict[str, Any] | None, work: Callable[[Outbox], Awaitable[T]]) -> T:
    from parlance.settings import load_settings
    from parlance.storage.outbox import Outbox

    settings = load_settings((obj or {}).get("config"))

    async def with_outbox(database: Database) -> T:
        return await work(Outbox(database, settings=settings.core.outbox))

    return with_database(settings, with_outbox)


def _json(value: Any) -> None:
    click.echo(json.dumps(msgspec.to_builtins(value), ensure_ascii=False, indent=2))
