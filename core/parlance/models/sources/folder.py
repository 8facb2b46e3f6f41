"""Models in a local transformers folder: ``config.json``, ``tokenizer.json`` and safetensors files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from parlance.errors import BuildError
from parlance.models.sources.base import FetchContext, SourceModel, check_hashes

__all__ = ["FolderSource", "SafetensorsMapping", "read_folder"]


class FolderSource:
    """``folder:PATH``: a transformers folder; a relative path starts at the manifest's folder."""

    def fetch(self, reference: str, context: FetchContext) -> SourceModel:
        """Reads the folder."""
        path = (context.base_folder / Path(reference).expanduser()).resolve()
        return read_folder(path, context=context, origin=f"folder {path}")


class SafetensorsMapping(Mapping[str, NDArray[np.floating[Any]]]):
    """Tensors of safetensors files by name, read when asked for; a prefix of the model class (``bert.``) is cut off."""

    def __init__(self, paths: list[Path]) -> None:
        self._where: dict[str, tuple[Path, str]] = {}
        for path in paths:
            with safe_open(path, framework="numpy") as file:
                for stored in file.keys():  # noqa: SIM118  # not a mapping: only keys() lists names
                    self._where[_bare(stored)] = (path, stored)

    def __getitem__(self, name: str) -> NDArray[np.floating[Any]]:
        path, stored = self._where[name]
        with safe_open(path, framework="numpy") as file:
            array: NDArray[np.floating[Any]] = file.get_tensor(stored)
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def __len__(self) -> int:
        return len(self._where)


def read_folder(folder: Path, *, context: FetchContext, origin: str) -> SourceModel:
    """Reads a transformers folder.

    Raises:
        BuildError: the folder or a needed file is missing or damaged, or a hash differs.
    """
    if not folder.is_dir():
        raise BuildError(f"{origin}: {folder} is not a folder.")
    weights = sorted(folder.glob("*.safetensors"))
    needed = {"config.json": folder / "config.json", "tokenizer.json": folder / "tokenizer.json"}
    missing = [name for name, path in needed.items() if not path.is_file()]
    if not weights:
        missing.append("model.safetensors")
    if missing:
        raise BuildError(
            f"{origin} lacks {', '.join(missing)}.",
            hint="A model folder holds config.json, tokenizer.json (a fast tokenizer) and *.safetensors.",
        )
    files = {**needed, **{path.name: path for path in weights}}
    hashes = check_hashes(files, context.sha256, origin=origin)
    try:
        config: dict[str, Any] = msgspec.json.decode(needed["config.json"].read_bytes(), type=dict[str, Any])
        tensors = SafetensorsMapping(weights)
    except (msgspec.DecodeError, json.JSONDecodeError, SafetensorError, OSError) as error:
        raise BuildError(f"{origin} is damaged: {error}.") from error
    return SourceModel(config=config, tokenizer=needed["tokenizer.json"], tensors=tensors, files=hashes, folder=folder)


def _bare(name: str) -> str:
    """``bert.encoder.x`` → ``encoder.x``: the names of the bare encoder."""
    for prefix in ("bert.", "roberta.", "distilbert.", "electra.", "deberta.", "xlm-roberta.", "model.", "base_model."):
        if name.startswith(prefix):
            return name[len(prefix) :]
    return name
