"""HTTP routes: decode, call one service method, encode."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.response import Stream
from litestar.types import ControllerRouterHandler

from parlance.engine.interface import CallOptions
from parlance.errors import Conflict, DeadlineExceeded, NotFound, Overloaded, Unavailable
from parlance.http.auth import caller_of, require_scope
from parlance.http.disconnect import cancel_on_disconnect
from parlance.http.limits import check_batch, check_storable
from parlance.http.problems import responses
from parlance.settings import LimitSettings
from parlance_support.channels.rasa import RasaMessage, RasaReply, RasaStatus, message_id_of, rasa_reply
from parlance_support.openapi import STREAM, Answered
from parlance_support.schemas import (
    AddedEntries,
    AddEntries,
    ConversationDetail,
    ConversationPage,
    EntryOut,
    EntryPage,
    MessageIn,
    ReplyOut,
    SearchOut,
    draft_of,
    entry_out,
    found_out,
    reply_out,
)
from parlance_support.service import SupportService
from parlance_support.store.paging import decode_cursor, encode_cursor

__all__ = ["routes"]

_TAGS = ["support"]
Limit = Annotated[int, QueryParameter(ge=1, le=200, description="Most results.")]
Cursor = Annotated[str | None, QueryParameter(description="`next_cursor` of the page before.")]
Language = Annotated[Literal["en", "zh"] | None, QueryParameter(description="Only entries in this language.")]


def routes(service: SupportService, limits: LimitSettings) -> Sequence[ControllerRouterHandler]:
    """All routes of the plugin."""
    return [*_channel(service), *_conversations(service), *_knowledge(service, limits)]


def _channel(service: SupportService) -> Sequence[ControllerRouterHandler]:
    @get(
        "/webhooks/rest",
        tags=_TAGS,
        operation_id="support_rest_status",
        summary="Rasa's REST channel: is it there?",
    )
    async def status() -> RasaStatus:
        """Answer as Rasa does."""
        return RasaStatus()

    @post(
        "/webhooks/rest/webhook",
        guards=[require_scope("support:write")],
        tags=_TAGS,
        operation_id="support_rest_message",
        summary="Rasa's REST channel: a message and its replies",
        description="Takes and gives what Rasa's `rest` channel does; `message_id`, `answerable`, `confidence` and "
        "`citations` are extra. With `stream=true` each message is a line of JSON, as Rasa sends it. A failure is a "
        "problem document with its status, never an empty array.",
        responses=responses(Conflict, Overloaded, DeadlineExceeded, Unavailable),
        operation_class=Answered,
        status_code=200,
    )
    async def webhook(
        data: JSONBody[RasaMessage], request: Request[Any, Any, Any], stream: FromQuery[bool] = False
    ) -> Response[list[RasaReply]]:
        """Answer a message in Rasa's form."""
        check_storable(data.message, path="message")
        check_storable(data.sender, path="sender")
        work = service.reply(data.sender, data.message, message_id=message_id_of(data), channel="rest")
        replies: list[RasaReply] = rasa_reply(await cancel_on_disconnect(request, work))
        if stream:
            return Stream(_lines(replies), media_type=STREAM)  # type: ignore[return-value]  # described by Answered
        return Response(replies)

    return [status, webhook]


async def _lines(replies: Sequence[RasaReply]) -> AsyncIterator[bytes]:
    for reply in replies:
        yield msgspec.json.encode(reply) + b"\n"


def _conversations(service: SupportService) -> Sequence[ControllerRouterHandler]:
    @post(
        "/support/conversations/{conversation_id:str}/messages",
        guards=[require_scope("support:write")],
        tags=_TAGS,
        operation_id="support_send_message",
        summary="Send a customer's message, get the reply",
        description="Answers with the best entry of the knowledge base, its calibrated score and a citation, or with "
        "the fallback text and `answerable: false` when nothing fits. The conversation is created by its first "
        "message. Messages of one conversation are answered one after the other.",
        responses=responses(Conflict, Overloaded, DeadlineExceeded, Unavailable),
        status_code=200,
    )
    async def send(
        conversation_id: FromPath[str], data: JSONBody[MessageIn], request: Request[Any, Any, Any]
    ) -> ReplyOut:
        """Answer a message."""
        check_storable(conversation_id, path="conversation_id")
        check_storable(data.text, path="text")
        work = service.reply(conversation_id, data.text, message_id=data.message_id)
        return reply_out(await cancel_on_disconnect(request, work))

    @get(
        "/support/conversations/{conversation_id:str}",
        guards=[require_scope("support:read")],
        tags=_TAGS,
        operation_id="support_get_conversation",
        summary="A conversation with its messages",
        responses=responses(NotFound),
    )
    async def show(conversation_id: FromPath[str], limit: Limit = 200, cursor: Cursor = None) -> ConversationDetail:
        """Messages in the order in which they were said."""
        after = decode_cursor(cursor, tuple[int])[0] if cursor else 0
        page = await service.conversation(conversation_id, after=after, limit=limit)
        following = encode_cursor(page.last) if page.last is not None else None
        return ConversationDetail(conversation=page.conversation, messages=page.messages, next_cursor=following)

    @get(
        "/support/conversations",
        guards=[require_scope("support:read")],
        tags=_TAGS,
        operation_id="support_list_conversations",
        summary="Conversations, the latest first",
        responses=responses(),
    )
    async def index(limit: Limit = 50, cursor: Cursor = None) -> ConversationPage:
        """A page of conversations."""
        before = decode_cursor(cursor, tuple[datetime, str]) if cursor else None
        found = await service.conversations(before=before, limit=limit + 1)
        shown = found[:limit]
        more = encode_cursor(shown[-1].updated_at, shown[-1].id) if len(found) > limit else None
        return ConversationPage(conversations=tuple(shown), next_cursor=more)

    @delete(
        "/support/conversations/{conversation_id:str}",
        guards=[require_scope("support:write")],
        tags=_TAGS,
        operation_id="support_delete_conversation",
        summary="Delete a conversation with its messages",
        responses=responses(NotFound),
    )
    async def forget(conversation_id: FromPath[str]) -> None:
        """Delete for good."""
        await service.forget(conversation_id)

    return [send, show, index, forget]


def _knowledge(service: SupportService, limits: LimitSettings) -> Sequence[ControllerRouterHandler]:
    @post(
        "/support/knowledge",
        guards=[require_scope("support:write")],
        tags=_TAGS,
        operation_id="support_add_entries",
        summary="Add or replace entries of the knowledge base",
        description="All entries are stored, or none. An entry with a known id, or with a known question in the same "
        "language where no id is given, replaces the one before. What was stored is found by the next message.",
        responses=responses(Conflict, Overloaded, DeadlineExceeded, Unavailable),
        status_code=200,
    )
    async def add(data: JSONBody[AddEntries], request: Request[Any, Any, Any]) -> AddedEntries:
        """Store entries."""
        check_batch(len(data.entries), limits, path="entries")
        for number, entry in enumerate(data.entries):
            for text in (entry.question, entry.answer, entry.source, entry.id or "", *entry.variants):
                check_storable(text, path=f"entries[{number}]")
        options = CallOptions(charge_to=caller_of(request).name)
        drafts = [draft_of(entry) for entry in data.entries]
        stored = await cancel_on_disconnect(request, service.add_entries(drafts, options=options))
        return AddedEntries(entries=tuple(entry_out(entry) for entry in stored))

    @get(
        "/support/knowledge",
        guards=[require_scope("support:read")],
        tags=_TAGS,
        operation_id="support_list_entries",
        summary="Entries of the knowledge base",
        responses=responses(),
    )
    async def index(limit: Limit = 50, cursor: Cursor = None, language: Language = None) -> EntryPage:
        """A page of entries."""
        after = decode_cursor(cursor, tuple[str])[0] if cursor else ""
        found = await service.entries(after=after, limit=limit + 1, language=language)
        shown = found[:limit]
        more = encode_cursor(shown[-1].id) if len(found) > limit else None
        return EntryPage(entries=tuple(entry_out(entry) for entry in shown), next_cursor=more)

    @get(
        "/support/knowledge/search",
        guards=[require_scope("support:read")],
        tags=_TAGS,
        operation_id="support_search_entries",
        summary="Find entries by words and meaning",
        responses=responses(Overloaded, DeadlineExceeded, Unavailable),
    )
    async def search(
        q: Annotated[str, QueryParameter(min_length=1, max_length=4000, description="Words or a question.")],
        limit: Annotated[int, QueryParameter(ge=1, le=50, description="Most results.")] = 10,
        language: Language = None,
    ) -> SearchOut:
        """Search questions and answers."""
        found = await service.search(q, limit=limit, language=language)
        return SearchOut(results=tuple(found_out(item) for item in found))

    @get(
        "/support/knowledge/{entry_id:str}",
        guards=[require_scope("support:read")],
        tags=_TAGS,
        operation_id="support_get_entry",
        summary="One entry",
        responses=responses(NotFound),
    )
    async def show(entry_id: FromPath[str]) -> EntryOut:
        """An entry by its id."""
        return entry_out(await service.entry(entry_id))

    @delete(
        "/support/knowledge/{entry_id:str}",
        guards=[require_scope("support:write")],
        tags=_TAGS,
        operation_id="support_delete_entry",
        summary="Delete an entry",
        responses=responses(NotFound),
    )
    async def remove(entry_id: FromPath[str]) -> None:
        """Delete an entry; the next message no longer finds it."""
        await service.delete_entry(entry_id)

    return [add, index, search, show, remove]
