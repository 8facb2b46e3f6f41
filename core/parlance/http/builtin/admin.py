"""What an operator asks and does over HTTP: plugins, settings, models, webhooks, deliveries; scope ``admin``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from litestar import Router, delete, get, post, put
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from parlance.errors import Conflict, NotFound
from parlance.http.api_keys import ApiKeys
from parlance.http.auth import ADMIN, require_scope
from parlance.http.builtin.served import ServedModel, served_models
from parlance.http.problems import responses
from parlance.plugins.context import PluginContext
from parlance.plugins.hookspecs import hookimpl
from parlance.plugins.items import Job
from parlance.plugins.state import ServerState
from parlance.storage.outbox import Attempt, Message, Outbox
from parlance.storage.webhooks import Webhook

__all__ = ["AdminPlugin"]

Name = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
PageLimit = Annotated[int, QueryParameter(ge=1, le=500, description="At most so many.")]


class PluginItem(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin that was found."""

    name: str
    origin: str
    running: bool
    builtin: bool
    error: str | None
    hooks: tuple[str, ...]


class AddWebhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new endpoint."""

    name: Annotated[Name, Meta(examples=["alerts"])]
    url: Annotated[str, Meta(min_length=1, max_length=2000, examples=["https://example.com/hooks"])]
    kinds: Annotated[
        tuple[str, ...], Meta(description="Kinds to deliver, as shell patterns.", examples=[["alert.*"]])
    ] = ("*",)
    secret: Annotated[str, Meta(description="`whsec_` and base64; made up when left out.")] | None = None


class SetAlias(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where an alias is to point."""

    model: Annotated[str, Meta(min_length=1, max_length=200, examples=["fin-sentiment"])]
    version: Annotated[str, Meta(description="A built version; the current one when left out.")] | None = None


class WebhookItem(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint; the secret is shown only in the answer that creates it."""

    name: str
    url: str
    kinds: tuple[str, ...]
    created_at: datetime
    disabled_at: datetime | None
    disabled_reason: str | None
    secret: str | None = None


class MessageItem(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery to one endpoint."""

    id: str
    kind: str
    webhook: str | None
    url: str | None
    status: Literal["pending", "delivered", "dead"]
    attempts: int
    due_at: datetime
    created_at: datetime
    settled_at: datetime | None
    last_error: str | None
    payload: str


class AttemptItem(msgspec.Struct, frozen=True, kw_only=True):
    """One try of a delivery."""

    number: int
    at: datetime
    status: int | None
    duration_ms: int
    error: str | None
    response_excerpt: str | None


class AdminPlugin:
    """Administration over HTTP."""

    def __init__(self, state: ServerState) -> None:
        self._state = state

    @hookimpl
    def parlance_routes(self, context: PluginContext[Any]) -> Sequence[ControllerRouterHandler]:
        """Routes under ``/admin``."""
        handlers = [
            *_server_routes(self._state),
            *_alias_routes(context),
            *_webhook_routes(context.outbox),
            *_message_routes(context.outbox),
        ]
        return [Router("/admin", route_handlers=handlers, guards=[require_scope(ADMIN)], tags=["admin"])]

    @hookimpl
    def parlance_jobs(self, context: PluginContext[Any]) -> Sequence[Job]:
        """Writes down when API keys were last used: once a minute, away from the requests."""
        return [Job("api-key-uses", partial(_note_uses, self._state, context), every_s=60.0, scope="every")]

    @hookimpl
    def parlance_services(self, context: PluginContext[Any]) -> Sequence[AbstractAsyncContextManager[None]]:
        """Writes the last uses at the stop."""
        return [_note_uses_at_the_stop(self._state, context)]


async def _note_uses(state: ServerState, context: PluginContext[Any]) -> None:
    uses = dict(state.key_uses)
    await ApiKeys(context.storage, clock=context.clock).note_use(uses)
    for key_id, at in uses.items():
        if state.key_uses.get(key_id) == at:
            del state.key_uses[key_id]


@asynccontextmanager
async def _note_uses_at_the_stop(state: ServerState, context: PluginContext[Any]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await _note_uses(state, context)


def _server_routes(state: ServerState) -> list[ControllerRouterHandler]:
    @get("/plugins", operation_id="admin_list_plugins", summary="List plugins", sync_to_thread=False)
    def plugins() -> list[PluginItem]:
        manager = state.plugins
        if manager is None:
            return []
        return [
            PluginItem(
                name=found.name,
                origin=found.origin,
                running=found.name in manager.names,
                builtin=manager.is_builtin(found.name),
                error=found.error,
                hooks=found.hooks,
            )
            for found in manager.found.values()
        ]

    @get("/models", operation_id="admin_list_models", summary="Models and their state", sync_to_thread=False)
    def models() -> list[ServedModel]:
        return served_models(state)

    @get("/config", operation_id="admin_config", summary="Effective settings, without secrets", sync_to_thread=False)
    def config() -> dict[str, Any]:
        settings = state.settings
        core = msgspec.to_builtins(settings.core)
        core["database"]["url"] = _without_password(core["database"]["url"])
        sections = {
            name: {key: _hidden(key, value) for key, value in body.items()} for name, body in settings.sections.items()
        }
        return {"settings": {**core, **sections}, "origins": dict(settings.origins)}

    return [plugins, models, config]


def _alias_routes(context: PluginContext[Any]) -> list[ControllerRouterHandler]:
    @put(
        "/aliases/{alias:str}",
        operation_id="admin_set_alias",
        summary="Point an alias at a model version",
        responses=responses(NotFound),
        status_code=204,
    )
    async def set_alias(alias: FromPath[str], data: JSONBody[SetAlias]) -> None:
        await asyncio.to_thread(context.models.set_alias, alias, data.model, data.version)

    @delete(
        "/aliases/{alias:str}",
        operation_id="admin_remove_alias",
        summary="Forget an alias",
        responses=responses(NotFound),
    )
    async def remove_alias(alias: FromPath[str]) -> None:
        await asyncio.to_thread(context.models.remove_alias, alias)

    return [set_alias, remove_alias]


def _webhook_routes(outbox: Outbox) -> list[ControllerRouterHandler]:
    @get("/webhooks", operation_id="admin_list_webhooks", summary="List webhook endpoints")
    async def list_webhooks() -> list[WebhookItem]:
        return [_webhook(found) for found in await outbox.list_webhooks()]

    @post("/webhooks", operation_id="admin_add_webhook", summary="Register an endpoint", responses=responses(Conflict))
    async def add_webhook(data: JSONBody[AddWebhook]) -> WebhookItem:
        made = await outbox.add_webhook(name=data.name, url=data.url, kinds=data.kinds, secret=data.secret)
        return _webhook(made)

    @delete(
        "/webhooks/{name:str}",
        operation_id="admin_remove_webhook",
        summary="Forget an endpoint",
        responses=responses(NotFound),
    )
    async def remove_webhook(name: FromPath[str]) -> None:
        await outbox.remove_webhook(name)

    @post(
        "/webhooks/{name:str}/enable",
        operation_id="admin_enable_webhook",
        summary="Deliver to a disabled endpoint again",
        responses=responses(NotFound),
        status_code=204,
    )
    async def enable_webhook(name: FromPath[str]) -> None:
        await outbox.enable_webhook(name)

    return [list_webhooks, add_webhook, remove_webhook, enable_webhook]


def _message_routes(outbox: Outbox) -> list[ControllerRouterHandler]:
    @get("/outbox", operation_id="admin_list_messages", summary="Deliveries, newest first")
    async def list_messages(
        status: FromQuery[Literal["pending", "delivered", "dead"] | None] = None,
        limit: PageLimit = 100,
        cursor: Annotated[str | None, QueryParameter(description="Id of the last message of the page before.")] = None,
    ) -> list[MessageItem]:
        return [_message(found) for found in await outbox.list_messages(status=status, limit=limit, cursor=cursor)]

    @get(
        "/outbox/{message_id:str}/attempts",
        operation_id="admin_message_attempts",
        summary="The delivery log of a message",
        responses=responses(NotFound),
    )
    async def attempts(message_id: FromPath[str]) -> list[AttemptItem]:
        return [_attempt(found) for found in await outbox.attempts(message_id)]

    @post(
        "/outbox/{message_id:str}/redeliver",
        operation_id="admin_redeliver",
        summary="Send a message again",
        responses=responses(NotFound),
        status_code=200,
    )
    async def redeliver(message_id: FromPath[str]) -> MessageItem:
        return _message(await outbox.redeliver(message_id))

    return [list_messages, attempts, redeliver]


def _webhook(found: Webhook) -> WebhookItem:
    return WebhookItem(**{name: getattr(found, name) for name in WebhookItem.__struct_fields__})


def _message(found: Message) -> MessageItem:
    return MessageItem(**{name: getattr(found, name) for name in MessageItem.__struct_fields__})


def _attempt(found: Attempt) -> AttemptItem:
    return AttemptItem(**{name: getattr(found, name) for name in AttemptItem.__struct_fields__})


def _without_password(url: str) -> str:
    password = urlsplit(url).password
    return url.replace(f":{password}@", ":***@", 1) if password else url


def _hidden(key: str, value: Any) -> Any:
    secret = any(part in key.lower() for part in ("secret", "password", "token", "key"))
    return "***" if secret and value and not key.endswith("_file") else value
