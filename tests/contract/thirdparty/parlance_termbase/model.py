"""A model source and a runner: a table of word vectors, fetched from nowhere and computed by numpy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parlance.models.artefact import Artefact, Precision
from parlance.models.sources.base import FetchContext, SourceModel
from parlance.runners.base import Runner

__all__ = ["TABLE", "WORDS", "TermbaseFactory", "TermbaseRunner", "TermbaseSource", "table"]

WORDS = ("[PAD]", "[UNK]", "exchange", "rate", "dividend", "汇", "率", "股", "息")
WIDTH = 8
TABLE = "embeddings.weight"


def table() -> NDArray[np.float32]:
    """The word vectors: float32, shape ``(words, WIDTH)``; a word and its translation lie together."""
    angles = np.array([0, 0, 1, 2, 3, 1, 2, 3, 3], np.float32)
    return np.stack([np.cos(angles * (1 + column)) for column in range(WIDTH)], axis=1).astype(np.float32)


class TermbaseSource:
    """``termbase:tiny``: weights that the package carries itself."""

    def fetch(self, reference: str, context: FetchContext) -> SourceModel:
        """Write a tokenizer into the cache and hand over the table."""
        from tokenizers import Tokenizer
        from tokenizers.models import WordLevel
        from tokenizers.normalizers import BertNormalizer
        from tokenizers.pre_tokenizers import BertPreTokenizer

        vocabulary = {word: number for number, word in enumerate(WORDS)}
        tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
        tokenizer.normalizer = BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = BertPreTokenizer()
        context.cache.mkdir(parents=True, exist_ok=True)
        path: Path = context.cache / f"termbase-{reference}.json"
        tokenizer.save(str(path))
        return SourceModel(
            config={"hidden_size": WIDTH, "pad_token_id": 0}, tokenizer=path, tensors={TABLE: table()}, files={}
        )


class TermbaseRunner:
    """Mean of the word vectors, of unit length."""

    name = "termbase"
    precision: Precision = "fp32"

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        self._vectors = vectors

    def run(self, inputs: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        """Compute one batch: float32, shape ``(batch, WIDTH)``."""
        mask = inputs["attention_mask"][..., None].astype(np.float32)
        means = (self._vectors[inputs["input_ids"]] * mask).sum(1) / np.maximum(mask.sum(1), 1)
        return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True), np.float32)

    def close(self) -> None:
        """Nothing to give back."""


class TermbaseFactory:
    """Makes runners for this plugin's own models."""

    def unavailable(self) -> str | None:
        """It can always be used."""
        return None

    def precisions(self) -> tuple[Precision, ...]:
        """Only fp32."""
        return ("fp32",)

    def load(self, artefact: Artefact, *, precision: Precision, threads: int) -> Runner:
        """The built graph's own weights."""
        return TermbaseRunner(np.fromfile(artefact.path / "weights.bin", np.float32).reshape(-1, WIDTH))
