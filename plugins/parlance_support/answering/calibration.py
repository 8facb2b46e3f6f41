"""Features → the probability that an entry answers a message: a logistic function with fitted weights.

Cosines of the embedding model live in a narrow band (0.7 to 1.0 for multilingual E5), different by language, so no
threshold on a cosine means anything by itself. The weights come from ``tests/bench/support_answering.py``, which fits
them on the training parts of banking77 and clinc150 (English) and on question pairs of LCQMC, OPPO Xiaobu and BQ
(Chinese), with questions that the knowledge base does not hold as what cannot be answered. No weight is negative: more
likeness never lowers the confidence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import msgspec

from parlance.errors import ConfigError
from parlance_support.answering.features import Features

__all__ = ["FEATURES", "Calibration", "Weights", "load_calibration"]

FEATURES = ("cosine", "prominence", "margin", "shared", "covered")
_SHIPPED = Path(__file__).with_name("calibration.json")


class Weights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A logistic function: ``1 / (1 + exp(-(bias + Σ weight · feature)))``."""

    background: float
    """Cosine between a message and an entry that has nothing to do with it."""
    bias: float
    cosine: float
    prominence: float
    margin: float
    shared: float
    covered: float

    def probability(self, features: Features) -> float:
        """The confidence, 0 to 1."""
        total = self.bias + sum(getattr(self, name) * getattr(features, name) for name in FEATURES)
        return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, total))))


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Weights by language, and what they were fitted for."""

    name: str
    model: str
    languages: Mapping[str, Weights]

    def confidence(self, features: Features, language: str) -> float:
        """The probability that the entry answers the message."""
        return self.weights(language).probability(features)

    def weights(self, language: str) -> Weights:
        """The weights of a language; of the first one where it has none."""
        return self.languages.get(language) or next(iter(self.languages.values()))


def load_calibration(file: str = "") -> Calibration:
    """Read weights: the shipped ones, or those of a file.

    Raises:
        ConfigError: the file cannot be read or is not a calibration.
    """
    path = Path(file).expanduser() if file else _SHIPPED
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Calibration)
    except OSError as error:
        raise ConfigError(f"support.calibration_file: {path} cannot be read: {error.strerror}.") from error
    except msgspec.DecodeError as error:
        raise ConfigError(f"support.calibration_file: {path} is not a calibration: {error}.") from error
    if not found.languages:
        raise ConfigError(f"support.calibration_file: {path} has no language.")
    return found
