"""Reciprocal rank fusion, by hand."""

from __future__ import annotations

import pytest

from parlance.search.fusion import fuse


def test_the_scores_are_those_of_the_formula():
    fused = dict(fuse([["a", "b"], ["b", "c"]]))
    assert fused == pytest.approx({"a": 1 / 61, "b": 1 / 62 + 1 / 61, "c": 1 / 62})


def test_what_both_rankings_have_comes_first():
    assert [item for item, _ in fuse([["a", "b"], ["c", "b"]])] == ["b", "a", "c"]


def test_a_weight_counts_one_ranking_more():
    assert next(item for item, _ in fuse([["a"], ["b"]], weights=[1.0, 2.0])) == "b"
