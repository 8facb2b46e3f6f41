"""Terms: the same for texts that a reader takes for the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parlance.search.analysis import detect_language, terms


def test_english_is_lowered_stemmed_and_freed_of_stop_words():
    assert terms("How do I get REFUNDS for my orders?") == ["how", "get", "refund", "order"]


def test_inflected_forms_meet_in_one_stem():
    assert terms("deliveries") == terms("delivery") == terms("Delivery's")


def test_chinese_becomes_characters_and_overlapping_pairs():
    assert terms("退款政策") == ["退", "款", "政", "策", "退款", "款政", "政策"]


def test_chinese_particles_alone_are_dropped_but_pairs_with_them_are_kept():
    assert terms("坏了") == ["坏", "坏了"]


def test_full_width_and_compatibility_forms_equal_the_plain_ones():
    assert terms("ＶＩＰ１２３ ﬁne") == terms("vip123 fine")


def test_a_mixed_text_is_split_at_the_change_of_script():
    assert terms("iPhone15怎么退") == ["iphone15", "怎", "退", "怎么", "么退"]


def test_a_text_of_stop_words_alone_keeps_them():
    assert terms("is it") == ["is", "it"]


@pytest.mark.parametrize("text", ["", "  ", "?!…", "😀"])
def test_a_text_without_words_has_no_terms(text):
    assert terms(text) == []


def test_an_endless_word_is_cut():
    assert [len(term) for term in terms("x" * 10_000)] == [64]


@given(st.text())
def test_any_text_has_terms_without_blanks_and_analysis_is_stable(text):
    found = terms(text)
    assert found == terms(text)
    assert all(term and not any(character.isspace() for character in term) for term in found)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Where is my order?", "en"),
        ("我的订单在哪里？", "zh"),
        ("iPhone 怎么退货", "zh"),
        ("My 订单 number is missing from the confirmation mail", "en"),
        ("Где мой заказ?", None),
        ("12345", None),
        ("", None),
    ],
)
def test_language_is_told_by_script(text, language):
    assert detect_language(text) == language
