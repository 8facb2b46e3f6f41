"""The real model behind the plugin: plain sentences in both languages get the label that a reader gives them."""

from __future__ import annotations

from pathlib import Path

import pytest
from litestar.testing import AsyncTestClient

from parlance.errors import ParlanceError
from parlance.settings import load_settings

SENTENCES = {
    "Lumen Harbor Bank lifts dividend after record annual profit": "positive",
    "Investors sue Borealis Motors, alleging it hid brake defects": "negative",
    "Tidewater Foods to report results on 14 August": "neutral",
    "公司净利润同比增长46%，上调全年业绩预期": "positive",
    "公司预计全年巨额亏损，股价暴跌": "negative",
}


@pytest.mark.models
async def test_plain_sentences_are_labelled_as_a_reader_would(tmp_path: Path) -> None:
    from parlance.app import build

    app = build(load_settings(flags={"database.url": f"sqlite:///{tmp_path / 'x.sqlite'}", "server.auth": "off"}))
    try:
        app.registry.resolve(app.contexts["sentiment"].settings.model)
    except ParlanceError as error:
        pytest.skip(f"fin-sentiment is not built: {error}")
    async with AsyncTestClient(app.asgi) as client:
        answer = await client.post("/sentiment/documents", json=[{"text": text} for text in SENTENCES])
    assert answer.status_code == 200, answer.text
    got = {document["text"]: document["label"] for document in answer.json()["documents"]}
    assert got == SENTENCES
