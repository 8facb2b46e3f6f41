"""The service over a real database: documents, trends, rules, alerts."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from parlance.errors import Conflict, ModelError, NotFound, Overloaded, TooLarge, ValidationFailed
from parlance.settings import DatabaseSettings
from parlance_sentiment.judging import TOPIC
from parlance_sentiment.rules import ThresholdRule
from parlance_sentiment.schemas import DocumentIn
from parlance_sentiment.settings import SentimentSettings
from parlance_sentiment.store.alerts import AlertQuery
from parlance_sentiment.store.documents import DocumentQuery

World = Any
NOW = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)
RULE = ThresholdRule(name="surge", window="6h", negative_share=0.6, min_documents=3, recovery_share=0.4)

BAD = "Shares fell after the fraud inquiry"
GOOD = "营收增长，利好"


def news(text: str, number: int = 0, *, hours: float = 1, company: str = "A", **more: object) -> DocumentIn:
    at = (NOW - timedelta(hours=hours)).isoformat()
    return DocumentIn(
        text=f"{text} {number}", published_at=at, companies=(company,), source=f"Wire {number % 2}", **more
    )


async def test_documents_are_labelled_stored_and_given_back_in_order(world: World) -> None:
    results = await world.service.ingest([news(BAD), news(GOOD), news("The board meets")])
    assert [result.document.labelling.label for result in results] == ["negative", "positive", "neutral"]
    assert results[0].document.labelling.score == pytest.approx(-0.86)
    assert {result.outcome for result in results} == {"stored"}
    stored = await world.service.document(results[1].document.id)
    assert stored == results[1].document


async def test_the_same_document_again_is_unchanged_counted_once_and_not_labelled_again(world: World) -> None:
    await world.service.ingest([news(BAD), news(GOOD)])
    calls = len(world.engine.calls)
    results = await world.service.ingest([news(BAD), news(BAD)])
    assert [result.outcome for result in results] == ["unchanged", "unchanged"]
    assert len(world.engine.calls) == calls
    trend = await world.service.trends(["company:A"])
    assert trend.series[0].totals.documents == 2


async def test_a_correction_restates_the_bucket_it_was_counted_in(world: World) -> None:
    await world.service.ingest([news(BAD, id="x", hours=30, company="A")])
    results = await world.service.ingest([news(GOOD, id="x", hours=2, company="B")])
    assert results[0].outcome == "corrected"
    assert results[0].document.revision == 1
    trend = await world.service.trends(["company:A", "company:B", "all"], bucket="hour")
    assert [series.totals.documents for series in trend.series] == [0, 1, 1]
    assert trend.series[1].totals.positive == 1


async def test_the_same_id_twice_in_one_request_is_taken_in_order(world: World) -> None:
    results = await world.service.ingest([news(BAD, id="x"), news(GOOD, id="x"), news(GOOD, id="x")])
    assert [result.outcome for result in results] == ["stored", "corrected", "unchanged"]
    trend = await world.service.trends(["all"])
    assert (trend.series[0].totals.positive, trend.series[0].totals.negative) == (1, 0)


async def test_a_published_time_that_is_not_given_again_stays(world: World) -> None:
    first = await world.service.ingest([news(BAD, id="x", hours=30)])
    again = await world.service.ingest([DocumentIn(id="x", text=GOOD, companies=("A",))])
    assert again[0].document.published_at == first[0].document.published_at


async def test_a_withdrawn_document_leaves_no_trace_in_the_counts(world: World) -> None:
    results = await world.service.ingest([news(BAD), news(GOOD)])
    await world.service.withdraw(results[0].document.id)
    trend = await world.service.trends(["all"])
    assert (trend.series[0].totals.documents, trend.series[0].totals.negative) == (1, 0)
    with pytest.raises(NotFound, match="There is no document"):
        await world.service.withdraw(results[0].document.id)


async def test_a_bad_document_refuses_the_whole_batch_and_names_its_index(world: World) -> None:
    with pytest.raises(ValidationFailed, match=r"documents\[1\]: 'text' is empty") as caught:
        await world.service.ingest([news(GOOD), DocumentIn(text=" ")])
    assert caught.value.facts["index"] == 1
    assert (await world.service.documents(DocumentQuery()))[0] == []
    with pytest.raises(TooLarge, match="65 documents; the limit is 64"):
        await world.service.ingest([news(GOOD)] * 65)


async def test_nothing_is_written_when_the_model_refuses_or_fails(world: World) -> None:
    world.engine.errors = [Overloaded("too much", retry_after_s=1), ModelError("broken")]
    for error in (Overloaded, ModelError):
        with pytest.raises(error):
            await world.service.ingest([news(BAD)])
    assert (await world.service.documents(DocumentQuery()))[0] == []


async def test_lines_are_stored_in_batches_and_bad_ones_reported_by_number(world: World) -> None:
    lines = [(number, news(GOOD, number)) for number in range(1, 151)] + [(151, DocumentIn(text=""))]
    results, errors = await world.service.ingest_lines(lines)
    assert len(results) == 150
    assert [(error.line, error.code) for error in errors] == [(151, "empty_text")]
    assert [len(call.texts) for call in world.engine.calls] == [64, 64, 22]


async def test_a_batch_of_lines_that_fails_does_not_take_the_others_with_it(world: World) -> None:
    world.engine.errors = [Overloaded("too much", retry_after_s=1)]
    results, errors = await world.service.ingest_lines([(n, news(GOOD, n)) for n in range(1, 71)])
    assert len(results) == 6
    assert {error.code for error in errors} == {"overloaded"}


async def test_lists_are_filtered_and_paged_without_gaps_or_repeats(world: World) -> None:
    await world.service.ingest([news(BAD if n % 3 else GOOD, n, hours=n // 2) for n in range(20)])
    seen, cursor = [], None
    while True:
        page, cursor = await world.service.documents(DocumentQuery(company="A", limit=7, cursor=cursor))
        seen += [document.id for document in page]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 20
    only, _ = await world.service.documents(
        DocumentQuery(label="positive", source="Wire 0", start=NOW - timedelta(hours=5), end=NOW)
    )
    assert {(document.labelling.label, document.source) for document in only} == {("positive", "Wire 0")}
    assert (await world.service.documents(DocumentQuery(company="B")))[0] == []
    for broken in ("nonsense", "WzEsMl0", "é"):
        with pytest.raises(ValidationFailed, match="cursor"):
            await world.service.documents(DocumentQuery(cursor=broken))


async def test_trends_refuse_what_they_cannot_answer(world: World) -> None:
    for arguments, code in (
        ({"keys": ["x"]}, "bad_key"),
        ({"keys": [f"company:{n}" for n in range(21)]}, "too_many_keys"),
        ({"keys": [], "timezone": "Mars/Base"}, "unknown_timezone"),
        ({"keys": [], "timezone": "../etc/passwd"}, "unknown_timezone"),
        ({"keys": [], "bucket": "year"}, "bad_bucket"),
        ({"keys": [], "start": NOW, "end": NOW - timedelta(days=1)}, "bad_range"),
    ):
        with pytest.raises(ValidationFailed) as caught:
            await world.service.trends(**arguments)
        assert caught.value.code == code


async def test_keys_are_listed_by_number_of_documents(world: World) -> None:
    await world.service.ingest([news(BAD, n, company="A" if n else "B_") for n in range(4)])
    found = await world.service.keys(prefix="company:")
    assert [(one.key, one.totals.documents) for one in found.keys] == [("company:A", 3), ("company:B_", 1)]


async def firing(world: World) -> list[str]:
    alerts, _ = await world.service.alerts(AlertQuery(state="firing"))
    return [alert.key for alert in alerts]


async def test_a_surge_raises_one_alert_with_evidence_message_and_event(world: World) -> None:
    await world.service.ingest([news(GOOD, 0, company="B"), news(BAD, 1), news(BAD, 2)])
    assert await firing(world) == []
    await world.service.ingest([news(BAD, 3), news(GOOD, 4), news(BAD, 5)])
    alerts, _ = await world.service.alerts(AlertQuery())
    assert [(alert.key, alert.state) for alert in alerts] == [("company:A", "firing")]
    evidence = alerts[0].evidence
    assert (evidence.documents, evidence.negative, evidence.negative_share, evidence.sources) == (5, 4, 0.8, 2)
    assert len(evidence.driving_documents) == 4
    assert evidence.driving_documents[0].headline.startswith("Shares fell")
    assert evidence.models == ("fin-sentiment@fake",)
    assert evidence.stopped_by == "2 more documents that are not negative, or 3 documents fewer in the window"
    assert [kind for kind, _ in world.outbox.messages] == ["sentiment.alert.firing"]
    assert world.outbox.messages[0][1]["alerts"][0]["labels"]["company"] == "A"
    events = await world.context.events.read(topic=TOPIC)
    assert [(event.kind, event.key) for event in events] == [("alert.firing", "company:A")]
    assert await world.service.alert(alerts[0].id) == alerts[0]


async def test_an_alert_resolves_by_itself_as_its_news_grows_old_and_may_fire_again(world: World) -> None:
    await world.service.ingest([news(BAD, n) for n in range(3)])
    await world.service.judge()
    assert await firing(world) == ["company:A"]
    world.clock.advance(5 * 3600 + 1)
    await world.service.judge()
    alerts, _ = await world.service.alerts(AlertQuery())
    assert alerts[0].state == "resolved"
    assert alerts[0].resolution is not None
    assert alerts[0].resolution.reason == "recovered"
    assert alerts[0].ends_at == world.clock.now()
    later = (world.clock.now() - timedelta(minutes=1)).isoformat()
    await world.service.ingest(
        [DocumentIn(text=f"{BAD} again {n}", companies=("A",), published_at=later) for n in range(3)]
    )
    assert await firing(world) == ["company:A"]
    assert [kind.rpartition(".")[2] for kind, _ in world.outbox.messages] == ["firing", "resolved", "firing"]


async def test_good_news_resolves_an_alert_only_below_the_recovery_threshold(world: World) -> None:
    await world.service.ingest([news(BAD, n) for n in range(3)])
    await world.service.ingest([news(GOOD, n) for n in range(3)])
    assert await firing(world) == ["company:A"]
    await world.service.ingest([news(GOOD, n) for n in range(3, 6)])
    assert await firing(world) == []


async def test_a_correction_or_withdrawal_resolves_an_alert_as_restated(world: World) -> None:
    results = await world.service.ingest([news(BAD, n) for n in range(3)])
    await world.service.withdraw(results[0].document.id)
    assert await firing(world) == ["company:A"]
    await world.service.withdraw(results[1].document.id)
    alerts, _ = await world.service.alerts(AlertQuery())
    assert alerts[0].resolution is not None
    assert alerts[0].resolution.reason == "restated"


async def test_old_news_raises_no_alert_on_the_clock(world: World) -> None:
    await world.service.ingest([news(BAD, n, hours=7) for n in range(5)])
    assert await firing(world) == []


async def test_on_event_time_a_history_raises_and_resolves_its_alerts(
    sqlite_settings: DatabaseSettings, opener: Any
) -> None:
    rule = msgspec.structs.replace(RULE, basis="event")
    async with opener(sqlite_settings, SentimentSettings(rules=(rule,))) as world:
        await world.service.ingest(
            [news(BAD, n, hours=100 - n) for n in range(4)] + [news(GOOD, n, hours=80 - n) for n in range(4)]
        )
        alerts, _ = await world.service.alerts(AlertQuery())
        assert [(alert.state, alert.starts_at) for alert in alerts] == [("resolved", NOW - timedelta(hours=98))]
        assert alerts[0].ends_at == NOW - timedelta(hours=80)
        await world.service.ingest([news(BAD, 9, hours=99.5)])
        assert len((await world.service.alerts(AlertQuery()))[0]) == 1, "a late document judges no known time again"


async def test_acknowledging_keeps_the_first_and_is_refused_once_resolved(world: World) -> None:
    await world.service.ingest([news(BAD, n) for n in range(3)])
    alert = (await world.service.alerts(AlertQuery()))[0][0]
    await world.service.acknowledge(alert.id, by="Wei", comment="calling the company")
    second = await world.service.acknowledge(alert.id, by="Ann")
    assert (second.acknowledged_by, second.comment) == ("Wei", "calling the company")
    assert [alert.id for alert in (await world.service.alerts(AlertQuery(acknowledged=True)))[0]] == [alert.id]
    world.clock.advance(86400)
    await world.service.judge()
    with pytest.raises(Conflict, match="resolved already"):
        await world.service.acknowledge(alert.id, by="Ann")
    with pytest.raises(NotFound):
        await world.service.acknowledge("nothing", by="Ann")


async def test_rules_are_created_replaced_judged_at_once_and_removed(world: World) -> None:
    await world.service.ingest([news(BAD, n) for n in range(2)])
    rule = ThresholdRule(name="two", keys=("all", "source:*"), min_documents=2, negative_share=0.5)
    made = await world.service.save_rule(rule, replace=False)
    assert made.origin == "http"
    assert await firing(world) == ["all"]
    with pytest.raises(Conflict, match="There is a rule 'two' already"):
        await world.service.save_rule(rule, replace=False)
    await world.service.save_rule(msgspec.structs.replace(rule, keys=("company:*",)), replace=True)
    assert await firing(world) == ["company:A"]
    await world.service.remove_rule("two")
    assert await firing(world) == []
    reasons = [alert.resolution.reason for alert in (await world.service.alerts(AlertQuery()))[0] if alert.resolution]
    assert sorted(reasons) == ["rule_changed", "rule_removed"]
    with pytest.raises(NotFound):
        await world.service.remove_rule("two")


async def test_rules_of_the_settings_cannot_be_changed_over_http(world: World) -> None:
    assert [(rule.rule.name, rule.origin) for rule in await world.service.rules()] == [("surge", "settings")]
    with pytest.raises(Conflict, match="comes with the server's settings"):
        await world.service.save_rule(RULE, replace=True)
    with pytest.raises(Conflict, match="comes with the server's settings"):
        await world.service.remove_rule("surge")


async def test_two_writers_count_every_document_once_and_raise_one_alert(
    database_settings: DatabaseSettings, world: World, opener: Any
) -> None:
    async with opener(database_settings) as other:
        await asyncio.gather(
            *(
                (world if n % 2 else other).service.ingest([news(BAD, n), news(GOOD, 100 + n // 4, company="C")])
                for n in range(24)
            )
        )
        trend = await world.service.trends(["company:A", "company:C", "all"])
        assert [series.totals.documents for series in trend.series] == [24, 6, 30]
        assert await firing(world) == ["company:A"]
        assert len(world.outbox.messages) + len(other.outbox.messages) == 1


async def test_two_writers_that_correct_the_same_document_leave_one_of_both(
    database_settings: DatabaseSettings, world: World, opener: Any
) -> None:
    async with opener(database_settings) as other:
        await asyncio.gather(
            *(
                (world if n % 2 else other).service.ingest([news(f"{GOOD} {n}", id="x"), news(BAD, id=f"y{n % 3}")])
                for n in range(12)
            )
        )
        trend = await world.service.trends(["all"])
        assert trend.series[0].totals.documents == 4
        assert (await world.service.document("x")).revision == 11
