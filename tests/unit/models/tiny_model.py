"""A tiny BERT with random weights and a word-level tokenizer, made here: small enough to build in a test."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = tuple(
    "the profit rose fell sharply in quarter company meeting will be held refund order where is my".split()  # noqa: SIM905
)
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


def manifest_text(uri: str, *, name: str = "tiny", bound: float = 0.9999, extra: str = "") -> str:
    """A manifest of the tiny model."""
    texts = json.dumps(TEXTS, ensure_ascii=False)
    return (
        f'name = "{name}"\ntask = "embed"\ndescription = "random"\nlicence = "Apache-2.0"\nlanguages = ["en", "zh"]\n'
        f'max_tokens = 32\n{extra}\n[source]\nuri = "{uri}"\n[parity]\nbound = {bound}\ntexts = {texts}\n'
    )
