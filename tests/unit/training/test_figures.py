"""Scores, calibration, splits and recipes: hand-worked cases."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from parlance.errors import BadInput, ConfigError
from parlance.training.calibrate import abstention_threshold, fit_temperature, softmax
from parlance.training.data import Example, batches, pad, read_examples, split
from parlance.training.evaluate import score
from parlance.training.recipe import DataSet, load_recipe

RECIPE = """
[model]
name = "x"
base = "tiny"
task = "classify"
labels = ["good", "bad"]
[[train]]
name = "own"
file = "own.jsonl"
language = "en"
licence = "Apache-2.0"
commercial = true
"""


def test_scores_of_a_hand_worked_case() -> None:
    """Gold a a b b, chosen a b b b: accuracy 3/4, F1 of a 2/3, of b 4/5."""
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.1, 0.9]])
    scores = score(probabilities, np.array([0, 0, 1, 1]), ["a", "b"], threshold=0.7)
    assert scores.accuracy == 0.75
    assert scores.macro_f1 == pytest.approx((2 / 3 + 4 / 5) / 2, abs=1e-4)
    assert scores.labels["a"].precision == 1.0
    assert scores.labels["a"].recall == 0.5
    assert scores.accepted == 0.75
    assert scores.accepted_accuracy == 1.0


def test_a_choice_among_some_labels_ignores_the_others() -> None:
    probabilities = np.array([[0.2, 0.7, 0.1], [0.1, 0.7, 0.2]])
    scores = score(probabilities, np.array([0, 2]), ["p", "n", "m"], among=["p", "m"])
    assert scores.accuracy == 1.0


def test_the_temperature_undoes_a_known_scaling() -> None:
    """Labels drawn from softmax(z) and logits 3 z: the best temperature is 3, within sampling error."""
    chance = np.random.default_rng(1)
    logits = chance.normal(0, 1.5, (20_000, 3))
    gold = np.array([chance.choice(3, p=p) for p in softmax(logits)])
    assert fit_temperature(3.0 * logits, gold) == pytest.approx(3.0, rel=0.05)


def test_the_threshold_is_the_lowest_that_keeps_the_wanted_accuracy() -> None:
    probabilities = np.array([[0.95, 0.05], [0.9, 0.1], [0.8, 0.2], [0.6, 0.4]])
    gold = np.array([0, 0, 1, 1])
    assert abstention_threshold(probabilities, gold, accepted_accuracy=0.99) == pytest.approx(0.9)
    assert abstention_threshold(probabilities, gold, accepted_accuracy=0.5) == 0.5
    assert abstention_threshold(probabilities, 1 - gold, accepted_accuracy=0.99) == pytest.approx(0.95)


def test_a_split_is_the_same_whatever_the_order_and_repeated_texts_stay_together() -> None:
    rows = [Example(f"text {at}", at % 2, "s") for at in range(40)] + [Example("Text  1", 1, "s")]
    training, tuning = split(rows, 0.25)
    again = split(rows[::-1], 0.25)
    assert {e.text for e in tuning} == {e.text for e in again[1]}
    assert not {e.text.lower().split()[1] for e in training} & {e.text.lower().split()[1] for e in tuning}
    assert sum(e.label == 0 for e in tuning) == 5


def test_batches_hold_every_index_once() -> None:
    made = list(batches([3, 9, 4, 8, 5, 7, 1], 2, seed=1))
    assert sorted(at for batch in made for at in batch) == list(range(7))
    assert made == list(batches([3, 9, 4, 8, 5, 7, 1], 2, seed=1))


def test_rows_are_padded_with_the_tokenizers_pad_id() -> None:
    ids, mask = pad([[5, 6, 7], [8]], 1)
    assert ids.tolist() == [[5, 6, 7], [8, 1, 1]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('task = "classify"', 'tsk = "classify"', r"unknown key 'model.tsk'. Did you mean 'task'\?"),
        ("[[train]]", "[adapter]\nrnk = 4\n[[train]]", r"unknown key 'adapter.rnk'. Did you mean 'rank'\?"),
        ("commercial = true", "comercial = true", r"unknown key 'train\[0\].comercial'. Did you mean 'commercial'\?"),
        ("[[train]]", "[optimiser]\nlearning_rate = -1.0\n[[train]]", "key 'optimiser.learning_rate'"),
        ("[[train]]", '[adapter]\ntargets = ["attention.self.quary"]\n[[train]]', "'attention.self.query'"),
        ("commercial = true", 'commercial = true\nlabels = ["god"]', r"Did you mean 'good'\?"),
        ('labels = ["good", "bad"]', 'labels = ["good"]', "key 'model.labels'"),
    ],
)
def test_a_wrong_recipe_names_file_key_and_nearest(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in RECIPE
    (tmp_path / "recipe.toml").write_text(RECIPE.replace(old, new))
    with pytest.raises(ConfigError, match=message) as caught:
        load_recipe(tmp_path)
    assert "recipe.toml" in str(caught.value)


def test_the_shipped_recipe_fits_only_commercially_usable_data_and_its_examples_are_distinct() -> None:
    from parlance.builtin import bundled_models

    folder = bundled_models() / "fin-sentiment"
    recipe = load_recipe(folder)
    assert all(data.commercial for data in recipe.train)
    for language, least in (("zh", 300), ("en", 140)):
        rows = [json.loads(line) for line in (folder / f"examples.{language}.jsonl").read_text("utf-8").splitlines()]
        assert len({row["text"] for row in rows}) == len(rows) >= least
        assert {row["label"] for row in rows} == set(recipe.model.labels)


@pytest.mark.parametrize(
    ("line", "message"),
    [('{"text": "a"}', "own.jsonl, line 2"), ("nonsense", "line 2"), ('{"text": "a", "label": "ugly"}', "'ugly'")],
)
def test_a_bad_row_names_file_and_line(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "own.jsonl").write_text('{"text": "fine", "label": "good"}\n' + line + "\n")
    data = DataSet(name="own", file="own.jsonl", language="en", licence="-", commercial=True)
    with pytest.raises(BadInput, match=message):
        read_examples(data, ["good", "bad"], folder=tmp_path, data_root=None)


def test_a_data_set_without_a_data_folder_says_which_flag(tmp_path: Path) -> None:
    data = DataSet(name="own", file="{data}/own.jsonl", language="en", licence="-", commercial=True)
    with pytest.raises(BadInput, match="--data-root"):
        read_examples(data, ["good", "bad"], folder=tmp_path, data_root=None)
