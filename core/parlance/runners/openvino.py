"""OpenVINO: reads the same ONNX file; the fast path on CPUs with bfloat16 instructions (AMX)."""

from __future__ import annotations

import importlib.util
import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parlance.errors import ModelError
from parlance.models.artefact import Artefact, Precision
from parlance.runners.kept import kept_folder
from parlance.runners.machine import fast_bf16
from parlance.runners.memory import give_back

__all__ = ["OpenVinoFactory", "OpenVinoRunner"]

WIDTH_MULTIPLE = 8
"""Widths are rounded up to it, because OpenVINO compiles and keeps primitives per shape (measured: 10 % faster at two
thirds of the memory)."""


class OpenVinoRunner:
    """One compiled model with a stream per thread, and an infer request for each thread that calls."""

    name = "openvino"

    def __init__(self, artefact: Artefact, *, precision: Precision, threads: int) -> None:
        import openvino

        self.precision: Precision = precision
        self._reference = artefact.reference
        self._output = artefact.output
        self._pad = dict.fromkeys(artefact.inputs, 0) | {"input_ids": artefact.pad_id}
        self._local = threading.local()
        # One core object per model: the compiled forms lie beside the artefact and go when it goes.
        core = openvino.Core()
        options = {
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
            "NUM_STREAMS": str(threads),
            "INFERENCE_NUM_THREADS": str(threads),
            # Pinning put two models of one process on the same core.
            "ENABLE_CPU_PINNING": False,
        }
        cache = kept_folder(artefact, "openvino")
        if _writable(cache):
            options["CACHE_DIR"] = str(cache)
        try:
            self._compiled: Any = core.compile_model(str(artefact.path / artefact.graph), "CPU", options)
        except RuntimeError as error:
            raise ModelError(f"OpenVINO cannot load {artefact.reference}: {error}.", model=artefact.name) from error

    def run(self, inputs: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        request = getattr(self._local, "request", None)
        try:
            if request is None:
                request = self._local.request = self._compiled.create_infer_request()
            width = next(iter(inputs.values())).shape[1]
            extra = -width % WIDTH_MULTIPLE
            if extra:
                inputs = {
                    name: np.pad(array, ((0, 0), (0, extra)), constant_values=self._pad.get(name, 0))
                    for name, array in inputs.items()
                }
            request.infer(inputs, share_inputs=True)
            output: NDArray[np.float32] = request.get_tensor(self._output).data
        except RuntimeError as error:
            raise ModelError(f"OpenVINO failed on {self._reference}: {error}.") from error
        if extra and output.ndim == 3:
            output = output[:, :width]
        # The request owns the tensor and writes the next batch into it.
        return output.copy()

    def close(self) -> None:
        self._local = threading.local()
        self._compiled = None
        give_back()


class OpenVinoFactory:
    """Makes OpenVINO runners."""

    def unavailable(self) -> str | None:
        if importlib.util.find_spec("openvino") is None:
            return "The package openvino is not installed: pip install 'parlance[openvino]'."
        return None

    def precisions(self) -> tuple[Precision, ...]:
        return ("bf16", "fp32") if fast_bf16() else ("fp32",)

    def load(self, artefact: Artefact, *, precision: Precision, threads: int) -> OpenVinoRunner:
        return OpenVinoRunner(artefact, precision=precision, threads=threads)


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        logging.getLogger(__name__).info("no cache of compiled models in %s: %s", folder, error.strerror)
        return False
    return True
