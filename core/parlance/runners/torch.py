"""torch: computes the artefact's own ONNX graph, node by node, so that its answers are those of the same graph.

Optional, and asked for by name: useful for bfloat16 where OpenVINO cannot be installed, and as a second opinion.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parlance.errors import ModelError
from parlance.models.artefact import Artefact, Precision
from parlance.runners.machine import fast_bf16
from parlance.runners.memory import give_back

__all__ = ["TorchFactory", "TorchRunner"]


class TorchRunner:
    """One graph with its weights as tensors; bfloat16 through autocast, which keeps norms and softmax in fp32."""

    name = "torch"

    def __init__(self, artefact: Artefact, *, precision: Precision) -> None:
        import torch

        from parlance.runners.torch_graph import Graph

        # Parallelism comes from the engine's threads.
        torch.set_num_threads(1)
        self.precision: Precision = precision
        self._reference = artefact.reference
        self._torch: Any = torch
        self._graph: Graph | None = Graph.read(artefact)

    def run(self, inputs: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        torch = self._torch
        graph = self._graph
        if graph is None:
            raise ModelError(f"{self._reference} is closed.")
        try:
            with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.precision == "bf16"):
                output = graph.run({name: torch.from_numpy(array) for name, array in inputs.items()})
            result: NDArray[np.float32] = output.float().numpy()
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            raise ModelError(f"torch failed on {self._reference}: {error}.") from error
        return result

    def close(self) -> None:
        self._graph = None
        give_back()


class TorchFactory:
    """Makes torch runners."""

    def unavailable(self) -> str | None:
        if importlib.util.find_spec("torch") is None:
            return "The package torch is not installed: pip install 'parlance[torch]'."
        return None

    def precisions(self) -> tuple[Precision, ...]:
        return ("bf16", "fp32") if fast_bf16() else ("fp32",)

    def load(self, artefact: Artefact, *, precision: Precision, threads: int) -> TorchRunner:  # noqa: ARG002
        return TorchRunner(artefact, precision=precision)
