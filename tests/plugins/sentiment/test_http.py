"""The routes: forms of bodies, answers, errors, paging, live stream, OpenAPI description."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from litestar.testing import AsyncTestClient

from parlance.clock import ManualClock
from parlance.settings import DatabaseSettings
from parlance.testing import application
from parlance_sentiment.live import AlertStream, cursor_from
from parlance_sentiment.plugin import plugin

NOW = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)
BAD = {"text": "Shares fell after the fraud inquiry", "companies": ["A"], "source": "Wire"}
GOOD = {"text": "公司盈利增长", "companies": ["A"], "language": "zh", "published_at": "2026-03-02T17:00:00+08:00"}


@pytest.fixture
def database_settings(sqlite_settings: DatabaseSettings) -> DatabaseSettings:
    """SQLite is enough here: what the service does on both databases has its own tests."""
    return sqlite_settings


RULE = {"name": "surge", "window": "6h", "negative_share": 0.6, "min_documents": 3, "recovery_share": 0.4}


@pytest.fixture
async def client() -> AsyncIterator[AsyncTestClient[Any]]:
    settings = {"sentiment.rules": [RULE], "limits.batch_texts": 64, "limits.text_chars": 1000}
    async with (
        application({"sentiment": plugin}, settings=settings, clock=ManualClock(NOW)) as app,
        AsyncTestClient(app.asgi) as client,
    ):
        yield client


async def test_one_document_an_array_and_a_batch_are_the_same_to_the_route(client: Any) -> None:
    one = (await client.post("/sentiment/documents", json=BAD)).json()
    assert (one["stored"], one["unchanged"], one["errors"]) == (1, 0, [])
    document = one["documents"][0]
    assert document["label"] == "negative"
    assert document["score"] == -0.86
    assert document["probabilities"] == {"positive": 0.04, "neutral": 0.06, "negative": 0.9}
    assert document["published_at"] == "2026-03-02T12:30:00Z"
    assert document["model"] == "fin-sentiment@fake"
    many = (await client.post("/sentiment/documents", json=[GOOD, BAD])).json()
    assert [each["outcome"] for each in many["documents"]] == ["stored", "unchanged"]
    batch = (await client.post("/sentiment/documents", json={"documents": [BAD, GOOD]})).json()
    assert batch["unchanged"] == 2


async def test_good_lines_of_ndjson_are_stored_and_bad_ones_reported(client: Any) -> None:
    lines = [
        msgspec.json.encode(BAD),
        b"",
        b"{not json",
        b'{"text": "x", "published_at": "soon"}',
        b'{"title": "no text"}',
        b'{"text": "x", "colour": 1}',
        b'{"text": "\xff"}',
        msgspec.json.encode(GOOD),
    ]
    answer = await client.post(
        "/sentiment/documents", content=b"\n".join(lines), headers={"Content-Type": "application/x-ndjson"}
    )
    body = answer.json()
    assert answer.status_code == 200
    assert body["stored"] == 2
    assert [error["line"] for error in body["errors"]] == [3, 4, 5, 6, 7]
    assert body["errors"][0]["code"] == "invalid_json"
    assert body["errors"][1]["code"] == "bad_time"


BAD_BODIES = [
    (b"", 400, "invalid_json"),
    (b"{", 400, "invalid_json"),
    (b'"text"', 422, "validation_failed"),
    (b"[]", 422, "empty_batch"),
    (b'{"documents": []}', 422, "empty_batch"),
    (b'{"documents": 1}', 422, "validation_failed"),
    (b'{"txt": "a"}', 422, "validation_failed"),
    (b'{"text": ""}', 422, "empty_text"),
    (b'{"text": "\\u0000"}', 422, "bad_text"),
    (b'{"text": "\\ud800"}', 422, "not_unicode"),
    (b'{"text": "a", "published_at": "2026-13-01"}', 422, "bad_time"),
    (b'{"text": "a", "published_at": "2031-01-01"}', 422, "bad_time"),
    (msgspec.json.encode({"text": "x" * 1001}), 422, "text_too_long"),
    (msgspec.json.encode([{"text": "a"}] * 65), 413, "batch_too_large"),
]


async def test_each_bad_body_gets_its_status_and_code_and_stores_nothing(client: Any) -> None:
    for body, status, code in BAD_BODIES:
        answer = await client.post("/sentiment/documents", content=body, headers={"Content-Type": "application/json"})
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (status, code), body[:40]
        assert problem["detail"]
    assert (await client.get("/sentiment/documents")).json()["documents"] == []


async def test_documents_are_read_listed_and_withdrawn(client: Any) -> None:
    made = (await client.post("/sentiment/documents", json=[BAD, GOOD])).json()["documents"]
    path = f"/sentiment/documents/{made[0]['id']}"
    assert (await client.get(path)).json()["text"] == BAD["text"]
    page = (await client.get("/sentiment/documents", params={"company": "A", "limit": 1})).json()
    assert page["documents"][0]["id"] == made[0]["id"]
    rest = (await client.get("/sentiment/documents", params={"limit": 1, "cursor": page["next_cursor"]})).json()
    assert (rest["documents"][0]["id"], rest["next_cursor"]) == (made[1]["id"], None)
    listed = (await client.get("/sentiment/documents", params={"label": "positive", "from": "2026-03-02"})).json()
    assert [one["id"] for one in listed["documents"]] == [made[1]["id"]]
    assert (await client.delete(path)).status_code == 204
    gone = await client.delete(path)
    assert (gone.status_code, gone.json()["code"]) == (404, "unknown_document")


BAD_QUERIES = [
    ("/sentiment/documents?from=yesterday", "bad_time"),
    ("/sentiment/documents?cursor=zzz", "bad_cursor"),
    ("/sentiment/trends?key=ticker:A", "bad_key"),
    ("/sentiment/trends?timezone=Nowhere", "unknown_timezone"),
    ("/sentiment/trends?bucket=hour&from=1990-01-01", "range_too_long"),
    ("/sentiment/alerts?to=2026-03-02T10:00", "bad_time"),
    ("/sentiment/alerts/stream?after=x", "bad_cursor"),
]


async def test_queries_that_cannot_be_answered_are_refused_by_code(client: Any) -> None:
    for path, code in BAD_QUERIES:
        answer = await client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (422, code), path


async def test_trends_have_points_per_bucket_for_each_key(client: Any) -> None:
    await client.post("/sentiment/documents", json=[BAD, GOOD])
    found = (await client.get("/sentiment/trends?key=company:A&key=source:Wire&bucket=hour&from=2026-03-02")).json()
    assert [series["key"] for series in found["series"]] == ["company:A", "source:Wire"]
    points = found["series"][0]["points"]
    assert len(points) == 13
    assert points[9] == {
        "start": "2026-03-02T09:00:00Z",
        "end": "2026-03-02T10:00:00Z",
        "documents": 1,
        "positive": 1,
        "neutral": 0,
        "negative": 0,
        "mean_score": 0.86,
        "negative_share": 0.0,
    }
    assert points[0]["mean_score"] is None
    assert found["series"][0]["models"] == ["fin-sentiment@fake"]
    keys = (await client.get("/sentiment/keys?prefix=company:")).json()["keys"]
    assert keys[0]["totals"]["documents"] == 2


async def test_rules_and_alerts_over_http(client: Any) -> None:
    rule = {"name": "http-rule", "keys": ["company:*"], "window": "1d", "min_documents": 2, "negative_share": 0.5}
    assert (await client.post("/sentiment/rules", json=rule)).status_code == 201
    again = await client.post("/sentiment/rules", json=rule)
    assert (again.status_code, again.json()["code"]) == (409, "rule_exists")
    bad = await client.post("/sentiment/rules", json={**rule, "window": "soon"})
    assert bad.status_code == 422
    assert "no length such as 90m" in bad.json()["detail"]
    mismatch = await client.put("/sentiment/rules/other", json=rule)
    assert mismatch.json()["code"] == "name_mismatch"
    await client.post("/sentiment/documents", json=[BAD, {**BAD, "text": "Loss widens"}])
    alerts = (await client.get("/sentiment/alerts?state=firing&rule=http-rule")).json()["alerts"]
    assert alerts[0]["evidence"]["negative_share"] == 1.0
    path = f"/sentiment/alerts/{alerts[0]['id']}"
    taken = (await client.post(f"{path}/acknowledge", json={"comment": "looking"})).json()
    assert taken["acknowledged_by"] == "anonymous"
    assert (await client.post(f"{path}/acknowledge")).status_code == 200
    assert (await client.delete("/sentiment/rules/http-rule")).status_code == 204
    assert (await client.get(path)).json()["resolution"]["reason"] == "rule_removed"
    late = await client.post(f"{path}/acknowledge", json={})
    assert (late.status_code, late.json()["code"]) == (409, "alert_resolved")
    assert (await client.get("/sentiment/alerts/none")).json()["code"] == "unknown_alert"
    assert (await client.get("/sentiment/rules/none")).json()["code"] == "unknown_rule"
    assert (await client.get("/sentiment/rules/surge")).json()["origin"] == "settings"
    assert len((await client.get("/sentiment/rules")).json()["rules"]) == 1


async def take(stream: Any, count: int) -> list[Any]:
    found = []
    async for message in stream:
        if message.event:
            found.append(message)
        if len(found) == count:
            break
    await stream.aclose()
    return found


async def test_the_stream_resumes_after_the_last_id_and_says_when_events_are_gone(world: Any) -> None:
    documents = [msgspec.convert({**BAD, "text": f"Loss {n}"}, type=dict) for n in range(3)]
    from parlance_sentiment.schemas import DocumentIn

    await world.service.ingest([msgspec.convert(document, DocumentIn) for document in documents])
    alert = (await world.context.events.read(topic="sentiment.alerts"))[0]
    await world.service.acknowledge(alert.body["id"], by="Wei")
    stream = AlertStream(world.context.events, keep_alive_s=0.01)
    both = await asyncio.wait_for(take(stream.events(0), 2), 5)
    assert [message.event for message in both] == ["alert.firing", "alert.updated"]
    again = await asyncio.wait_for(take(stream.events(int(both[0].id)), 1), 5)
    assert [message.id for message in again] == [both[1].id]
    waiting = asyncio.create_task(take(stream.events(None), 1))
    await asyncio.sleep(0.05)
    world.clock.advance(timedelta(days=1).total_seconds())
    await world.service.judge()
    live = await asyncio.wait_for(waiting, 5)
    assert [message.event for message in live] == ["alert.resolved"]
    await world.context.events.prune(topic="sentiment.alerts", keep=1)
    reset = await asyncio.wait_for(take(stream.events(int(both[0].id)), 2), 5)
    assert [message.event for message in reset] == ["stream.reset", "alert.resolved"]


def test_the_header_wins_over_the_query_as_cursor() -> None:
    assert cursor_from("7", "3") == 7
    assert cursor_from(None, "3") == 3
    assert cursor_from(None, None) is None


async def test_every_route_is_described_with_id_summary_and_the_body_in_all_its_forms(client: Any) -> None:
    address = (await client.get("/", headers={"Accept": "application/json"})).json()["openapi"]
    schema = (await client.get(address)).json()
    paths = {path: methods for path, methods in schema["paths"].items() if path.startswith("/sentiment")}
    operations = [one for methods in paths.values() for one in methods.values()]
    assert len({one["operationId"] for one in operations}) == len(operations) == 15
    assert all(one["summary"] and one["description"] and one["tags"] == ["sentiment"] for one in operations)
    body = schema["paths"]["/sentiment/documents"]["post"]["requestBody"]
    assert set(body["content"]) == {"application/json", "application/x-ndjson"}
    assert len(body["content"]["application/json"]["schema"]["oneOf"]) == 3
