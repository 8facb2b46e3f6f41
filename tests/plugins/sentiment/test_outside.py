"""What leaves the plugin and what is loaded into it: webhooks, imports, demonstration data, command line."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from standardwebhooks import Webhook

from parlance.errors import BadInput
from parlance.http.client import HttpClient
from parlance.settings import HttpClientSettings
from parlance_sentiment.commands import sentiment
from parlance_sentiment.demo.loading import demo, demo_drafts
from parlance_sentiment.importing import import_documents
from parlance_sentiment.readiness import model_check
from parlance_sentiment.schemas import DocumentIn
from parlance_sentiment.settings import SentimentSettings
from parlance_sentiment.store.alerts import AlertQuery
from parlance_sentiment.store.documents import DocumentQuery


class Receiver:
    """A small HTTP server that keeps the requests it gets."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        names = {
            line.split(": ", 1)[0].lower(): line.split(": ", 1)[1] for line in head.split("\r\n")[1:] if ": " in line
        }
        body = await reader.readexactly(int(headers["content-length"]))
        self.requests.append((names, body))
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()


async def test_an_alert_arrives_at_a_webhook_with_a_valid_signature(world: Any) -> None:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = HttpClient(HttpClientSettings(allow_private=True))
    try:
        hook = await world.outbox.add_webhook(
            name="desk", url=f"http://127.0.0.1:{port}/alerts", kinds=["sentiment.alert.*"]
        )
        await world.service.ingest([DocumentIn(text=f"Loss {n}", companies=("星澜科技",)) for n in range(3)])
        await world.outbox.delivery(client).flush()
    finally:
        await client.close()
        server.close()
        await server.wait_closed()
    assert len(receiver.requests) == 1
    headers, body = receiver.requests[0]
    sent_at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
    expected = Webhook(hook.secret).sign(headers["webhook-id"], sent_at, body.decode())
    assert expected in headers["webhook-signature"].split()
    message = json.loads(body)
    assert message["type"] == "sentiment.alert.firing"
    assert message["data"]["alerts"][0]["labels"]["company"] == "星澜科技"
    assert message["data"]["alert"]["evidence"]["negative"] == 3


def read_lines(file: str | None) -> list[Any]:
    """The rows of a rejects file."""
    return [json.loads(line) for line in Path(str(file)).read_text("utf-8").splitlines()]


async def test_a_csv_is_imported_with_mapped_columns_and_a_rejects_file(world: Any, tmp_path: Path) -> None:
    file = tmp_path / "news.csv"
    rows = (
        "headline,published_at,companies,topics\n"
        "营收增长,2026-03-01,青禾食品;云岭银行,results\nbad date,soon,,\n,2026-03-01,,\n"
    )
    file.write_bytes(rows.encode("gb18030"))
    report = await import_documents(world.service, file, columns={"text": "headline"})
    assert (report.rows, report.stored, report.rejected, report.encoding) == (3, 1, 2, "gb18030")
    rejects = read_lines(report.rejects_file)
    assert [one["line"] for one in rejects] == [3, 4]
    assert "no date or time" in rejects[0]["reason"]
    page, _ = await world.service.documents(DocumentQuery(company="云岭银行"))
    assert page[0].topics == ("results",)
    again = await import_documents(world.service, file, columns={"text": "headline"})
    assert (again.stored, again.unchanged) == (0, 1)


async def test_json_lines_are_imported_and_a_file_without_texts_is_refused(world: Any, tmp_path: Path) -> None:
    file = tmp_path / "news.jsonl"
    file.write_text('{"text": "Profit rose", "companies": ["A"]}\n{"text": 5}\n[1]\n', "utf-8")
    report = await import_documents(world.service, file, columns={})
    assert (report.stored, report.rejected) == (1, 2)
    table = tmp_path / "x.csv"
    table.write_text("a,b\n1,2\n", "utf-8")
    with pytest.raises(BadInput, match="no column text"):
        await import_documents(world.service, table, columns={})


def test_the_demonstration_has_120_headlines_in_both_languages_with_one_surge(world: Any) -> None:
    drafts = demo_drafts(now=world.clock.now(), limits=world.service.draft_limits())
    assert len({draft.id for draft in drafts}) == len({draft.text for draft in drafts}) == 120
    languages = [draft.language for draft in drafts]
    assert min(languages.count("en"), languages.count("zh")) > 50
    recent = [draft for draft in drafts if draft.published_at and (world.clock.now() - draft.published_at).days < 1]
    busiest = max(
        {name for draft in recent for name in draft.companies},
        key=lambda name: sum(name in d.companies for d in recent),
    )
    assert busiest == "Borealis Motors"


async def test_the_demonstration_loads_once_and_raises_its_alert(database_settings: Any, opener: Any) -> None:
    async with opener(database_settings, SentimentSettings()) as world:
        world.engine.classifier = lambda text: (
            {"positive": 0.05, "neutral": 0.05, "negative": 0.9}
            if "Borealis" in text
            else {"positive": 0.1, "neutral": 0.8, "negative": 0.1}
        )
        async with demo(world.context) as tips:
            assert any("/sentiment/alerts" in tip for tip in tips)
        world.clock.advance(3600)
        calls = len(world.engine.calls)
        async with demo(world.context):
            assert len(world.engine.calls) == calls
        alerts, _ = await world.service.alerts(AlertQuery())
        assert [alert.key for alert in alerts] == ["company:Borealis Motors"]
        trend = await world.service.trends(["all"])
        assert trend.series[0].totals.documents == 120


async def test_readiness_says_which_model_answered_or_why_none_did(world: Any) -> None:
    from parlance.errors import NotFound

    check = model_check(world.context)
    world.engine.errors = [NotFound("There is no model 'fin-sentiment'.", code="unknown_model")]
    first = await check.run()
    assert (first.ok, first.detail) == (False, "unknown_model: There is no model 'fin-sentiment'.")
    second = await check.run()
    assert (second.ok, second.detail) == (True, "fin-sentiment@fake")


class TestCommands:
    @pytest.fixture
    def run(self, world: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
        """Runs a command over the test's own service, in a thread of its own event loop."""
        from contextlib import asynccontextmanager

        import parlance_sentiment.opening as opening

        @asynccontextmanager
        async def opened(_: Any, *, models: bool) -> Any:
            await world.database.close()
            yield world.service
            await world.database.close()

        monkeypatch.setattr(opening, "opened", opened)

        async def invoke(*arguments: str) -> Any:
            await world.database.close()
            return await asyncio.to_thread(CliRunner().invoke, sentiment, list(arguments), catch_exceptions=False)

        return invoke

    async def test_label_prints_one_row_per_text(self, run: Any) -> None:
        result = await run("label", "Profit rose", "公司亏损", "--json")
        assert [row["label"] for row in json.loads(result.output)] == ["positive", "negative"]
        assert "positive" in (await run("label", "Profit rose")).output

    async def test_import_trends_alerts_and_rules(self, run: Any, tmp_path: Path) -> None:
        file = tmp_path / "n.jsonl"
        file.write_text("".join(f'{{"text": "Loss {n}", "companies": ["A"]}}\n' for n in range(3)), "utf-8")
        assert "3 rows: 3 stored" in (await run("import", str(file))).output
        assert json.loads((await run("import", str(file), "--json")).stdout)["unchanged"] == 3
        trends = json.loads((await run("trends", "--key", "company:A", "--json")).output)
        assert trends["series"][0]["totals"]["negative"] == 3
        assert "company:A" in (await run("trends", "--key", "company:A")).output
        assert json.loads((await run("alerts", "--json")).output)[0]["key"] == "company:A"
        assert "firing" in (await run("alerts", "--state", "firing")).output
        assert "nothing" in (await run("alerts", "--state", "resolved")).output
        assert json.loads((await run("rules", "--json")).output)[0]["name"] == "surge"
        assert (await run("import", str(file), "--column", "x")).exit_code == 2


def test_settings_decode_rules_from_plain_values() -> None:
    settings = msgspec.convert({"rules": [{"name": "a", "kind": "threshold.v1", "window": "1d"}]}, SentimentSettings)
    assert settings.rules[0].window == "1d"
    with pytest.raises(msgspec.ValidationError, match=r"\$\.rules\[0\]"):
        msgspec.convert({"rules": [{"name": "a", "window": "x"}]}, SentimentSettings)
