"""The core's own routes: inference, health, administration, console."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from parlance.plugins.items import Check, CheckResult, ConsolePage
from parlance.plugins.state import Owned

TEXTS = ["My card was declined.", "我的银行卡被拒了。"]


async def test_embeddings_come_as_floats_and_as_base64_alike(serve):
    async with serve() as server:
        floats = await server.client.post("/v1/embeddings", json={"model": "m", "input": TEXTS})
        packed = await server.client.post(
            "/v1/embeddings", json={"model": "m", "input": TEXTS, "encoding_format": "base64"}
        )
    assert floats.status_code == packed.status_code == 200
    body = floats.json()
    assert body["object"] == "list"
    assert [item["index"] for item in body["data"]] == [0, 1]
    for one, other in zip(body["data"], packed.json()["data"], strict=True):
        vector = np.frombuffer(base64.b64decode(other["embedding"]), dtype="<f4")
        assert np.array_equal(vector, np.array(one["embedding"], dtype=np.float32))
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


async def test_fewer_dimensions_are_the_first_ones_rescaled(serve):
    async with serve() as server:
        ask = {"model": "m", "input": "hello world"}
        whole = (await server.client.post("/v1/embeddings", json=ask)).json()["data"][0]["embedding"]
        short = (await server.client.post("/v1/embeddings", json={**ask, "dimensions": len(whole)})).json()
        over = await server.client.post("/v1/embeddings", json={**ask, "dimensions": len(whole) + 1})
    assert np.allclose(short["data"][0]["embedding"], whole)
    assert over.status_code == 422


@pytest.mark.parametrize(
    ("given", "status", "code"),
    [
        ([1, 2, 3], 422, "token_ids_not_supported"),
        ([[1, 2], [3]], 422, "token_ids_not_supported"),
        ([], 422, "empty_batch"),
        ("", 422, "empty_text"),
        (["a", " \n"], 422, "empty_text"),
        (["a"] * 5, 413, "batch_too_large"),
        ("x" * 101, 422, "text_too_long"),
        (7, 422, "validation_failed"),
    ],
    ids=str,
)
async def test_input_that_is_not_texts_is_refused_by_name(serve, given, status, code):
    async with serve(**{"limits.batch_texts": 4, "limits.text_chars": 100}) as server:
        response = await server.client.post("/v1/embeddings", json={"model": "m", "input": given})
    assert (response.status_code, response.json()["code"]) == (status, code)


async def test_native_routes_answer_in_order(serve):
    async with serve() as server:
        found = await server.client.post("/v1/classify", json={"model": "m", "texts": ["profit up", "股价下跌"]})
        scores = await server.client.post("/v1/score", json={"model": "m", "pairs": [["a b", "a b"], ["a", "z"]]})
        tags = await server.client.post("/v1/tag", json={"model": "m", "texts": ["a"]})
        blank = await server.client.post("/v1/score", json={"model": "m", "pairs": [["a", " "]]})
    assert len(found.json()["results"]) == 2
    assert found.json()["results"][1]["label"] == "negative"
    assert len(scores.json()["scores"]) == 2
    assert tags.json() == {"results": [{"spans": []}]}
    assert blank.json()["errors"][0]["path"] == "pairs[0][1]"


async def test_calls_are_charged_to_the_key(serve):
    async with serve(**{"server.auth": "on"}) as server:
        _, token = await server.keys.create("analyst", ["models:use"])
        headers = {"x-api-key": token}
        await server.client.post("/v1/embeddings", json={"model": "m", "input": "a"}, headers=headers)
    assert server.engine.calls[0].options.charge_to == "analyst"


async def test_readiness_names_the_plugin_that_is_not_ready(serve):
    async def bad() -> CheckResult:
        return CheckResult(False, "no index")

    async def raises() -> CheckResult:
        raise RuntimeError("oops")

    async with serve() as server:
        assert (await server.client.get("/health/ready")).json()["ready"] is True
        server.state.checks = [Owned("admin", Check("index", bad)), Owned("health", Check("x", raises))]
        response = await server.client.get("/health/ready")
    assert response.status_code == 503
    plugins = {plugin["name"]: plugin for plugin in response.json()["plugins"]}
    assert plugins["admin"]["checks"] == [{"name": "index", "ok": False, "detail": "no index"}]
    assert plugins["health"]["checks"][0]["detail"] == "RuntimeError: oops"


async def test_a_draining_server_is_alive_and_not_ready(serve):
    async with serve() as server:
        server.state.phase = "draining"
        assert (await server.client.get("/health/live")).status_code == 200
        response = await server.client.get("/health/ready")
    assert response.status_code == 503
    assert response.headers["connection"] == "close"


async def test_webhooks_are_added_listed_and_removed(serve):
    async with serve() as server:
        ask = {"name": "alerts", "url": "https://example.com/h", "kinds": ["alert.*"]}
        made = await server.client.post("/admin/webhooks", json=ask)
        again = await server.client.post("/admin/webhooks", json=ask)
        listed = (await server.client.get("/admin/webhooks")).json()
        gone = await server.client.delete("/admin/webhooks/alerts")
        missing = await server.client.delete("/admin/webhooks/alerts")
        messages = await server.client.get("/admin/outbox?status=dead&limit=5")
        attempts = await server.client.get("/admin/outbox/none/attempts")
    assert made.status_code == 201
    assert made.json()["secret"].startswith("whsec_")
    assert again.status_code == 409
    assert listed[0]["secret"] is None
    assert gone.status_code == 204
    assert (missing.status_code, attempts.status_code) == (404, 404)
    assert messages.json() == []


async def test_the_effective_settings_hide_passwords(serve):
    async with serve(**{"database.url": "postgresql://me:hush@db/x"}) as server:
        response = await server.client.get("/admin/config")
    assert response.json()["settings"]["database"]["url"] == "postgresql://me:***@db/x"
    assert "hush" not in response.text


async def test_plugins_and_models_are_listed(serve):
    async with serve() as server:
        plugins = (await server.client.get("/admin/plugins")).json()
        models = await server.client.get("/admin/models")
        openai = await server.client.get("/v1/models")
    assert {"admin", "console", "health", "inference"} <= {plugin["name"] for plugin in plugins}
    assert models.status_code == 200
    assert openai.json()["object"] == "list"


async def test_the_documentation_needs_no_network(serve):
    async with serve() as server:
        page = await server.client.get("/docs")
        script = await server.client.get("/docs/assets/swagger-ui-bundle.js")
        tag = script.headers["etag"]
        again = await server.client.get("/docs/assets/swagger-ui-bundle.js", headers={"if-none-match": tag})
    assert "://" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert len(script.content) > 1_000_000
    assert (again.status_code, again.content) == (304, b"")


async def test_console_pages_of_plugins_are_served_and_listed(serve, tmp_path):
    html = tmp_path / "page.html"
    html.write_text("<p>你好</p>", encoding="utf-8")
    async with serve() as server:
        server.state.pages = [Owned("demo", ConsolePage("First <page>", "/first", html))]
        menu = await server.client.get("/console")
        page = await server.client.get("/console/demo/first")
    assert '<a href="/console/demo/first">demo: First &lt;page&gt;</a>' in menu.text
    assert page.text == "<p>你好</p>"
