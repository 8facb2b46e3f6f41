"""The exact vector index, checked against plain numpy."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from parlance.errors import ValidationFailed
from parlance.search.vectors import VectorIndex


def unit(rows: int, width: int = 16, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_search_gives_the_same_order_and_cosines_as_a_full_sort():
    vectors, query = unit(500), unit(1, seed=1)[0]
    index = VectorIndex(16)
    index.upsert([str(row) for row in range(500)], vectors)
    cosines = vectors @ query
    expected = np.argsort(-cosines, kind="stable")[:10]
    found = index.search(query, limit=10)
    assert [name for name, _ in found] == [str(row) for row in expected]
    np.testing.assert_allclose([score for _, score in found], cosines[expected], atol=1e-6)


def test_an_upsert_replaces_and_a_delete_hides():
    vectors = unit(3)
    index = VectorIndex(16)
    index.upsert(["a", "b"], vectors[:2])
    index.upsert(["a"], vectors[2:])
    assert len(index) == 2
    assert index.search(vectors[2], limit=1)[0][0] == "a"
    assert index.delete(["a", "unknown"]) == 1
    assert [name for name, _ in index.search(vectors[2], limit=5)] == ["b"]


def test_filters_leave_only_what_has_all_their_values():
    vectors = unit(4)
    index = VectorIndex(16)
    kinds = [{"language": "en", "kind": "q"}, {"language": "zh", "kind": "q"}, {"language": "en", "kind": "a"}, {}]
    index.upsert(list("abcd"), vectors, kinds)
    assert {name for name, _ in index.search(vectors[0], limit=9, filters={"language": "en"})} == {"a", "c"}
    assert [name for name, _ in index.search(vectors[0], limit=9, filters={"language": "en", "kind": "a"})] == ["c"]
    assert index.search(vectors[0], limit=9, filters={"language": "fr"}) == []


def test_filters_still_hold_after_later_changes():
    vectors = unit(3)
    index = VectorIndex(16)
    index.upsert(["a"], vectors[:1], [{"k": "1"}])
    assert index.search(vectors[0], limit=5, filters={"k": "1"})
    index.upsert(["b", "a"], vectors[1:], [{"k": "1"}, {"k": "2"}])
    assert [name for name, _ in index.search(vectors[0], limit=5, filters={"k": "1"})] == ["b"]


def test_replacing_everything_many_times_does_not_grow_without_bound():
    index = VectorIndex(16)
    for seed in range(20):
        index.upsert([str(row) for row in range(400)], unit(400, seed=seed))
    assert len(index) == 400
    assert index.work() <= (1024 + 3 * 400) * 16
    last = unit(400, seed=19)
    assert [index.search(last[row], limit=1)[0][0] for row in (0, 123, 399)] == ["0", "123", "399"]


def test_a_wrong_width_is_refused_with_both_numbers():
    with pytest.raises(ValidationFailed, match=r"\(2, 8\).*width 16"):
        VectorIndex(16).upsert(["a", "b"], unit(2, width=8))


def test_an_empty_index_finds_nothing():
    assert VectorIndex(16).search(unit(1)[0], limit=3) == []


def test_searches_beside_changes_never_fail_and_never_see_a_vector_twice():
    index, query = VectorIndex(16), unit(1, seed=3)[0]
    names = [str(row) for row in range(300)]
    index.upsert(names, unit(300))
    problems: list[str] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            found = [name for name, _ in index.search(query, limit=300)]
            if len(found) != len(set(found)) or not found:
                problems.append(f"{len(found)} found, {len(set(found))} distinct")

    reader = threading.Thread(target=look)
    reader.start()
    for seed in range(60):
        index.upsert(names, unit(300, seed=seed))
        index.delete([str(seed)])
    done.set()
    reader.join()
    assert problems == []
