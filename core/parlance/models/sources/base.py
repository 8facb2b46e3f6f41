"""What a model source is: something that turns a reference into configuration, tokenizer and named tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from parlance.errors import BuildError
from parlance.models.hashing import sha256_file
from parlance.models.progress import SILENT, Progress

__all__ = ["FetchContext", "ModelSource", "SourceModel", "check_hashes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchContext:
    """What a source may use while fetching.

    ``cache``: folder for downloads, kept between builds. ``base_folder``: relative folder references start here (the
    manifest's folder). ``sha256``: expected hashes by file name as the source lists them; every one must match.
    ``offline``: no network at all. ``environment``: the variables that the source may read (``HF_HOME`` …).
    """

    cache: Path
    base_folder: Path
    sha256: Mapping[str, str] = field(default_factory=dict)
    offline: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    progress: Progress = SILENT


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceModel:
    """A fetched model, before anything is built from it.

    ``tensors`` maps the parameter names of the transformers model to arrays and may read them lazily. ``files`` holds
    the hash of every file that was read. ``folder`` is a transformers folder, where there is one, for torch exports.
    """

    config: dict[str, Any]
    tokenizer: Path
    tensors: Mapping[str, NDArray[np.floating[Any]]]
    files: dict[str, str]
    folder: Path | None = None


class ModelSource(Protocol):
    """Where weights come from. Plugins add sources with the hook ``parlance_model_sources``: ``{scheme: source}``."""

    def fetch(self, reference: str, context: FetchContext) -> SourceModel:
        """Fetches what stands after ``scheme:`` in the manifest's ``source.uri``.

        Raises:
            BuildError: it is not there, cannot be had, or a hash differs; says what to do.
        """


def check_hashes(files: Mapping[str, Path], expected: Mapping[str, str], *, origin: str) -> dict[str, str]:
    """Hashes ``files`` (by listed name) and compares them with ``expected``.

    Raises:
        BuildError: an expected file is absent, or its hash differs.
    """
    actual = {name: sha256_file(path) for name, path in files.items()}
    for name, wanted in expected.items():
        if name not in actual:
            raise BuildError(f"{origin} has no file '{name}', for which the manifest gives a hash.", file=name)
        if actual[name] != wanted:
            raise BuildError(
                f"'{name}' of {origin} has SHA-256 {actual[name]}, the manifest expects {wanted}.",
                hint="The download is damaged or is not what was published; delete it, or correct source.sha256.",
                file=name,
                expected=wanted,
                actual=actual[name],
            )
    return actual
