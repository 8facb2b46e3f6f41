"""The routes over HTTP with the whole application and a fake engine."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from litestar.testing import AsyncTestClient

from parlance.testing import application
from parlance_recommend.plugin import RecommendPlugin

pytestmark = pytest.mark.asyncio(loop_scope="module")
AT = "1772452800000"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client() -> AsyncIterator[AsyncTestClient[Any]]:
    """One server for the whole module: the tests use ids of their own."""
    async with application({"recommend": RecommendPlugin()}, demo=True) as app, AsyncTestClient(app.asgi) as client:
        yield client


def click(number: int, item: str, **more: Any) -> dict[str, Any]:
    event = {"event": "interaction", "id": f"e{number}", "timestamp": AT, "user": "zoe", "type": "click", "item": item}
    return {**event, "fields": [], **more}


def request(*items: str, **more: Any) -> dict[str, Any]:
    return {"id": "r", "timestamp": AT, "user": "zoe", "fields": [], "items": [{"id": one} for one in items], **more}


async def test_feedback_and_rank_speak_metarank(client: AsyncTestClient[Any]) -> None:
    answer = await client.post("/feedback", json=click(1, "tea-puer", session="s1", ranking="r0"))
    assert answer.status_code == 200
    assert {"accepted": 1, "status": "ok", "updated": 0}.items() <= answer.json().items()
    assert isinstance(answer.json()["tookMillis"], int)
    ranked = await client.post("/rank/default", json=request("sql-index", "tea-pot", "cast-pan"))
    assert ranked.status_code == 200
    assert set(ranked.json()) == {"took", "items"}
    assert ranked.json()["items"][0]["item"] == "tea-pot"
    assert set(ranked.json()["items"][0]) == {"item", "score"}


async def test_explain_adds_features_and_reasons_that_sum_to_the_score(client: AsyncTestClient[Any]) -> None:
    ranked = await client.post(
        "/rank/default?explain=true&lang=zh", json=request("tea-puer", "hike-shoes", user="chen")
    )
    for one in ranked.json()["items"]:
        assert {feature["name"] for feature in one["features"]} == {reason["feature"] for reason in one["reasons"]}
        assert sum(reason["contribution"] for reason in one["reasons"]) == pytest.approx(one["score"], abs=1e-9)
    assert ranked.json()["items"][0]["item"] == "tea-puer"
    assert "相似" in ranked.json()["items"][0]["reasons"][1]["message"]


async def test_every_kind_of_event_is_taken_together(client: AsyncTestClient[Any]) -> None:
    events = [
        {
            "event": "item",
            "id": "i1",
            "timestamp": AT,
            "item": "gong",
            "fields": [{"name": "title", "value": "A gong"}, {"name": "tags", "value": ["music", "metal"]}],
        },
        {
            "event": "user",
            "id": "u1",
            "timestamp": 1772452800000,
            "user": "zoe",
            "fields": [{"name": "age", "value": 3}],
        },
        {
            "event": "ranking",
            "id": "r1",
            "timestamp": "2026-03-02T12:00:00Z",
            "user": "zoe",
            "session": "s",
            "fields": [],
            "items": [{"id": "gong"}, {"id": "tea-pot"}],
        },
        click(5, "gong", ranking="r1", tenant="default", unknown_member=1),
    ]
    answer = (await client.post("/feedback", json=events)).json()
    assert (answer["accepted"], answer["updated"], answer["unknownItems"]) == (4, 2, [])
    again = (await client.post("/feedback", json=events)).json()
    assert (again["accepted"], again["duplicates"], again["updated"]) == (0, 4, 0)
    item = (await client.get("/recommend/items/gong")).json()
    assert (item["title"], item["categories"], item["encoded"], item["events"]) == (
        "A gong",
        ["music", "metal"],
        True,
        1,
    )


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/rank/xgboost", request("tea-pot"), 404, "unknown_ranking_model"),
        ("/rank/default", request("tea-pot", timestamp="yesterday"), 422, "bad_timestamp"),
        ("/rank/default", request(*[f"i{n}" for n in range(1001)]), 413, "too_many_candidates"),
        ("/rank/default", {"id": "r"}, 422, "validation_failed"),
        ("/feedback", click(1, "tea-pot", timestamp="99999999999999999"), 422, "bad_timestamp"),
        ("/feedback", click(1, "tea-pot", event="purchase"), 422, "validation_failed"),
        ("/feedback", click(1, "tea-pot", tenant="other"), 422, "unknown_tenant"),
        ("/feedback", [click(1, "tea-pot"), {"event": "interaction"}], 422, "validation_failed"),
        ("/feedback", [], 422, "nothing_given"),
        ("/recommend/items", {"id": "x", "titel": "X"}, 422, "validation_failed"),
    ],
)
async def test_bad_requests_are_refused_by_name(
    client: AsyncTestClient[Any], path: str, body: Any, status: int, code: str
) -> None:
    answer = await client.post(path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_bad_event_in_a_json_body_leaves_nothing_written(client: AsyncTestClient[Any]) -> None:
    refused = await client.post("/feedback", json=[click(21, "herb-shelf"), click(22, "herb-shelf", timestamp="never")])
    assert refused.status_code == 422
    assert "[1].timestamp" in refused.json()["detail"]
    assert (await client.get("/recommend/items/herb-shelf")).json()["events"] == 0


async def test_bad_lines_of_ndjson_are_reported_and_the_good_ones_written(client: AsyncTestClient[Any]) -> None:
    import msgspec

    lines = [
        msgspec.json.encode(click(11, "tea-pot")),
        b"{",
        msgspec.json.encode(click(12, "tea-pot", timestamp="never")),
    ]
    headers = {"content-type": "application/x-ndjson"}
    answer = (await client.post("/feedback", content=b"\n".join(lines), headers=headers)).json()
    assert answer["accepted"] == 1
    assert [(one["line"], one["code"]) for one in answer["errors"]] == [(2, "invalid_json"), (3, "bad_timestamp")]
    items = b'{"id": "n1", "title": "One"}\n{"title": "no id"}\n'
    stored = (await client.post("/recommend/items", content=items, headers=headers)).json()
    assert (stored["accepted"], stored["updated"], stored["errors"][0]["line"]) == (1, 1, 2)


async def test_items_sent_again_are_not_updated(client: AsyncTestClient[Any]) -> None:
    item = {"id": "n2", "title": "绿茶", "categories": ["茶叶"], "fields": {"price": 3.5}}
    assert (await client.post("/recommend/items", json=item)).json() == {"accepted": 1, "updated": 1, "errors": []}
    assert (await client.post("/recommend/items", json=[item])).json()["updated"] == 0


async def test_a_profile_is_shown_and_an_erased_user_is_gone(client: AsyncTestClient[Any]) -> None:
    profile = (await client.get("/recommend/users/iris/profile")).json()
    assert {one["item"] for one in profile["history"]} == {"river-kayak", "night-tent", "winter-soup"}
    erased = (await client.delete("/recommend/users/iris")).json()
    assert erased == {"user": "iris", "interactions": 3, "rankings": 0, "attributes": 0, "remaining": 0}
    assert (await client.get("/recommend/users/iris/profile")).json()["code"] == "unknown_user"


async def test_the_server_is_ready_and_shows_the_plugins_metrics(client: AsyncTestClient[Any]) -> None:
    await client.post("/rank/default", json=request("tea-pot"))
    assert (await client.get("/health/ready")).status_code == 200
    assert re.search(r'parlance_recommend_rankings_total{model="default"} [1-9]', (await client.get("/metrics")).text)
