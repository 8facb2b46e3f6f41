"""The outbox: written with its cause, signed, retried, logged, dead letters, and never lost."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest
from standardwebhooks import Webhook as Oracle

from parlance.clock import ManualClock
from parlance.errors import Conflict, NotFound, ValidationFailed
from parlance.http.client import HttpClient
from parlance.settings import HttpClientSettings, OutboxSettings
from parlance.storage.database import Database
from parlance.storage.delivery import Delivery
from parlance.storage.outbox import Outbox
from parlance.storage.webhooks import new_secret
from servers import Received, Receiver

DOCUMENTATION = Path(__file__).parents[3] / "docs" / "outbox.md"
SETTINGS = OutboxSettings(attempts=3, first_retry_s=10.0, timeout_s=5.0, concurrency=4)


@pytest.fixture
def clock() -> ManualClock:
    from datetime import UTC, datetime

    return ManualClock(datetime.now(UTC))


@pytest.fixture
def box(database: Database, clock: ManualClock) -> Outbox:
    return Outbox(database, settings=SETTINGS, clock=clock)


@pytest.fixture
async def delivery(box: Outbox):
    http = HttpClient(HttpClientSettings(allow_private=True))
    async with Delivery(box, http, seed=7) as made:
        yield made
    await http.close()


async def put(box: Outbox, **options) -> list[str]:
    async with box.database.transaction() as connection:
        return await box.put(connection, kind="alert.raised", body={"text": "利润下降 12%"}, **options)


def answering(*statuses: int, **headers: str):
    left = list(statuses)

    def answer(_: Received):
        return (left.pop(0) if len(left) > 1 else left[0]), headers, b'{"seen": "\xe5\xa5\xbd"}'

    return answer


async def test_a_message_is_signed_as_standard_webhooks_asks(box, delivery, receiver: Receiver) -> None:
    webhook = await box.add_webhook(name="desk", url=receiver.url + "/in?x=1", kinds=["alert.*"])
    (message_id,) = await put(box)
    await delivery.flush()
    (got,) = receiver.requests
    assert got.path == "/in?x=1"
    assert got.headers["webhook-id"] == message_id
    assert got.headers["host"] == receiver.url.removeprefix("http://")
    assert Oracle(webhook.secret).verify(got.body, got.headers)["data"] == {"text": "利润下降 12%"}
    assert json.loads(got.body)["type"] == "alert.raised"
    (message,) = await box.list_messages(status="delivered")
    assert (message.id, message.attempts, message.last_error) == (message_id, 1, None)
    (attempt,) = await box.attempts(message_id)
    assert (attempt.number, attempt.status, attempt.error) == (1, 204, None)


async def test_the_receiver_of_the_documentation_accepts_a_delivery_and_nothing_else(box, delivery, receiver) -> None:
    webhook = await box.add_webhook(name="desk", url=receiver.url)
    await put(box)
    await delivery.flush()
    (got,) = receiver.requests
    (example,) = [part for part in DOCUMENTATION.read_text("utf-8").split("```python\n") if "def genuine" in part]
    found: dict = {}
    exec(example.partition("```")[0], found)
    genuine = found["genuine"]
    assert genuine(webhook.secret, got.headers, got.body)
    assert not genuine(webhook.secret, got.headers, got.body + b" ")
    assert not genuine(new_secret(), got.headers, got.body)
    assert not genuine(webhook.secret, got.headers | {"webhook-timestamp": "1700000000"}, got.body)
    assert not genuine(webhook.secret, got.headers | {"webhook-signature": "v1,é"}, got.body)


async def test_a_message_of_a_rolled_back_transaction_is_not_sent(box, delivery, receiver) -> None:
    await box.add_webhook(name="desk", url=receiver.url)
    with pytest.raises(KeyError):
        async with box.database.transaction() as connection:
            await box.put(connection, kind="k", body={})
            raise KeyError
    await delivery.flush()
    assert receiver.requests == []


async def test_messages_go_to_the_endpoints_that_want_their_kind(box, delivery, receiver) -> None:
    await box.add_webhook(name="all", url=receiver.url + "/all")
    await box.add_webhook(name="alerts", url=receiver.url + "/alerts", kinds=["alert.*", "x"])
    await box.add_webhook(name="orders", url=receiver.url + "/orders", kinds=["order.*"])
    assert len(await put(box)) == 2
    assert len(await put(box, webhook="orders")) == 1
    assert len(await put(box, url=receiver.url + "/adhoc")) == 1
    assert len(await put(box, url=receiver.url + "/all")) == 1
    await delivery.flush()
    signed = {(r.path, "webhook-signature" in r.headers) for r in receiver.requests}
    assert signed == {("/all", True), ("/alerts", True), ("/orders", True), ("/adhoc", False)}
    with pytest.raises(NotFound, match="no webhook named 'nobody'"):
        await put(box, webhook="nobody")


async def test_failures_are_retried_with_growing_waits_then_become_dead_letters(box, delivery, receiver, clock) -> None:
    receiver.answer = answering(500)
    await box.add_webhook(name="desk", url=receiver.url)
    (message_id,) = await put(box)
    waits = []
    for _ in range(2):
        await delivery.flush()
        (message,) = await box.list_messages(status="pending")
        waits.append((message.due_at - clock.now()).total_seconds())
        clock.advance(waits[-1] + 0.001)
    assert 5.0 <= waits[0] <= 10.0 <= waits[1] <= 20.0
    await delivery.flush()
    (dead,) = await box.list_messages(status="dead")
    assert (dead.id, dead.attempts, dead.last_error) == (message_id, 3, "the endpoint answered 500")
    assert [a.status for a in await box.attempts(message_id)] == [500, 500, 500]
    assert (await box.attempts(message_id))[0].response_excerpt == '{"seen": "好"}'
    receiver.answer = answering(200)
    await box.redeliver(message_id)
    await delivery.flush()
    assert [m.id for m in await box.list_messages(status="delivered")] == [message_id]
    assert {r.headers["webhook-id"] for r in receiver.requests} == {message_id}
    assert await box.prune(before=clock.now() + timedelta(seconds=1)) == 1
    assert await box.list_messages() == []


@pytest.mark.parametrize("as_date", [False, True])
async def test_retry_after_is_honoured(box, delivery, receiver, clock, as_date: bool) -> None:
    value = (clock.now() + timedelta(seconds=300)).strftime("%a, %d %b %Y %H:%M:%S GMT") if as_date else "300"
    receiver.answer = answering(429, **{"retry-after": value})
    await box.add_webhook(name="desk", url=receiver.url)
    await put(box)
    await delivery.flush()
    (message,) = await box.list_messages(status="pending")
    assert 298 <= (message.due_at - clock.now()).total_seconds() <= 300


async def test_an_endpoint_that_is_gone_is_disabled(box, delivery, receiver) -> None:
    receiver.answer = answering(410)
    await box.add_webhook(name="desk", url=receiver.url)
    await put(box)
    await delivery.flush()
    (webhook,) = await box.list_webhooks()
    assert webhook.disabled_reason == "the endpoint answered 410 Gone"
    assert webhook.secret is None
    assert await put(box) == []
    (late,) = await put(box, webhook="desk")
    await delivery.flush()
    assert len(receiver.requests) == 1
    assert len(await box.list_messages(status="dead")) == 2
    await box.enable_webhook("desk")
    receiver.answer = answering(200)
    await box.redeliver(late)
    await delivery.flush()
    assert len(receiver.requests) == 2


@pytest.mark.parametrize(("answer", "error"), [(302, "answered 302"), (None, "outbound_failed")])
async def test_redirects_and_refused_connections_are_failures(box, delivery, receiver, answer, error) -> None:
    receiver.answer = answering(answer or 200, location="http://127.0.0.1:1/")
    await put(box, url=receiver.url if answer else "http://127.0.0.1:1/")
    await delivery.flush()
    (message,) = await box.list_messages(status="pending")
    assert error in message.last_error


async def test_a_private_address_is_refused_unless_allowed(box, receiver) -> None:
    guarded = HttpClient(HttpClientSettings())
    await put(box, url=receiver.url)
    await Delivery(box, guarded).flush()
    (message,) = await box.list_messages(status="pending")
    assert "address_refused" in message.last_error
    assert receiver.requests == []


async def test_two_processes_share_the_work_without_sending_twice(box, database_settings, clock, receiver) -> None:
    http = HttpClient(HttpClientSettings(allow_private=True))
    await box.add_webhook(name="desk", url=receiver.url)
    ids = [n for _ in range(30) for n in await put(box)]
    other = Database.open(database_settings)
    second = Outbox(other, settings=SETTINGS, clock=clock)
    await asyncio.gather(Delivery(box, http).flush(), Delivery(second, http).flush())
    assert sorted(r.headers["webhook-id"] for r in receiver.requests) == sorted(ids)
    await http.close()
    await other.close()


async def test_a_message_whose_sender_died_is_sent_when_its_claim_has_run_out(box, delivery, receiver, clock) -> None:
    await put(box, url=receiver.url)
    crashed = Delivery(box, HttpClient(HttpClientSettings()))
    assert len(await crashed._claim()) == 1
    await delivery.flush()
    assert receiver.requests == []
    clock.advance(2 * SETTINGS.timeout_s + 31)
    await delivery.flush()
    assert len(receiver.requests) == 1


async def test_a_slow_endpoint_does_not_stop_the_others(box, receiver) -> None:
    """Half of the slots stay free for others, however many messages wait for the slow one."""

    class Stuck:
        async def request(self, method, url, **options):
            if "slow" in url:
                await asyncio.Event().wait()
            return await http.request(method, url, **options)

    http = HttpClient(HttpClientSettings(allow_private=True))
    for _ in range(10):
        await put(box, url="http://slow.test/")
    await put(box, url=receiver.url)
    delivery = Delivery(box, Stuck())
    async with asyncio.timeout(20):
        while not await box.list_messages(status="delivered"):
            await delivery.run()
    await delivery.close(drain_s=0)
    await http.close()


async def test_removing_an_endpoint_makes_its_messages_dead_letters(box, delivery, receiver) -> None:
    await box.add_webhook(name="desk", url=receiver.url)
    (message_id,) = await put(box)
    await box.remove_webhook("desk")
    await box.redeliver(message_id)
    await delivery.flush()
    (dead,) = await box.list_messages(status="dead")
    assert dead.last_error == "the endpoint was removed"
    for call in (box.remove_webhook("desk"), box.enable_webhook("desk"), box.redeliver("x"), box.attempts("x")):
        with pytest.raises(NotFound):
            await call


async def test_bad_endpoints_are_refused(box: Outbox) -> None:
    for url in ("ftp://x/", "nothing", "http://", "http://x:99999/"):
        with pytest.raises(ValidationFailed):
            await box.add_webhook(name="desk", url=url)
    for options in ({"secret": "whsec_eA=="}, {"secret": "plain"}, {"kinds": []}, {"kinds": [" "]}):
        with pytest.raises(ValidationFailed):
            await box.add_webhook(name="desk", url="http://x/", **options)
    await box.add_webhook(name="desk", url="http://x/")
    with pytest.raises(Conflict, match="exists already"):
        await box.add_webhook(name="desk", url="http://x/")


async def test_messages_are_listed_in_pages_newest_first(box: Outbox, clock: ManualClock) -> None:
    ids = []
    for _ in range(5):
        ids += await put(box, url="http://x.test/")
        clock.advance(1)
    first = await box.list_messages(limit=3)
    rest = await box.list_messages(limit=3, cursor=first[-1].id)
    assert [m.id for m in [*first, *rest]] == ids[::-1]
