"""Makes the weight-free graph and the reference outputs that are shipped with a model (``parlance models graph``)."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parlance.models.build import fetch_source, prefix_of
from parlance.models.lora import Adapted, read_head
from parlance.models.parity import tokenise
from parlance.models.progress import SILENT, Progress
from parlance.models.registry import ModelRegistry
from parlance.training.export import export_graph, make_network, reference_outputs

__all__ = ["make_graph"]


def make_graph(registry: ModelRegistry, name: str, *, progress: Progress = SILENT) -> dict[str, int]:
    """Writes ``graph.onnx`` and ``reference.npz`` into the model's folder; gives their sizes in bytes."""
    request = registry.request(name, progress=progress)
    manifest, source = request.manifest, fetch_source(request)
    tensors: Mapping[str, NDArray[Any]] = source.tensors
    head: dict[str, NDArray[np.float32]] = {}
    if manifest.adapter is not None:
        folder = request.folder / manifest.adapter.folder
        tensors, head = Adapted(source.tensors, folder), read_head(folder)
    progress.step(f"{name}: exporting with torch")
    network = make_network(manifest, source, tensors, head)
    graph, _ = export_graph(network)
    inputs = tokenise(
        source.tokenizer, manifest.parity.texts, prefix=prefix_of(manifest.prefixes), max_tokens=manifest.max_tokens,
        pad_id=int(source.config.get("pad_token_id") or 0),
    )  # fmt: skip
    buffer = io.BytesIO()
    np.savez_compressed(buffer, outputs=reference_outputs(network, inputs))
    written = {"graph.onnx": graph.SerializeToString(), "reference.npz": buffer.getvalue()}
    for file, content in written.items():
        _replace(request.folder / file, content)
    return {file: len(content) for file, content in written.items()}


def _replace(path: Path, content: bytes) -> None:
    scratch = path.with_name(f".{path.name}.new")
    scratch.write_bytes(content)
    scratch.replace(path)
