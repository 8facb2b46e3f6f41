"""The full-text index: words of both languages, filters, and nothing that is an operator."""

from __future__ import annotations

import pytest

from parlance.search.fulltext import FullTextIndex


@pytest.fixture
def index():
    made = FullTextIndex()
    made.change(
        [
            ("refund", "How do I get a refund?", {"language": "en"}),
            ("track", "Where is my parcel, can I track it?", {"language": "en"}),
            ("tuikuan", "如何申请退款？", {"language": "zh"}),
            ("wuliu", "在哪里查看物流进度？", {"language": "zh"}),
        ]
    )
    return made


def names(found):
    return [name for name, _ in found]


def test_words_are_found_in_other_forms(index):
    assert names(index.search("REFUNDING", limit=5)) == ["refund"]


def test_a_two_character_chinese_word_inside_a_sentence_is_found(index):
    assert names(index.search("退款", limit=5)) == ["tuikuan"]


def test_filters_narrow_and_do_not_score(index):
    free = dict(index.search("refund parcel", limit=5))
    filtered = dict(index.search("refund parcel", limit=5, filters={"language": "en"}))
    assert filtered == pytest.approx(free)
    assert index.search("refund", limit=5, filters={"language": "zh"}) == []


def test_a_change_replaces_and_deletes_in_one_step(index):
    index.change([("refund", "Warranty claims", {})], ["track"])
    assert len(index) == 3
    assert index.search("refund parcel", limit=5) == []
    assert names(index.search("warranty", limit=5)) == ["refund"]


@pytest.mark.parametrize("text", ['refund" OR *', "refund) AND (x", "id:refund", "+refund -parcel", "refund\x1f\x00"])
def test_nothing_in_a_query_is_an_operator(index, text):
    assert "refund" in names(index.search(text, limit=5))


def test_a_text_without_words_finds_nothing(index):
    assert index.search("?!", limit=5) == []


def test_a_very_long_query_is_answered(index):
    assert names(index.search("refund " + " ".join(f"word{number}" for number in range(20_000)), limit=2)) == ["refund"]
