"""A whole training run on a tiny model, to a served artefact; LoRA merging against peft."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny_model as helpers
from safetensors.numpy import save_file

from parlance.models.lora import Adapted, read_calibration
from parlance.models.parity import run_graph, tokenise
from parlance.models.registry import ModelRegistry

pytest.importorskip("peft", reason="training needs the train extra")


pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning:transformers"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
GOOD = ["the profit rose", "profit rose sharply", "公司净利润增长", "净利润同比增长", "the company profit rose"]
BAD = ["the profit fell", "profit fell sharply", "公司净利润下降", "净利润同比下降", "the company profit fell"]
RECIPE = """
[model]
name = "mood"
base = "tiny"
task = "classify"
labels = ["good", "bad"]
max_tokens = 16
[adapter]
rank = 4
dropout = 0.0
[optimiser]
epochs = 40
batch_size = 10
learning_rate = 1e-2
precision = "fp32"
evaluate_every = 40
[[train]]
name = "own"
file = "own.jsonl"
language = "en"
licence = "Apache-2.0"
commercial = true
tuning = 0.2
[[dev]]
name = "held-out"
file = "dev.jsonl"
language = "en"
licence = "Apache-2.0"
commercial = true
"""
MANIFEST = """
name = "mood"
task = "classify"
description = "d"
licence = "Apache-2.0"
languages = ["en", "zh"]
labels = ["good", "bad"]
max_tokens = 16
[adapter]
base = "tiny"
[parity]
texts = ["the profit rose", "公司净利润下降"]
"""


def _rows(good: list[str], bad: list[str]) -> str:
    rows = [{"text": text, "label": "good"} for text in good] + [{"text": text, "label": "bad"} for text in bad]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def test_a_recipe_becomes_a_served_classifier_that_learned_its_examples(tmp_path: Path) -> None:
    from parlance.training.run import run

    base = tmp_path / "weights"
    base.mkdir()
    vocabulary = helpers.write_tokenizer(base / "tokenizer.json")
    (base / "config.json").write_text(json.dumps({**helpers.SIZES, "vocab_size": vocabulary}))
    save_file(helpers.tiny_tensors(vocabulary), base / "model.safetensors")
    root = tmp_path / "models"
    for name, text in (("tiny", helpers.manifest_text(f"folder:{base}")), ("mood", MANIFEST)):
        (root / name).mkdir(parents=True)
        (root / name / "model.toml").write_text(text, encoding="utf-8")
    folder = root / "mood"
    (folder / "recipe.toml").write_text(RECIPE)
    (folder / "own.jsonl").write_text(_rows(GOOD, BAD), encoding="utf-8")
    (folder / "dev.jsonl").write_text(
        _rows(["the company profit rose sharply"], ["公司净利润同比下降"]), encoding="utf-8"
    )
    registry = ModelRegistry([root], tmp_path / "cache", environment={})
    report = run(folder, registry=registry, data_root=None)
    assert report.dev["held-out"].accuracy == 1.0
    assert json.loads((folder / "metrics.json").read_text())["seed"] == 20261123
    assert read_calibration(folder / "adapter").temperature > 0
    artefact = registry.build("mood")
    assert artefact.labels == ("good", "bad")
    assert artefact.threshold is not None
    inputs = tokenise(
        artefact.path / "tokenizer.json", ["profit rose", "净利润下降"], prefix="", max_tokens=16, pad_id=0
    )
    assert run_graph(artefact.path / "model.onnx", inputs).argmax(axis=1).tolist() == [0, 1]


def test_merging_an_adapter_equals_pefts_own_merge(tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model

    from parlance.training.network import load_encoder

    base = helpers.tiny_tensors(20)
    encoder = load_encoder({**helpers.SIZES, "vocab_size": 20}, base)
    config = LoraConfig(r=4, lora_alpha=10, target_modules=["attention.self.query", "output.dense"])
    model = get_peft_model(encoder, config)  # type: ignore[arg-type]  # any module is accepted
    torch.manual_seed(3)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(tmp_path)
    merged = {name: tensor.numpy() for name, tensor in model.merge_and_unload().state_dict().items()}
    ours = Adapted(base, tmp_path)
    assert "encoder.layer.1.output.dense.weight" in ours.changed
    for name in ours:
        np.testing.assert_allclose(ours[name], merged[name], atol=1e-6, err_msg=name)
