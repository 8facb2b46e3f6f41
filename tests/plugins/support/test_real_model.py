"""The real embedding model and the shipped calibration: questions put in other words are answered, others are not.

The questions were not used for fitting.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from parlance.errors import ParlanceError
from parlance.session import open_context
from parlance_support.demo import load
from parlance_support.service import SupportService

pytestmark = [pytest.mark.models, pytest.mark.xdist_group("support-model")]

KNOWN = {
    "How do I return an item?": "demo-en-return-how",
    "我想退货,应该怎么办?": "demo-zh-return-how",
    "如何退货": "demo-zh-return-how",
}
ANSWERED = [
    *KNOWN,
    "快递多久能到？",
    "发票怎么开",
    "怎么联系客服",
    "Can I pay with a credit card?",
    "My parcel came damaged, what now?",
]
FOREIGN = ["What is the capital of Mongolia?", "推荐一部好看的科幻电影", "今天天气怎么样", "How tall is Mount Everest?"]


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[SupportService]:
    config = tmp_path / "parlance.toml"
    config.write_text(f'[database]\nurl = "sqlite:///{tmp_path / "shop.sqlite"}"\n')
    async with open_context({"config": config}, "support") as context:
        try:
            await context.engine.embed(["ready?"], model=context.settings.embedding_model)
        except ParlanceError as error:
            pytest.skip(f"the embedding model is not built: {error}")
        async with load(context):
            yield SupportService(context)


async def test_questions_in_other_words_are_answered_in_both_languages(service: SupportService) -> None:
    decisions = {text: (await service.ask(text)).decision for text in ANSWERED}
    refused = {text: found.confidence for text, found in decisions.items() if not found.answerable}
    assert refused == {}
    assert {text: decisions[text].citations[0].entry_id for text in KNOWN} == KNOWN


async def test_questions_about_something_else_get_the_fallback_in_both_languages(service: SupportService) -> None:
    decisions = {text: (await service.ask(text)).decision for text in FOREIGN}
    assert {text: found.confidence for text, found in decisions.items() if found.answerable} == {}
