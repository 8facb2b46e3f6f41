"""A tiny BERT with its own tokenizer, made here, and folders to build it in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from parlance.models.registry import ModelRegistry

WORDS = ["the", "profit", "rose", "fell", "sharply", "in", "quarter", "company", "meeting", "will", "be", "held", "refund", "order", "where", "is", "my"]
CHINESE = list("公司净利润同比增长下降召开会议退款订单我要")
SIZES = {
    "model_type": "bert",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
    "pad_token_id": 0,
}
TEXTS = ["the profit rose sharply", "公司净利润同比下降", "where is my order", "我要退款"]


def write_tokenizer(path: Path) -> int:
    """A word-level tokenizer with BERT's special tokens; returns the vocabulary's size."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, *dict.fromkeys(CHINESE)]
    vocabulary = {word: at for at, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(path))
    return len(vocabulary)


def tiny_tensors(vocabulary: int, seed: int = 5) -> dict[str, np.ndarray]:
    """Random weights under transformers' names."""
    chance = np.random.default_rng(seed)
    hidden, wide = 32, 64

    def matrix(*shape: int) -> np.ndarray:
        return chance.normal(0, 0.25, shape).astype(np.float32)

    tensors = {
        "embeddings.word_embeddings.weight": matrix(vocabulary, hidden),
        "embeddings.position_embeddings.weight": matrix(64, hidden),
        "embeddings.token_type_embeddings.weight": matrix(2, hidden),
        "embeddings.LayerNorm.weight": np.ones(hidden, np.float32),
        "embeddings.LayerNorm.bias": matrix(hidden),
    }
    for layer in range(2):
        at = f"encoder.layer.{layer}"
        shapes = {
            "attention.self.query": (hidden, hidden),
            "attention.self.key": (hidden, hidden),
            "attention.self.value": (hidden, hidden),
            "attention.output.dense": (hidden, hidden),
            "intermediate.dense": (wide, hidden),
            "output.dense": (hidden, wide),
        }
        for name, shape in shapes.items():
            tensors[f"{at}.{name}.weight"] = matrix(*shape)
            tensors[f"{at}.{name}.bias"] = matrix(shape[0])
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            tensors[f"{at}.{name}.weight"] = np.ones(hidden, np.float32)
            tensors[f"{at}.{name}.bias"] = matrix(hidden)
    return tensors


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transformers folder with random weights."""
    folder = tmp_path_factory.mktemp("tiny-bert")
    vocabulary = write_tokenizer(folder / "tokenizer.json")
    (folder / "config.json").write_text(json.dumps({**SIZES, "vocab_size": vocabulary}))
    save_file(tiny_tensors(vocabulary), folder / "model.safetensors")
    return folder


def manifest_text(uri: str, *, name: str = "tiny", bound: float = 0.9999, extra: str = "") -> str:
    """A manifest of the tiny model."""
    texts = json.dumps(TEXTS, ensure_ascii=False)
    return (
        f'name = "{name}"\ntask = "embed"\ndescription = "random"\nlicence = "Apache-2.0"\nlanguages = ["en", "zh"]\n'
        f'max_tokens = 32\n{extra}\n[source]\nuri = "{uri}"\n[parity]\nbound = {bound}\ntexts = {texts}\n'
    )


@pytest.fixture(scope="session")
def shipped_folder(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder whose tiny model has a weight-free graph, made once with torch."""
    pytest.importorskip("torch", reason="torch makes the graph; install the train extra")
    from parlance.training.graphs import make_graph

    root = tmp_path_factory.mktemp("models")
    (root / "tiny").mkdir()
    (root / "tiny" / "model.toml").write_text(manifest_text(f"folder:{tiny_folder}"), encoding="utf-8")
    make_graph(ModelRegistry([root], root / "cache", environment={}), "tiny")
    return root


@pytest.fixture
def registry(shipped_folder: Path, tmp_path: Path) -> ModelRegistry:
    """A registry of the tiny model with an empty cache."""
    return ModelRegistry([shipped_folder], tmp_path / "cache", environment={})


@pytest.fixture
def write_manifest(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a manifest into a folder of its own and returns the folder."""

    def write(text: str, name: str = "x") -> Path:
        folder = tmp_path / "manifests" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.toml").write_text(text, encoding="utf-8")
        return folder

    return write


def sha256(path: Path) -> str:
    """Hash of a file, computed apart from the product's code."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
