"""ONNX Runtime: the portable default runner, exact in fp32; dynamic int8 only where a manifest asks for it."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parlance.errors import ModelError
from parlance.models.artefact import Artefact, Precision
from parlance.runners.kept import kept_folder
from parlance.runners.memory import give_back

__all__ = ["OnnxRunner", "OnnxRuntimeFactory"]


class OnnxRunner:
    """One session; every ``run`` computes on the calling thread, so several threads share the session's weights."""

    name = "onnxruntime"

    def __init__(self, artefact: Artefact, *, precision: Precision, graph: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        # A spinning thread burns a core that another model or the server could use.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        self.precision: Precision = precision
        self._reference = artefact.reference
        self._outputs = [artefact.output]
        try:
            # A graph with external data keeps its weights in the file: ONNX Runtime maps them instead of copying.
            self._session: Any = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the library raises a class per cause, all private
            raise ModelError(f"ONNX Runtime cannot load {artefact.reference}: {error}.", model=artefact.name) from error

    def run(self, inputs: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        try:
            output: NDArray[np.float32] = self._session.run(self._outputs, inputs)[0]
        except Exception as error:  # as above
            raise ModelError(f"ONNX Runtime failed on {self._reference}: {error}.") from error
        return output

    def close(self) -> None:
        self._session = None
        give_back()


class OnnxRuntimeFactory:
    """Makes ONNX Runtime runners."""

    def unavailable(self) -> str | None:
        if importlib.util.find_spec("onnxruntime") is None:
            return "The package onnxruntime is not installed: pip install onnxruntime."
        return None

    def precisions(self) -> tuple[Precision, ...]:
        return ("fp32", "int8")

    def load(self, artefact: Artefact, *, precision: Precision, threads: int) -> OnnxRunner:  # noqa: ARG002
        graph = artefact.path / artefact.graph
        if precision == "int8":
            graph = _quantised(artefact, graph)
        return OnnxRunner(artefact, precision=precision, graph=graph)


def _quantised(artefact: Artefact, graph: Path) -> Path:
    """The dynamic int8 form of a graph (per channel), made once beside the artefact's folder."""
    folder = kept_folder(artefact, "int8")
    target = folder / "model.onnx"
    if target.exists():
        return target
    from onnxruntime.quantization import QuantType, quantize_dynamic

    made = Path(tempfile.mkdtemp(prefix=".int8-", dir=artefact.path.parent))
    try:
        quantize_dynamic(graph, made / "model.onnx", per_channel=True, weight_type=QuantType.QInt8)
        made.replace(folder)
    except OSError as error:
        if target.exists():  # another process was quicker
            return target
        raise ModelError(
            f"The int8 form of {artefact.reference} cannot be written to {folder}: {error.strerror}."
        ) from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return target
