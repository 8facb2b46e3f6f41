"""The built form of a model: what a build leaves in the cache (``artefact.json``) and what serving reads."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

__all__ = ["Artefact", "FileRecord", "Precision"]

Precision = Literal["fp32", "bf16", "int8"]
"""Arithmetic of a forward pass. Only fp32 is exact; the manifest says which others are allowed."""


class FileRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Recorded identity of one file: checked before the file is used."""

    sha256: str
    size_bytes: int


class Artefact(msgspec.Struct, frozen=True, kw_only=True):
    """A built model: one folder of the cache.

    The graph takes ``inputs`` (int64, shape ``(batch, tokens)``) and gives ``output``:

    * ``embed``: float32 ``(batch, width)``, pooled and of unit length inside the graph;
    * ``classify``: float32 logits ``(batch, labels)``;
    * ``tag``: float32 logits ``(batch, tokens, labels)``, labels in BIO form;
    * ``score``: float32 logits ``(batch, 1)``.
    """

    name: str
    version: str
    """First 12 hexadecimal digits of the hash over manifest, sources and builder version."""
    task: str
    folder: str = ""
    """Absolute path; filled in when read, empty on disk."""
    graph: str = "model.onnx"
    tokenizer: str = "tokenizer.json"
    inputs: tuple[str, ...] = ("input_ids", "attention_mask")
    output: str = "output"
    max_tokens: int = 512
    """Longest input in tokens, special tokens included."""
    pad_id: int = 0
    width: int = 0
    labels: tuple[str, ...] = ()
    multi_label: bool = False
    prefixes: dict[str, str] = {}
    """Text put before every input, by role (``query``, ``passage``); the same for all roles under ``*``."""
    temperature: float = 1.0
    """Logits are divided by it before softmax or sigmoid (Guo et al. 2017, temperature scaling)."""
    threshold: float | None = None
    """Abstain below this calibrated probability; ``None`` never abstains."""
    precisions: tuple[Precision, ...] = ("fp32",)
    """Arithmetics that the manifest allows."""
    fidelity: float = 0.999
    """Least worst-case agreement with fp32 on the manifest's parity sentences that another runner or precision may
    have: cosine of vectors (``embed``), 1 − largest absolute difference of probabilities (otherwise)."""
    parity_texts: tuple[str, ...] = ()
    """Real sentences on which parity was checked at the build; runners are compared and warmed up on them."""
    eager: bool = False
    """Loaded and warmed at start, before the server is ready; otherwise with the first call."""
    files: dict[str, FileRecord] = {}

    @property
    def path(self) -> Path:
        """The artefact's folder."""
        return Path(self.folder)

    @property
    def reference(self) -> str:
        """``name@version``, as shown in results and logs."""
        return f"{self.name}@{self.version}"
