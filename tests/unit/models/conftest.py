"""A tiny model in a folder of its own, and registries to build it in."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.numpy import save_file

from parlance.models.registry import ModelRegistry

sys.path.insert(0, str(Path(__file__).parent))  # for `tiny_model`

from tiny_model import SIZES, manifest_text, tiny_tensors, write_tokenizer


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transformers folder with random weights."""
    folder = tmp_path_factory.mktemp("tiny-bert")
    vocabulary = write_tokenizer(folder / "tokenizer.json")
    (folder / "config.json").write_text(json.dumps({**SIZES, "vocab_size": vocabulary}))
    save_file(tiny_tensors(vocabulary), folder / "model.safetensors")
    return folder


@pytest.fixture(scope="session")
def shipped_folder(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder whose tiny model has a weight-free graph, made once with torch."""
    pytest.importorskip("torch", reason="torch makes the graph; install the train extra")
    from parlance.training.graphs import make_graph

    root = tmp_path_factory.mktemp("models")
    (root / "tiny").mkdir()
    (root / "tiny" / "model.toml").write_text(manifest_text(f"folder:{tiny_folder}"), encoding="utf-8")
    make_graph(ModelRegistry([root], root / "cache", environment={}), "tiny")
    return root


@pytest.fixture
def registry(shipped_folder: Path, tmp_path: Path) -> ModelRegistry:
    """A registry of the tiny model with an empty cache."""
    return ModelRegistry([shipped_folder], tmp_path / "cache", environment={})


@pytest.fixture
def write_manifest(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a manifest into a folder of its own and returns the folder."""

    def write(text: str, name: str = "x") -> Path:
        folder = tmp_path / "manifests" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.toml").write_text(text, encoding="utf-8")
        return folder

    return write
