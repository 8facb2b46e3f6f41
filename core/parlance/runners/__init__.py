"""What computes forward passes: ONNX Runtime, OpenVINO and torch behind one interface, and the choice between them."""

from __future__ import annotations

from collections.abc import Mapping

from parlance.runners.base import Runner, RunnerFactory

__all__ = ["Runner", "RunnerFactory", "default_runners"]


def default_runners() -> Mapping[str, RunnerFactory]:
    """The core's own factories by name. Cheap: no model library is imported."""
    from parlance.runners.onnx import OnnxRuntimeFactory
    from parlance.runners.openvino import OpenVinoFactory
    from parlance.runners.torch import TorchFactory

    return {"onnxruntime": OnnxRuntimeFactory(), "openvino": OpenVinoFactory(), "torch": TorchFactory()}
