"""Who answered: carried by every result."""

from __future__ import annotations

import msgspec

__all__ = ["Origin"]


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Which model version computed a result, with what, and how much it read.

    ``tokens`` counts the tokens that the model read, special tokens included, padding excluded, summed over the call;
    ``truncated`` holds the indices of texts that were cut to the model's limit.
    """

    model: str
    version: str
    precision: str = "fp32"
    tokens: int = 0
    truncated: tuple[int, ...] = ()
