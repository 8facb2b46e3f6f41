"""The plugin over HTTP, whole application, fake engine."""

from __future__ import annotations

import asyncio
import json

import pytest

from parlance.errors import ModelError


async def test_the_rest_channel_answers_in_rasas_form_with_extra_fields(client):
    response = await client.post("/webhooks/rest/webhook", json={"sender": "alice", "message": "Where is my order?"})
    assert response.status_code == 200
    (reply,) = response.json()
    assert reply["recipient_id"] == "alice"
    assert reply["answerable"] is True
    assert reply["citations"][0]["entry_id"] == "demo-en-order-status"


async def test_the_rest_channel_says_that_it_is_there(client):
    assert (await client.get("/webhooks/rest/")).json() == {"status": "ok"}


async def test_a_failure_is_a_problem_with_its_status_and_nothing_is_stored(client, engine):
    engine.errors.append(ModelError("broken"))
    response = await client.post("/webhooks/rest/webhook", json={"sender": "bob", "message": "Where is my order?"})
    assert response.status_code == 500
    assert response.json()["code"] == "model_failed"
    assert (await client.get("/support/conversations/bob")).status_code == 404


async def test_a_chinese_question_gets_the_chinese_entry(client):
    response = await client.post("/support/conversations/c/messages", json={"text": "怎么申请退货？"})
    assert response.json()["citations"][0]["entry_id"] == "demo-zh-return-how"


@pytest.mark.parametrize(("text", "start"), [("xylophone tuning in Peru", "I am sorry"), ("量子色动力学", "抱歉")])
async def test_nothing_fitting_gets_the_fallback_in_the_customers_language(client, text, start):
    reply = (await client.post("/support/conversations/f/messages", json={"text": text})).json()
    assert reply["answerable"] is False
    assert reply["text"].startswith(start)
    assert reply["citations"] == []


async def test_the_same_message_id_gets_the_same_reply_and_is_stored_once(client):
    body = {"text": "Where is my order?", "message_id": "1"}
    url = "/support/conversations/once/messages"
    replies = [response.json() for response in await asyncio.gather(*(client.post(url, json=body) for _ in range(8)))]
    assert len({reply["message_id"] for reply in replies}) == 1
    assert sum(not reply["repeated"] for reply in replies) == 1
    stored = (await client.get("/support/conversations/once")).json()
    assert len(stored["messages"]) == 2
    other = await client.post(url, json={"text": "Something else", "message_id": "1"})
    assert (other.status_code, other.json()["code"]) == (409, "message_id_reused")


async def test_an_entry_is_found_when_added_and_gone_when_deleted(client):
    body = {"entries": [{"id": "x1", "question": "Do you sell kites?", "answer": "In spring."}]}
    assert (await client.post("/support/knowledge", json=body)).status_code == 200
    found = (await client.get("/support/knowledge/search", params={"q": "kites", "limit": 1})).json()
    assert found["results"][0]["entry"]["id"] == "x1"
    assert (await client.delete("/support/knowledge/x1")).status_code == 204
    assert (await client.get("/support/knowledge/x1")).status_code == 404


async def test_entries_are_listed_page_by_page_each_once(client):
    seen, cursor = [], None
    while True:
        parameters = {"limit": 30, **({"cursor": cursor} if cursor else {})}
        page = (await client.get("/support/knowledge", params=parameters)).json()
        seen += [entry["id"] for entry in page["entries"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert len(seen) == len(set(seen)) == 84


@pytest.mark.parametrize("text", ["", "   ", "x" * 4001])
async def test_a_message_that_cannot_be_used_is_422(client, text):
    response = await client.post("/support/conversations/bad/messages", json={"text": text})
    assert response.status_code == 422


async def test_with_stream_each_message_is_a_line_of_json_as_rasa_sends_it(client):
    body = {"sender": "s", "message": "Where is my order?", "metadata": {"message_id": "m-1"}}
    response = await client.post("/webhooks/rest/webhook", params={"stream": "true"}, json=body)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    (line,) = response.text.splitlines()
    again = (await client.post("/webhooks/rest/webhook", json=body)).json()
    assert json.loads(line) == again[0]


async def test_messages_and_conversations_are_paged_by_cursor_each_once(client):
    for name in ("p1", "p2", "p3"):
        for number in range(2):
            await client.post(f"/support/conversations/{name}/messages", json={"text": f"Where is my order? {number}"})
    for url, key, expected in (
        ("/support/conversations", "conversations", 3),
        ("/support/conversations/p1", "messages", 4),
    ):
        seen, cursor = [], None
        while True:
            page = (await client.get(url, params={"limit": 2, **({"cursor": cursor} if cursor else {})})).json()
            seen += [item["id"] for item in page[key]]
            if (cursor := page["next_cursor"]) is None:
                break
        assert len(seen) == len(set(seen)) == expected
    broken = await client.get("/support/conversations", params={"cursor": "nonsense"})
    assert (broken.status_code, broken.json()["code"]) == (400, "bad_cursor")


async def test_a_deleted_conversation_is_gone_and_its_sender_starts_anew(client):
    url = "/support/conversations/d"
    await client.post(f"{url}/messages", json={"text": "Where is my order?"})
    assert (await client.delete(url)).status_code == 204
    assert (await client.get(url)).status_code == 404
    await client.post(f"{url}/messages", json={"text": "Where is my order?"})
    assert (await client.get(url)).json()["conversation"]["turns"] == 1
