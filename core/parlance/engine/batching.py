"""Texts of one batch → padded arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from parlance.engine.work import Tokens
from parlance.models.artefact import Artefact

__all__ = ["padded_inputs"]


def padded_inputs(artefact: Artefact, batch: Sequence[Tokens]) -> dict[str, NDArray[np.int64]]:
    """The artefact's inputs: int64, shape ``(batch, tokens)``, padded on the right to the longest text."""
    width = max(len(tokens.ids) for tokens in batch)
    shape = (len(batch), width)
    ids = np.full(shape, artefact.pad_id, dtype=np.int64)
    mask = np.zeros(shape, dtype=np.int64)
    for row, tokens in enumerate(batch):
        length = len(tokens.ids)
        ids[row, :length] = tokens.ids
        mask[row, :length] = 1
    arrays = {"input_ids": ids, "attention_mask": mask}
    if "token_type_ids" in artefact.inputs:
        types = np.zeros(shape, dtype=np.int64)
        for row, tokens in enumerate(batch):
            if tokens.type_ids is not None:
                types[row, : len(tokens.type_ids)] = tokens.type_ids
        arrays["token_type_ids"] = types
    return {name: arrays[name] for name in artefact.inputs}
