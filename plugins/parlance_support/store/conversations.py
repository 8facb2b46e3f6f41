"""Conversations and messages in the database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import and_, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from parlance.storage.upsert import insert_or_ignore
from parlance_support.conversations.message import Conversation, Decision, Message
from parlance_support.tables import conversations, messages

__all__ = ["add_turn", "delete_before", "delete_conversation", "exchange", "get", "page", "said"]


async def exchange(connection: AsyncConnection, conversation_id: str, client_id: str) -> list[Message]:
    """What was stored under a caller's message id: the message and its reply, or nothing."""
    query = select(messages).where(messages.c.conversation_id == conversation_id, messages.c.client_id == client_id)
    return [_message(row) for row in await connection.execute(query.order_by(messages.c.number))]


async def add_turn(
    connection: AsyncConnection, conversation_id: str, *, channel: str, language: str, said: Sequence[Message]
) -> None:
    """Append the messages of one turn; the conversation is created where it is new."""
    at = said[-1].at
    first = {
        "id": conversation_id,
        "channel": channel,
        "language": language,
        "turns": 0,
        "created_at": said[0].at,
        "updated_at": at,
    }
    await connection.execute(insert_or_ignore(conversations, [first], key=["id"]))
    step = update(conversations).where(conversations.c.id == conversation_id)
    await connection.execute(step.values(turns=conversations.c.turns + 1, language=language, updated_at=at))
    for message in said:
        row = {
            "id": message.id,
            "conversation_id": conversation_id,
            "role": message.role,
            "client_id": message.client_id,
            "text": message.text,
            "decision": msgspec.to_builtins(message.decision) if message.decision is not None else None,
            "at": message.at,
        }
        await connection.execute(insert(messages).values(row))


async def get(connection: AsyncConnection, conversation_id: str) -> Conversation | None:
    """A conversation, or ``None``."""
    found = await connection.execute(select(conversations).where(conversations.c.id == conversation_id))
    row = found.one_or_none()
    return _conversation(row) if row is not None else None


async def said(
    connection: AsyncConnection, conversation_id: str, *, after: int, limit: int
) -> list[tuple[int, Message]]:
    """Messages with their numbers, in the order in which they were said."""
    query = (
        select(messages)
        .where(messages.c.conversation_id == conversation_id, messages.c.number > after)
        .order_by(messages.c.number)
        .limit(limit)
    )
    return [(row.number, _message(row)) for row in await connection.execute(query)]


async def page(connection: AsyncConnection, *, before: tuple[datetime, str] | None, limit: int) -> list[Conversation]:
    """Conversations, the one with the latest message first."""
    at, name = conversations.c.updated_at, conversations.c.id
    query = select(conversations).order_by(at.desc(), name.desc()).limit(limit)
    if before is not None:
        query = query.where(or_(at < before[0], and_(at == before[0], name < before[1])))
    return [_conversation(row) for row in await connection.execute(query)]


async def delete_conversation(connection: AsyncConnection, conversation_id: str) -> int:
    """Delete a conversation with its messages; returns how many messages it had, -1 where there is none."""
    gone = await connection.execute(delete(messages).where(messages.c.conversation_id == conversation_id))
    found = await connection.execute(delete(conversations).where(conversations.c.id == conversation_id))
    return gone.rowcount if found.rowcount else -1


async def delete_before(connection: AsyncConnection, moment: datetime, *, limit: int) -> int:
    """Delete conversations whose last message is older; returns how many."""
    old = select(conversations.c.id).where(conversations.c.updated_at < moment).limit(limit)
    names = list((await connection.execute(old)).scalars())
    if names:
        await connection.execute(delete(messages).where(messages.c.conversation_id.in_(names)))
        await connection.execute(delete(conversations).where(conversations.c.id.in_(names)))
    return len(names)


def _conversation(row: Any) -> Conversation:
    return Conversation(
        id=row.id,
        channel=row.channel,
        language=row.language,
        turns=row.turns,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _message(row: Any) -> Message:
    return Message(
        id=row.id,
        role=row.role,
        text=row.text,
        at=row.at,
        client_id=row.client_id,
        decision=msgspec.convert(row.decision, Decision) if row.decision is not None else None,
    )
