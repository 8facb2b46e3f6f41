"""Runners on a tiny real graph: same answers, choice by measuring within the bound, kept for the next start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from parlance.errors import ConfigError, ModelError
from parlance.models.artefact import Artefact
from parlance.runners import default_runners
from parlance.runners.choice import candidates, choose, kept_choice
from parlance.runners.fidelity import agreement
from parlance.runners.kept import clean, kept_folder
from parlance.runners.machine import available_cores, fingerprint, library_versions
from parlance.runners.memory import give_back, resident_bytes
from parlance.runners.profile import Profile

WIDTH = 16


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Artefact:
    """Embedding lookup, a dense layer, masked mean, unit length: weights in external data, as builds leave them."""
    folder = tmp_path_factory.mktemp("cache") / "tiny" / "v1"
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    weights = {
        "table": random.normal(size=(50, WIDTH)).astype(np.float32),
        "dense": random.normal(size=(WIDTH, WIDTH)).astype(np.float32),
        "last": np.array([-1], np.int64),
        "first": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["looked"]),
        helper.make_node("MatMul", ["looked", "dense"], ["linear"]),
        helper.make_node("Tanh", ["linear"], ["hidden"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["wide_mask"]),
        helper.make_node("Mul", ["hidden", "wide_mask"], ["masked"]),
        helper.make_node("ReduceSum", ["masked", "first"], ["summed"], keepdims=0),
        helper.make_node("ReduceL2", ["summed", "last"], ["norm"], keepdims=1),
        helper.make_node("Div", ["summed", "norm"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(n, TensorProto.INT64, ["b", "s"]) for n in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["b", WIDTH])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, folder / "model.onnx", save_as_external_data=True, location="weights", size_threshold=100)
    return Artefact(name="tiny", version="v1", task="embed", folder=str(folder), max_tokens=64, width=WIDTH)


def batch(rows: int = 3, width: int = 11) -> dict[str, Any]:
    ids = np.random.default_rng(1).integers(1, 50, (rows, width))
    mask = np.ones((rows, width), np.int64)
    mask[1:, width - 4 :] = 0
    return {"input_ids": ids * mask, "attention_mask": mask}


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "torch"])
def test_every_runner_gives_the_same_answers_whatever_shares_the_batch(tiny: Artefact, name: str) -> None:
    factory = default_runners()[name]
    if (reason := factory.unavailable()) is not None:
        pytest.skip(reason)
    reference = default_runners()["onnxruntime"].load(tiny, precision="fp32", threads=2)
    runner = factory.load(tiny, precision="fp32", threads=2)
    inputs = batch()
    output = runner.run(inputs)
    assert agreement(tiny, reference.run(inputs), output) > 0.99999
    alone = runner.run({key: value[1:2, :7] for key, value in inputs.items()})
    np.testing.assert_allclose(alone[0], output[1], atol=1e-5)
    np.testing.assert_allclose(runner.run(inputs), output, atol=1e-6)  # the first answer was not overwritten
    runner.close()
    reference.close()


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "torch"])
def test_a_corrupt_graph_is_one_clear_error(tiny: Artefact, tmp_path: Path, name: str) -> None:
    factory = default_runners()[name]
    if (reason := factory.unavailable()) is not None:
        pytest.skip(reason)
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "model.onnx").write_bytes(b"no graph at all")
    with pytest.raises(ModelError, match=r"tiny@v1|model\.onnx"):
        factory.load(msgspec.structs.replace(tiny, folder=str(tmp_path / "v")), precision="fp32", threads=1)


def test_int8_is_measured_only_where_the_manifest_allows_it(tiny: Artefact) -> None:
    runners = default_runners()
    assert ("onnxruntime", "int8") not in candidates(tiny, runners)
    allowed = msgspec.structs.replace(tiny, precisions=("fp32", "int8"))
    assert ("onnxruntime", "int8") in candidates(allowed, runners)
    assert candidates(allowed, runners)[0] == ("onnxruntime", "fp32")


def test_a_runner_by_name_is_the_only_candidate_and_an_unknown_one_an_error(tiny: Artefact) -> None:
    assert candidates(tiny, default_runners(), wanted="openvino") == [("openvino", "fp32")]
    with pytest.raises(ConfigError, match="Known: auto, onnxruntime"):
        candidates(tiny, default_runners(), wanted="abacus")


class Fake:
    """A factory whose runner is off by ``error`` in every number and costs nothing."""

    def __init__(self, error: float = 0.0) -> None:
        self.loads = 0
        self.error = error
        self.precision = "fp32"
        self.name = "fake"

    def unavailable(self) -> str | None:
        return None

    def precisions(self) -> tuple[str, ...]:
        return ("fp32",)

    def load(self, artefact: Artefact, **_: Any) -> Fake:
        self.loads += 1
        return self

    def run(self, inputs: Any) -> Any:
        rows = inputs["input_ids"].shape[0]
        vectors = np.ones((rows, WIDTH), np.float32)
        vectors[:, 0] += self.error
        return vectors

    def close(self) -> None:
        pass


def test_a_fast_runner_outside_the_bound_is_never_chosen(tiny: Artefact, tmp_path: Path) -> None:
    factories = {"onnxruntime": Fake(), "wrong": Fake(error=50.0)}
    choice, _ = choose(tiny, factories, threads=1, texts=[batch(1)], folder=tmp_path)
    assert choice.runner == "onnxruntime"
    (wrong,) = [one for one in choice.measured if one.runner == "wrong"]
    assert wrong.profile is None
    assert wrong.agreement < 0.999


def test_the_choice_is_kept_for_the_next_start_unless_its_file_is_broken(tiny: Artefact, tmp_path: Path) -> None:
    factories = {"onnxruntime": Fake(), "other": Fake()}
    assert kept_choice(tiny, factories, threads=1, folder=tmp_path) is None
    chosen, _ = choose(tiny, factories, threads=1, texts=[batch(1)], folder=tmp_path)
    (kept,) = tmp_path.glob("tiny-v1-*.json")
    assert kept_choice(tiny, factories, threads=1, folder=tmp_path) == chosen
    assert kept_choice(tiny, factories, threads=2, folder=tmp_path) is None, "measured for another number of threads"
    kept.write_bytes(b"{")
    assert kept_choice(tiny, factories, threads=1, folder=tmp_path) is None


def test_forms_of_versions_that_are_gone_and_of_runners_that_lost_are_deleted(tiny: Artefact, tmp_path: Path) -> None:
    names = ("v1", "v2", ".v1.openvino", ".v1.int8", ".v2.openvino", ".v0.openvino", ".v0.int8", ".lock.other")
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"x")
    here = msgspec.structs.replace(tiny, folder=str(tmp_path / "v1"))
    gone = {path.name for path in clean(here, keep="openvino")}
    assert gone == {".v1.int8", ".v0.openvino", ".v0.int8"}
    assert {path.name for path in tmp_path.iterdir()} == set(names) - gone
    assert kept_folder(here, "openvino").is_dir()
    choose(here, {"onnxruntime": Fake(), "slow": Fake()}, threads=1, texts=[batch(1)], folder=tmp_path / "choices")
    assert not kept_folder(here, "openvino").exists()


def test_only_a_clearly_faster_runner_displaces_the_portable_one() -> None:
    slow = Profile(budget_tokens=256, overhead_tokens=8, tokens_per_s=100)
    assert not Profile(budget_tokens=256, overhead_tokens=8, tokens_per_s=110).beats(slow)
    assert Profile(budget_tokens=256, overhead_tokens=8, tokens_per_s=120).beats(slow)


def test_the_machine_is_described() -> None:
    assert available_cores() >= 1
    assert len(fingerprint()) == 12
    assert "onnxruntime" in library_versions()
    give_back()
    assert resident_bytes() > 1_000_000


def test_naming_the_runners_imports_no_model_library() -> None:
    code = (
        "import sys; from parlance.runners import default_runners; import parlance.engine.engine; default_runners();"
        "bad = {'torch', 'transformers', 'onnxruntime', 'openvino', 'onnx'} & set(sys.modules);"
        "sys.exit(str(bad) if bad else 0)"
    )
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root / "core")
