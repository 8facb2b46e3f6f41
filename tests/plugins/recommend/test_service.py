"""Recording, ranking, refreshing and erasing; what depends on the database runs on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from parlance.errors import NotFound, Overloaded, TooLarge, ValidationFailed
from parlance.settings import DatabaseSettings
from parlance_recommend.behaviour.event import Event
from parlance_recommend.ranker import Candidate, Ranked

AT = 1_772_452_800_000
ALL = [
    Candidate(one) for one in ("cook-1", "cook-2", "hike-1", "hike-2", "hike-3", "tea-1", "tea-2", "code-1", "code-2")
]


def click(item: str, *, user: str | None = "ada", session: str | None = None, number: int = 0, **more: Any) -> Event:
    identity = f"{user}-{session}-{item}-{number}"
    fields = {"type": "click", "at_ms": AT - 60_000 + number, **more}
    return Event(id=identity, kind="interaction", user=user, session=session, item=item, **fields)


def order(ranked: Ranked) -> list[str]:
    return [one.item for one in ranked.items]


async def test_items_like_those_clicked_come_first(world: Any) -> None:
    await world.service.record([click("hike-1"), click("hike-2")])
    ranked = await world.service.rank("default", ALL, user="ada", session=None)
    assert set(order(ranked)[:3]) == {"hike-1", "hike-2", "hike-3"}


async def test_chinese_interest_finds_chinese_items(world: Any) -> None:
    await world.service.record([click("tea-1")])
    assert set(order(await world.service.rank("default", ALL, user="ada", session=None))[:2]) == {"tea-1", "tea-2"}


async def test_the_same_events_twice_change_nothing(both: Any) -> None:
    events = [click("hike-1"), click("cook-1", number=1, type="rating", value=5.0)]
    first = await both.service.record(events)
    before = await both.service.rank("default", ALL, user="ada", session=None, explain=True)
    second = await both.service.record(events)
    after = await both.service.rank("default", ALL, user="ada", session=None, explain=True)
    assert (first.accepted, first.duplicates, second.accepted, second.duplicates) == (2, 0, 0, 2)
    assert before == after


async def test_an_id_given_twice_in_one_batch_counts_once(both: Any) -> None:
    recorded = await both.service.record([click("hike-1"), click("hike-1")])
    assert (recorded.accepted, recorded.duplicates) == (1, 1)


async def test_new_feedback_changes_the_very_next_reply(world: Any) -> None:
    await world.service.record([click("hike-1")])
    before = order(await world.service.rank("default", ALL, user="ada", session=None))
    await world.service.record([click("code-1", number=n, type="purchase") for n in range(3)])
    after = order(await world.service.rank("default", ALL, user="ada", session=None))
    assert before[0].startswith("hike")
    assert after[0].startswith("code")


async def test_a_session_without_a_user_is_ranked_by_its_own_events(world: Any) -> None:
    await world.service.record([click("cook-1", user=None, session="s1")])
    ranked = await world.service.rank("default", ALL, user=None, session="s1")
    assert set(order(ranked)[:2]) == {"cook-1", "cook-2"}


async def test_a_session_does_not_show_a_user_what_another_did_in_it(world: Any) -> None:
    await world.service.record([click("cook-1", user="bob", session="s1")])
    ranked = await world.service.rank("default", [Candidate("cook-2")], user="ada", session="s1", explain=True)
    assert ranked.items[0].reasons is not None
    assert ranked.items[0].reasons[0].contribution == 0


async def test_an_unknown_user_gets_what_is_popular(world: Any) -> None:
    await world.service.record([click("cook-2", user=f"u{n}") for n in range(5)] + [click("tea-1", user="v")])
    assert order(await world.service.rank("default", ALL, user="nobody", session=None))[:2] == ["cook-2", "tea-1"]


async def test_an_item_that_is_not_in_the_catalogue_is_ranked_by_its_own_text(world: Any) -> None:
    await world.service.record([click("hike-1")])
    new = Candidate("new", {"title": "Trail shoes", "description": "shoes for mountain hiking trails"})
    ranked = await world.service.rank("default", [Candidate("cook-1"), new], user="ada", session=None)
    assert order(ranked) == ["new", "cook-1"]


async def test_an_interaction_with_an_unknown_item_is_kept_and_reported(world: Any) -> None:
    recorded = await world.service.record([click("ghost")])
    assert recorded.unknown_items == ("ghost",)
    await world.service.put_items([("ghost", {"title": "Mountain hiking trails guide"})])
    ranked = await world.service.rank("default", ALL, user="ada", session=None)
    assert order(ranked)[0].startswith("hike")


async def test_only_changed_texts_are_encoded(both: Any) -> None:
    before = [text for call in both.engine.calls for text in call.texts]
    await both.service.put_items([("hike-1", {"title": "Mountain trail maps, second edition"})])
    await both.service.put_items([("copy", {"title": "Mountain trail maps, second edition"})])
    texts = [text for call in both.engine.calls for text in call.texts][len(before) :]
    assert [text for text in texts if text != "version"] == ["Mountain trail maps, second edition"]
    assert (await both.service.item("copy")).encoded


async def test_an_overloaded_engine_degrades_the_answer_and_says_so(world: Any) -> None:
    await world.service.record([click("hike-1")])
    world.engine.errors.append(Overloaded("busy", retry_after_s=1))
    new = Candidate("new", {"title": "Mountain shoes"})
    ranked = await world.service.rank("default", [new, Candidate("hike-2")], user="ada", session=None)
    assert ranked.degraded == ("new_texts_overloaded",)
    assert order(ranked) == ["hike-2", "new"]


async def test_items_that_could_not_be_encoded_at_once_are_encoded_later(world: Any) -> None:
    world.engine.errors.append(Overloaded("busy", retry_after_s=1))
    await world.service.put_items([("late", {"title": "Late mountain hiking news"})])
    assert not (await world.service.item("late")).encoded
    while await world.service.encode_waiting():
        pass
    assert (await world.service.item("late")).encoded


async def test_a_new_model_version_takes_over_when_all_items_are_encoded(both: Any) -> None:
    await both.service.record([click("hike-1")])
    both.engine.version = "v2"
    while await both.service.encode_waiting():
        pass
    assert await both.service.waiting() == 0
    ranked = await both.service.rank("default", ALL, user="ada", session=None)
    assert order(ranked)[0].startswith("hike")


async def test_another_process_sees_items_events_and_erasures(both: Any) -> None:
    other = both.second()
    async with other.running():
        await both.service.put_items([("late", {"title": "Late mountain hiking news"})])
        await both.service.record([click("late", user=f"u{n}") for n in range(3)])
        await other.refresh()
        assert (await other.item("late")).encoded
        assert (await other.item("late")).events == 3
        await both.service.erase("u0")
        await other.refresh()
        assert (await other.item("late")).events == 2


async def test_erasing_a_user_removes_events_rankings_sessions_and_popularity(both: Any) -> None:
    await both.service.record(
        [
            click("hike-1", session="s1"),
            click("hike-2", user=None, session="s1"),
            click("hike-2", user="bob"),
            Event(id="r1", kind="ranking", user="ada", at_ms=AT, items=("hike-1", "hike-2")),
            Event(id="u1", kind="user", user="ada", at_ms=AT, fields={"age": 30}),
        ]
    )
    erased, remaining = await both.service.erase("ada")
    assert (erased.interactions, erased.rankings, erased.attributes, remaining) == (2, 1, 2, 0)
    assert (await both.service.item("hike-1")).events == 0
    assert (await both.service.item("hike-2")).events == 1
    with pytest.raises(NotFound, match="ada") as caught:
        await both.service.profile("ada")
    assert caught.value.code == "unknown_user"


async def test_erasing_an_unknown_user_deletes_nothing(both: Any) -> None:
    erased, remaining = await both.service.erase("nobody")
    assert (sum(erased), remaining) == (0, 0)


async def test_a_profile_groups_the_history_into_interests(world: Any) -> None:
    await world.service.record([click("hike-1"), click("hike-2"), click("tea-1", type="purchase")])
    shown = await world.service.profile("ada")
    assert shown.events == 3
    assert {frozenset(one.items) for one in shown.interests} >= {frozenset({"tea-1"})}
    assert sum(one.share for one in shown.interests) == pytest.approx(1)
    assert shown.history[0][2] > 0


async def test_later_item_fields_win_whatever_comes_first(both: Any) -> None:
    late = Event(id="i2", kind="item", item="x", at_ms=AT, fields={"title": "New title"})
    early = Event(id="i1", kind="item", item="x", at_ms=AT - 1, fields={"title": "Old title", "description": "Text"})
    await both.service.record([late])
    await both.service.record([early])
    found = (await both.service.item("x")).item
    assert (found.title, found.description) == ("New title", "Text")


async def test_a_model_that_there_is_not_is_named(world: Any) -> None:
    with pytest.raises(NotFound, match="'xgboost'") as caught:
        await world.service.rank("xgboost", ALL, user=None, session=None)
    assert caught.value.code == "unknown_ranking_model"


async def test_duplicates_come_back_as_often_as_given_and_no_candidates_give_none(world: Any) -> None:
    await world.service.record([click("hike-1")])
    ranked = await world.service.rank(
        "default", [Candidate("cook-1"), Candidate("hike-2"), Candidate("hike-2")], user="ada", session=None
    )
    assert order(ranked) == ["hike-2", "hike-2", "cook-1"]
    assert (await world.service.rank("default", [], user="ada", session=None)).items == []


async def test_more_candidates_or_events_than_the_limit_are_refused(
    sqlite_settings: DatabaseSettings, open_world: Any
) -> None:
    settings = {"recommend.candidates_limit": 2, "recommend.events_limit": 9}
    async with open_world(sqlite_settings, settings) as world:
        with pytest.raises(TooLarge, match="limit of 2") as caught:
            await world.service.rank("default", ALL[:3], user=None, session=None)
        assert caught.value.code == "too_many_candidates"
        with pytest.raises(TooLarge, match="limit of 9"):
            await world.service.record([click("hike-1", number=n) for n in range(10)])
        with pytest.raises(ValidationFailed, match="no events"):
            await world.service.record([])


async def test_contributions_sum_to_the_score_and_evidence_to_interest(world: Any) -> None:
    await world.service.record(
        [click("hike-1"), click("cook-1", number=1), click("tea-1", number=2, type="rating", value=4.0)]
    )
    ranked = await world.service.rank("default", ALL, user="ada", session=None, explain=True)
    for one in ranked.items:
        assert one.reasons is not None
        assert sum(reason.contribution for reason in one.reasons) == pytest.approx(one.score, abs=1e-9)
        interest = sum(reason.contribution for reason in one.reasons[:2])
        evidence = sum(piece.contribution for piece in one.reasons[1].evidence)
        assert evidence == pytest.approx(interest, abs=1e-9)


async def test_reasons_speak_english_and_chinese(world: Any) -> None:
    await world.service.record([click("tea-1")])
    english = await world.service.rank("default", [Candidate("tea-2")], user="ada", session=None, explain=True)
    chinese = await world.service.rank(
        "default", [Candidate("tea-2")], user="ada", session=None, explain=True, language="zh"
    )
    assert english.items[0].reasons[1].message == "Similar to “龙井绿茶”."
    assert chinese.items[0].reasons[1].message == "与你看过的《龙井绿茶》相似。"


async def test_many_candidates_are_scored_off_the_event_loop(
    sqlite_settings: DatabaseSettings, open_world: Any
) -> None:
    async with open_world(sqlite_settings) as world:
        await world.service.record([click("hike-1"), click("cook-1")])
        many = [Candidate(f"none-{n}") for n in range(999)] + [Candidate("hike-2")]
        ranked = await world.service.rank("default", many, user="ada", session=None)
        assert ranked.items[0].item == "hike-2"
        assert len(ranked.items) == 1000


async def test_simultaneous_feedback_is_counted_once_each(both: Any) -> None:
    events = [click("hike-1", user=f"u{n}") for n in range(20)]
    await asyncio.gather(*(both.service.record([event, events[0]]) for event in events))
    assert (await both.service.item("hike-1")).events == 20
    assert np.isclose((await both.service.item("hike-1")).popularity, 1.0)
