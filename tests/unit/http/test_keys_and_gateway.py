"""Who may call, how often, and what is written down about it."""

from __future__ import annotations

import asyncio
import io
import logging
from datetime import timedelta

import msgspec
import pytest
import structlog
from click.testing import CliRunner
from litestar import get
from litestar.response import ServerSentEvent

from parlance.clock import ManualClock
from parlance.errors import ConfigError, NotFound, ValidationFailed
from parlance.http.api_keys import ApiKeys, Authenticator, check_exposure, keys_are_on
from parlance.http.auth import require_scope
from parlance.http.rate import RateLimiter
from parlance.observe import logging as log_setup
from parlance.settings import LogSettings, ServerSettings, Settings

ON = {"server.auth": "on"}


@get("/secret", guards=[require_scope("support:read")])
async def secret() -> str:
    return "ok"


async def test_a_route_with_a_scope_refuses_callers_without_a_key(serve):
    async with serve(secret, **ON) as server:
        response = await server.client.get("/secret")
        assert (response.status_code, response.json()["code"]) == (401, "api_key_missing")
        assert response.headers["www-authenticate"].startswith("Bearer")
        assert (await server.client.get("/health/live")).status_code == 200


@pytest.mark.parametrize("header", ["authorization", "x-api-key"])
async def test_a_key_with_the_scope_may_call(serve, header):
    async with serve(secret, **ON) as server:
        _, token = await server.keys.create("web", ["support:write"])
        value = f"Bearer {token}" if header == "authorization" else token
        assert (await server.client.get("/secret", headers={header: value})).text == "ok"


async def test_a_key_without_the_scope_is_forbidden(serve):
    async with serve(secret, **ON) as server:
        _, token = await server.keys.create("web", ["sentiment:read"])
        response = await server.client.get("/secret", headers={"x-api-key": token})
    assert (response.status_code, response.json()["scope"]) == (403, "support:read")


@pytest.mark.parametrize("token", ["plk_x", "nonsense", "plk_000000000000_" + "a" * 43, "é"])
async def test_an_unknown_key_is_refused(serve, token):
    async with serve(secret, **ON) as server:
        response = await server.client.get("/secret", headers={"x-api-key": token.encode()})
    assert (response.status_code, response.json()["code"]) == (401, "api_key_unknown")


async def test_a_key_with_the_right_id_and_a_wrong_secret_is_refused(database):
    keys = ApiKeys(database)
    key, _ = await keys.create("web", ["admin"])
    caller = await Authenticator(keys).identify(f"plk_{key.id}_{'a' * 43}")
    assert caller.refusal.code == "api_key_unknown"


async def test_a_revoked_key_is_refused_once_the_cache_has_forgotten_it(database):
    keys = ApiKeys(database)
    _, token = await keys.create("web", ["admin"])
    patient, strict = Authenticator(keys), Authenticator(keys, cache_s=0)
    assert (await patient.identify(token)).may("support:write")
    await keys.revoke("web")
    assert (await patient.identify(token)).refusal is None
    assert (await strict.identify(token)).refusal.code == "api_key_revoked"
    with pytest.raises(NotFound):
        await keys.revoke("web")


async def test_an_expired_key_is_refused(database):
    clock = ManualClock()
    keys = ApiKeys(database, clock=clock)
    _, token = await keys.create("web", ["admin"], valid_for=timedelta(days=1))
    door = Authenticator(keys, clock=clock)
    assert (await door.identify(token)).refusal is None
    assert await keys.any()
    clock.advance(86_400)
    assert (await door.identify(token)).refusal.code == "api_key_expired"
    assert not await keys.any()


async def test_the_secret_is_not_in_the_database(database):
    keys = ApiKeys(database)
    key, token = await keys.create("web", ["admin"])
    _, stored = await keys.find(key.id)
    assert token.rpartition("_")[2] not in stored
    assert len(stored) == 64


async def test_a_scope_that_cannot_be_one_is_refused(database):
    with pytest.raises(ValidationFailed, match="is not a scope"):
        await ApiKeys(database).create("web", ["everything"])


def test_a_public_address_needs_keys_unless_told_otherwise():
    def settings(**server):
        return Settings(server=ServerSettings(**server))

    check_exposure(settings(), any_keys=False)
    check_exposure(settings(host="::1"), any_keys=False)
    check_exposure(settings(host="0.0.0.0"), any_keys=True)
    check_exposure(settings(host="0.0.0.0", allow_anonymous=True), any_keys=False)
    with pytest.raises(ConfigError, match="no API key yet"):
        check_exposure(settings(host="0.0.0.0"), any_keys=False)
    with pytest.raises(ConfigError, match="keys are off"):
        check_exposure(settings(host="example.com", auth="off"), any_keys=True)
    assert keys_are_on(ServerSettings(host="10.0.0.1"))
    assert not keys_are_on(ServerSettings())


def test_a_bucket_empties_refills_and_tells_callers_apart():
    now = [0.0]
    limiter = RateLimiter(2, monotonic=lambda: now[0])
    assert [limiter.take("a").allowed for _ in range(3)] == [True, True, False]
    assert limiter.take("b").allowed
    assert limiter.take("a").reset_s == pytest.approx(30)
    now[0] = 30
    assert limiter.take("a").allowed


async def test_a_caller_over_its_rate_is_told_when_to_come_back(serve):
    async with serve(secret, **{"limits.requests_per_minute": 2}) as server:
        found = [await server.client.get("/secret") for _ in range(3)]
        assert (await server.client.get("/health/live")).status_code == 200
    assert [response.status_code for response in found] == [200, 200, 429]
    assert found[1].headers["ratelimit-remaining"] == "0"
    assert found[2].json()["code"] == "rate_limited"
    assert int(found[2].headers["retry-after"]) in range(28, 32)


async def test_a_request_id_is_kept_when_harmless_and_made_up_otherwise(serve):
    async with serve() as server:
        kept = await server.client.get("/", headers={"x-request-id": "abc-1"})
        made = await server.client.get("/", headers={"x-request-id": "a b\x7f<script>"})
    assert kept.headers["x-request-id"] == "abc-1"
    assert len(made.headers["x-request-id"]) == 16


async def test_one_summary_line_per_request_without_the_text(serve):
    stream = io.StringIO()
    handlers, level = logging.root.handlers[:], logging.root.level
    try:
        log_setup.configure(LogSettings(format="json"), stream=stream)
        async with serve() as server:
            await server.client.post("/v1/embeddings", json={"model": "m", "input": "my secret text"})
            await server.client.get("/secret-path-of-a-user")
            await server.client.get("/health/live")
    finally:
        structlog.reset_defaults()
        logging.root.handlers[:], logging.root.level = handlers, level
    lines = [msgspec.json.decode(line) for line in stream.getvalue().splitlines()]
    requests = [line for line in lines if line["event"] == "request"]
    assert [(line["route"], line["status"]) for line in requests] == [("/v1/embeddings", 200), ("(none)", 404)]
    assert requests[0]["stages_ms"].keys() >= {"encode"}
    assert requests[0]["caller"] == "anonymous"
    assert requests[1]["code"] == "route_not_found"
    assert "secret" not in stream.getvalue()


async def test_metrics_count_requests_by_route_template(serve):
    async with serve() as server:
        await server.client.get("/docs/assets/none.js")
        body = (await server.client.get("/metrics")).text
    assert 'parlance_http_requests_total{method="GET",route="/docs/assets/{name}",status="404"} 1.0' in body
    assert "process_cpu_seconds_total" in body


def test_keys_can_be_made_listed_and_revoked_from_the_command_line(tmp_path, monkeypatch):
    from parlance.cli.keys import keys

    monkeypatch.chdir(tmp_path)
    (tmp_path / "parlance.toml").write_text(f'[database]\nurl = "sqlite:///{tmp_path}/k.sqlite"\n')
    run = CliRunner().invoke
    made = run(keys, ["create", "web", "--scope", "models:use", "--expires", "30d", "--json"], catch_exceptions=False)
    key = msgspec.json.decode(made.stdout)
    assert key["key"].startswith(f"plk_{key['id']}_")
    listed = msgspec.json.decode(run(keys, ["list", "--json"]).stdout)
    assert [(item["name"], item["state"]) for item in listed] == [("web", "in force")]
    assert "Revoked" in run(keys, ["revoke", "web"]).stdout
    assert "revoked" in run(keys, ["list"]).stdout
    assert run(keys, ["create", "web", "--scope", "admin", "--expires", "soon"]).exit_code == 2


async def test_the_last_use_of_a_key_is_written_down_away_from_the_request(serve):
    """A request only takes note; the job writes, and a later time that is there already stands."""
    from parlance.http.builtin.admin import AdminPlugin

    async with serve(secret, **ON) as server:
        key, token = await server.keys.create("web", ["support:read"])
        other, _ = await server.keys.create("idle", ["support:read"])
        await server.client.get("/secret", headers={"x-api-key": token})
        before = {found.id: found.last_used_at for found in await server.keys.list_keys()}
        [job] = AdminPlugin(server.state).parlance_jobs(server.context)
        used = server.state.key_uses[key.id]
        await job.run()
        await server.keys.note_use({key.id: used - timedelta(hours=1)})
        after = {found.id: found.last_used_at for found in await server.keys.list_keys()}
    assert job.every_s >= 60
    assert before == {key.id: None, other.id: None}
    assert after == {key.id: used, other.id: None}
    assert server.state.key_uses == {}


async def test_an_open_event_stream_ends_when_the_server_stops(serve):
    """The stream gets a proper end, and is counted as in flight until then; probes are not counted.

    The application is called directly, because HTTP clients for tests hold the loop until the answer is whole.
    """
    first = asyncio.Event()
    body = bytearray()

    async def endless():
        yield "first"
        await asyncio.Event().wait()

    @get("/events")
    async def events() -> ServerSentEvent:
        return ServerSentEvent(endless())

    asked = asyncio.Queue()
    asked.put_nowait({"type": "http.request", "body": b"", "more_body": False})

    async def send(message):
        body.extend(message.get("body", b""))
        if b"first" in body:
            first.set()

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/events",
        "raw_path": b"/events",
        "query_string": b"",
        "headers": [],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    async with serve(events) as server:
        answering = asyncio.create_task(server.client.app(scope, asked.get, send))
        await asyncio.wait_for(first.wait(), 10)
        during = (await server.client.get("/metrics")).text
        server.state.drain()
        await asyncio.wait_for(answering, 10)
        after = (await server.client.get("/metrics")).text
    assert "data: first" in body.decode()
    assert "parlance_http_inflight_requests 1.0" in during
    assert "parlance_http_inflight_requests 0.0" in after
