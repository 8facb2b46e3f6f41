"""Conversations without HTTP: order of turns, what is stored, what is deleted."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from parlance.engine.interface import CallOptions
from parlance.errors import Conflict, NotFound, ValidationFailed
from parlance_support.conversations.turns import Turns
from parlance_support.knowledge.entry import Draft
from parlance_support.service import SupportService

ASKED = "Where is my order?"


async def filled(made) -> SupportService:
    service = SupportService(made)
    drafts = [Draft(ASKED, "On its way."), Draft("怎么退货？", "在订单页点击退货。"), Draft("Do you sell tea?", "Yes.")]
    await service.add_entries(drafts, options=CallOptions())
    return service


async def test_turns_of_one_conversation_are_answered_in_the_order_in_which_they_came(made):
    service = await filled(made)
    texts = [f"{ASKED} {number}" for number in range(6)]
    await asyncio.gather(*(service.reply("c", text) for text in texts))
    page = await service.conversation("c")
    assert [message.text for message in page.messages if message.role == "customer"] == texts
    assert [message.role for message in page.messages] == ["customer", "bot"] * 6
    assert page.conversation.turns == 6


async def test_a_turn_that_waits_too_long_is_a_conflict_and_leaves_no_lock_behind():
    turns = Turns(wait_s=0.01)
    async with turns.hold("a"):
        with pytest.raises(Conflict) as refused:
            async with turns.hold("a"):
                pass
        assert refused.value.code == "conversation_busy"
        async with turns.hold("b"):
            assert len(turns) == 2
    assert len(turns) == 0


async def test_a_turn_that_is_cancelled_stores_nothing_and_frees_the_conversation(made, engine):
    service = await filled(made)
    engine.gate = asyncio.Event()
    running = asyncio.create_task(service.reply("c", ASKED))
    calls = len(engine.calls)
    while len(engine.calls) == calls:
        await asyncio.sleep(0)
        if running.done():
            break
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    engine.gate.set()
    with pytest.raises(NotFound):
        await service.conversation("c")
    assert (await service.reply("c", ASKED)).message.text == "On its way."


async def test_messages_of_a_conversation_come_page_by_page_each_once(made):
    service = await filled(made)
    for number in range(3):
        await service.reply("c", f"{ASKED} {number}")
    seen, after = [], 0
    while True:
        page = await service.conversation("c", after=after, limit=4)
        seen += [message.id for message in page.messages]
        if page.last is None:
            break
        after = page.last
    assert len(seen) == len(set(seen)) == 6


async def test_conversations_are_listed_latest_first_and_forgotten_whole(made, clock):
    service = await filled(made)
    for name in ("a", "b", "c"):
        await service.reply(name, ASKED)
        clock.advance(1)
    found = await service.conversations(limit=2)
    assert [one.id for one in found] == ["c", "b"]
    rest = await service.conversations(before=(found[-1].updated_at, found[-1].id))
    assert [one.id for one in rest] == ["a"]
    assert await service.forget("a") == 2
    with pytest.raises(NotFound):
        await service.forget("a")


async def test_conversations_past_the_retention_are_deleted_and_younger_ones_kept(made, clock):
    service = await filled(made)
    await service.reply("old", ASKED)
    clock.advance(timedelta(days=31).total_seconds())
    await service.reply("new", ASKED)
    assert await service.purge() is False
    assert [one.id for one in await service.conversations()] == ["new"]


async def test_an_entry_written_again_with_fewer_ways_to_ask_is_no_longer_found_by_the_others(made):
    service = SupportService(made)
    await service.add_entries([Draft("How to pay?", "By card.", ("Which currencies?",))], options=CallOptions())
    assert (await service.ask("Which currencies?")).decision.answerable
    await service.add_entries([Draft("How to pay?", "By card.")], options=CallOptions())
    assert not (await service.ask("Which currencies?")).decision.answerable
    assert await service.counts() == {"en": 1}


async def test_of_several_entries_one_that_cannot_be_used_stores_none(made):
    service = SupportService(made)
    with pytest.raises(ValidationFailed) as refused:
        await service.add_entries([Draft("Good?", "Yes."), Draft("Bad?", " ")], options=CallOptions())
    assert refused.value.facts["index"] == 1
    assert await service.counts() == {}


async def test_a_question_in_a_language_without_entries_is_looked_up_in_the_other(made):
    service = SupportService(made)
    await service.add_entries([Draft("iPhone 15 保修多久？", "一年。")], options=CallOptions())
    answer = await service.ask("iPhone 15")
    assert answer.decision.language == "en"
    assert (answer.decision.citations or answer.decision.alternatives) != ()
