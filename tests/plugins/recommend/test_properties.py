"""What holds for every ranking, whatever goes in."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from parlance_recommend.behaviour.event import moment_ms
from parlance_recommend.behaviour.signal import Signal
from parlance_recommend.catalogue.item import merge_fields
from parlance_recommend.ranking.popularity import DAY_MS, Popularity
from parlance_recommend.ranking.profile import build_profile, group_interests
from parlance_recommend.ranking.score import score
from parlance_recommend.ranking.space import fit_space
from parlance_recommend.ranking.weights import Weights
from parlance_recommend.ranking.writing import writing_of

WIDTH = 8


def units(count: int, seed: int) -> np.ndarray:
    found = np.random.default_rng(seed).normal(size=(count, WIDTH)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@settings(max_examples=60, deadline=None)
@given(
    candidates=st.integers(0, 30),
    history=st.integers(0, 15),
    seed=st.integers(0, 10_000),
    breadth=st.floats(0, 1),
    nearest=st.integers(1, 20),
)
def test_a_ranking_is_a_permutation_and_contributions_sum_to_scores(
    candidates: int, history: int, seed: int, breadth: float, nearest: int
) -> None:
    generator = np.random.default_rng(seed)
    vectors = units(history, seed + 1)
    signals = [Signal(str(n), float(generator.uniform(0, 4)), n * DAY_MS, "click") for n in range(history)]
    known = {str(n): vectors[n] for n in range(history)}
    profile = build_profile(signals, known, now_ms=history * DAY_MS, half_life_days=10, width=WIDTH)
    scored = score(
        profile,
        units(candidates, seed),
        popularity=generator.uniform(size=candidates),
        quality=generator.uniform(-1, 1, size=candidates),
        weights=Weights(breadth=breadth, nearest=nearest),
    )
    assert sorted(scored.order.tolist()) == list(range(candidates))
    assert np.allclose(scored.contributions.sum(axis=1), scored.scores, atol=1e-9)
    assert np.allclose(scored.shares.sum(axis=1), scored.contributions[:, :2].sum(axis=1), atol=1e-6)
    assert np.all(np.diff(scored.scores[scored.order]) <= 0)
    if history:
        assert abs(sum(one.share for one in group_interests(profile)) - 1) < 1e-9


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 5), st.integers(0, 400)), max_size=20),
    st.randoms(use_true_random=False),
)
def test_popularity_does_not_depend_on_the_order_of_events(
    events: list[tuple[str, float, int]], shuffler: object
) -> None:
    mixed = list(events)
    shuffler.shuffle(mixed)  # type: ignore[attr-defined]
    found = []
    for order in (events, mixed):
        popularity = Popularity(half_life_days=30, prior=10)
        for item, weight, day in order:
            popularity.add(item, weight=weight, at_ms=day * DAY_MS, rating=weight / 5)
        found.append(np.concatenate([popularity.popularity(list("abcd")), popularity.quality(list("abcd"))]))
    assert np.allclose(found[0], found[1], atol=1e-9)


@given(st.permutations([({"a": 1, "b": 1}, 1), ({"a": 2}, 2), ({"b": 3, "c": 3}, 3)]))
def test_fields_are_the_latest_in_whatever_order_they_come(events: list[tuple[dict[str, int], int]]) -> None:
    fields: dict[str, int] = {}
    times: dict[str, int] = {}
    for new, at_ms in events:
        fields, times = merge_fields(fields, times, new, at_ms)
    assert fields == {"a": 2, "b": 3, "c": 3}


@given(st.integers(0, 4_102_444_799_999))
def test_a_moment_reads_the_same_as_number_and_text(at_ms: int) -> None:
    assert moment_ms(at_ms) == moment_ms(str(at_ms)) == at_ms


def test_the_space_spreads_vectors_that_crowd_together() -> None:
    generator = np.random.default_rng(0)
    crowded = (generator.normal(size=(2000, WIDTH)) * 0.1 + np.eye(WIDTH)[0] * 3).astype(np.float32)
    crowded /= np.linalg.norm(crowded, axis=1, keepdims=True)
    writings = np.zeros(len(crowded), np.int64)
    spread = fit_space(crowded, writings, strength=0.5).project(crowded, writings)
    assert float((crowded[:500] @ crowded[500:1000].T).mean()) > 0.9
    assert abs(float((spread[:500] @ spread[500:1000].T).mean())) < 0.05


def test_texts_of_one_topic_lie_close_across_writing_systems() -> None:
    """A model that keeps two languages apart by a constant is seen through: the topic decides, not the language."""
    generator = np.random.default_rng(1)
    topic, writings = np.arange(200) % 4, np.arange(200) // 100
    raw = np.eye(WIDTH)[topic] + 3 * np.eye(WIDTH)[5 + writings] + generator.normal(size=(200, WIDTH)) * 0.1
    raw = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    spread = fit_space(raw, writings, strength=0.0).project(raw, writings)
    across, same_language = float(spread[0] @ spread[100]), float(spread[0] @ spread[1])
    assert raw[0] @ raw[100] < raw[0] @ raw[1]
    assert across > 0.8 > 0.2 > same_language


def test_the_writing_of_a_text_is_seen_through_foreign_names() -> None:
    texts = ["用 Python 整理照片", "A stove for windy ridges", "抹茶の淹れ方", "", "Tea from Wuyi (武夷山)"]
    assert [writing_of(text) for text in texts] == [1, 0, 1, 0, 0]
