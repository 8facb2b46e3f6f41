"""The torch networks: an encoder with pooling, and with a classification head, named as in the graphs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

__all__ = ["Checkpoint", "Classifier", "Embedder", "Head", "Pooling", "load_checkpoint", "load_encoder", "pool"]

Pooling = Literal["mean", "cls"]


def load_encoder(config: Mapping[str, Any], tensors: Mapping[str, NDArray[np.floating[Any]]]) -> nn.Module:
    """The bare transformers encoder with the given weights; no pooling layer of its own.

    Raises:
        RuntimeError: a parameter is missing or has another shape (torch's message names it).
    """
    # Drawing dropout masks is single-threaded on a CPU and took more than half of a step; the recipes regularise by
    # a small rank and early stopping instead.
    settings = AutoConfig.for_model(**{**config, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0})
    settings._attn_implementation = "eager"  # noqa: SLF001  # the only way for a configuration without a folder
    encoder: nn.Module = AutoModel.from_config(settings, add_pooling_layer=False)
    own = set(encoder.state_dict())
    weights = {name: torch.from_numpy(np.array(tensors[name], dtype=np.float32)) for name in own if name in tensors}
    encoder.load_state_dict(weights)
    return encoder


def load_checkpoint(config: Mapping[str, Any], tensors: Mapping[str, NDArray[np.floating[Any]]]) -> Checkpoint:
    """A sequence classifier of transformers with its own pooling and head.

    Args:
        config: its ``config.json``.
        tensors: by transformers' names; the prefix of the encoder (``bert.``) may be missing.

    Raises:
        RuntimeError: a parameter is missing or has another shape (torch's message names it).
    """
    settings = AutoConfig.for_model(**config)
    settings._attn_implementation = "eager"  # noqa: SLF001  # the only way for a configuration without a folder
    network = AutoModelForSequenceClassification.from_config(settings)
    prefix = f"{network.base_model_prefix}."
    weights = {}
    for name in network.state_dict():
        stored = name if name in tensors else name.removeprefix(prefix)
        if stored in tensors:
            weights[name] = torch.from_numpy(np.array(tensors[stored], dtype=np.float32))
    network.load_state_dict(weights)
    return Checkpoint(network)


def pool(states: Tensor, mask: Tensor, pooling: Pooling) -> Tensor:
    """One vector per text: the mean of its token states, or the first token's."""
    if pooling == "cls":
        return states[:, 0]
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)


class Embedder(nn.Module):
    """Unit vectors: float32 ``(batch, width)``."""

    def __init__(self, encoder: nn.Module, pooling: Pooling) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling: Pooling = pooling

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Pools and normalises."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return nn.functional.normalize(pool(states, attention_mask, self.pooling), dim=1)


class Head(nn.Module):
    """Dense, tanh, dropout, linear: the head of BERT's sequence classifiers."""

    def __init__(self, width: int, labels: int, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(width, labels)

    def forward(self, vectors: Tensor) -> Tensor:
        """Logits ``(batch, labels)``."""
        logits: Tensor = self.out(self.dropout(torch.tanh(self.dense(vectors))))
        return logits


class Classifier(nn.Module):
    """Logits: float32 ``(batch, labels)``."""

    def __init__(self, encoder: nn.Module, head: Head, pooling: Pooling) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.pooling: Pooling = pooling

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Pools and classifies."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        logits: Tensor = self.head(pool(states, attention_mask, self.pooling))
        return logits


class Checkpoint(nn.Module):
    """Logits of a ready transformers classifier: float32 ``(batch, labels)``."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Classifies."""
        logits: Tensor = self.network(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits
